// Command readpass writes the bare read of memory that the benchmarks hold
// everything else against.
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
	SHRQ(U8(8), n)
	JZ(LabelRef("done"))
	Label("loop")
	for i := range 8 {
		VPXOR(Mem{Base: p, Disp: 32 * i}, acc[i%4], acc[i%4])
	}
	ADDQ(U32(256), p)
	DECQ(n)
	JNZ(LabelRef("loop"))
	Label("done")
	VPXOR(acc[1], acc[0], acc[0])
	VPXOR(acc[3], acc[2], acc[2])
	VPXOR(acc[2], acc[0], acc[0])
	VMOVQ(acc[0].AsX(), p)
	Store(p, ReturnIndex(0))
	VZEROUPPER()
	RET()
	Generate()
}
