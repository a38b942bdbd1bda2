// Command readpass writes the kernel that only reads memory, the baseline of the
// benchmarks.
//
//	go run ./readpass avx2 > ../../../bench/readpass_amd64.s
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	ConstraintExpr("!purego")
	TEXT("readAVX2", NOSPLIT, "func(p *byte, n int) uint64")
	p, n := Load(Param("p"), GP64()), Load(Param("n"), GP64())
	var acc [4]VecVirtual
	for i := range acc {
		acc[i] = YMM()
		VPXOR(acc[i], acc[i], acc[i])
	}
	SHRQ(U8(9), n)
	JZ(LabelRef("done"))
	Label("loop")
	for i := 0; i < 512; i += 32 {
		VPXOR(Mem{Base: p, Disp: i}, acc[i/32%4], acc[i/32%4])
	}
	ADDQ(U32(512), p)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("done")
	VPXOR(acc[1], acc[0], acc[0])
	VPXOR(acc[3], acc[2], acc[2])
	VPXOR(acc[2], acc[0], acc[0])
	x := XMM()
	VEXTRACTI128(U8(1), acc[0].AsY(), x)
	VPXOR(x, acc[0].AsX(), x)
	q := GP64()
	VMOVQ(x, p)
	VPEXTRQ(U8(1), x, q)
	XORQ(q, p)
	Store(p, ReturnIndex(0))
	VZEROUPPER()
	RET()
	Generate()
}
