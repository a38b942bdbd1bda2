// Command parity writes the kernels that check whether the number of quotes is odd.
//
//	go run ./parity avx512 > ../../parity_avx512_amd64.s
package main

import (
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// signature is that of the kernels; a piece has 256 bytes.
const signature = "func(p *byte, pieces int, quote byte) uint64"

func main() {
	tier := ""
	if len(os.Args) == 2 {
		tier = os.Args[1]
	}
	switch tier {
	case "avx512":
		ConstraintExpr("!purego")
		avx512()
		Generate()
	case "avx2":
		ConstraintExpr("!purego")
		avx2()
		Generate()
	case "neon":
		neon()
	default:
		fmt.Fprintln(os.Stderr, "usage: parity avx512|avx2|neon")
		os.Exit(2)
	}
}

// each writes a loop around body, which handles the piece at p.
func each(p, pieces Register, body func()) {
	TESTQ(pieces, pieces)
	JZ(LabelRef("done"))
	Label("loop")
	body()
	ADDQ(U32(256), p)
	DECQ(pieces)
	JNZ(LabelRef("loop"))
	Label("done")
}

// odd returns from the kernel with the parity of the bits of mask.
func odd(mask GPVirtual) {
	POPCNTQ(mask, mask)
	ANDQ(U8(1), mask)
	Store(mask, ReturnIndex(0))
	VZEROUPPER()
	RET()
}

func avx512() {
	TEXT("parityAVX512", NOSPLIT, signature)
	p, pieces := Load(Param("p"), GP64()), Load(Param("pieces"), GP64())
	quote := ZMM()
	VPBROADCASTB(NewParamAddr("quote", 16), quote)
	KXORQ(K1, K1, K1)
	KXORQ(K2, K2, K2)
	each(p, pieces, func() {
		VPCMPEQB(Mem{Base: p}, quote, K3)
		VPCMPEQB(Mem{Base: p, Disp: 64}, quote, K4)
		VPCMPEQB(Mem{Base: p, Disp: 128}, quote, K5)
		VPCMPEQB(Mem{Base: p, Disp: 192}, quote, K6)
		KXORQ(K3, K4, K3)
		KXORQ(K5, K6, K5)
		KXORQ(K3, K1, K1)
		KXORQ(K5, K2, K2)
	})
	KXORQ(K1, K2, K1)
	mask := GP64()
	KMOVQ(K1, mask)
	odd(mask)
}

func avx2() {
	TEXT("parityAVX2", NOSPLIT, signature)
	p, pieces := Load(Param("p"), GP64()), Load(Param("pieces"), GP64())
	quote := YMM()
	VPBROADCASTB(NewParamAddr("quote", 16), quote)
	a, b := YMM(), YMM()
	VPXOR(a, a, a)
	VPXOR(b, b, b)
	each(p, pieces, func() {
		for i := range 8 {
			v := YMM()
			VPCMPEQB(Mem{Base: p, Disp: 32 * i}, quote, v)
			if i%2 == 0 {
				VPXOR(v, a, a)
			} else {
				VPXOR(v, b, b)
			}
		}
	})
	VPXOR(a, b, a)
	mask := GP64()
	VPMOVMSKB(a, mask.As32())
	odd(mask)
}
