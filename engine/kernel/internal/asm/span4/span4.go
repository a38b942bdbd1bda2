// Package span4 generates what AVX2 kernels share: loading arguments and checking the spans
// of four values.
package span4

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Arg loads an argument of the function.
func Arg(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

// Fit leaves ZF=1 when the four spans at sp fit. one is subtracted from every offset and
// length first, so that an empty span wraps round and fails; limits holds the greatest
// offset and length after that.
func Fit(sp reg.Register, one, limits reg.VecVirtual) {
	a, t := YMM(), GP32()
	VMOVDQU(Mem{Base: sp}, a)
	VPSUBD(one, a, a)
	VPMAXUD(limits, a, a)
	VPCMPEQD(limits, a, a)
	VPMOVMSKB(a, t)
	CMPL(t, I32(-1))
}

// Pattern returns a vector of the 8 bytes of v, four times.
func Pattern(v uint64) reg.VecVirtual {
	t, x, y := GP64(), XMM(), YMM()
	MOVQ(U64(v), t)
	VMOVQ(t, x)
	VPBROADCASTQ(x, y)
	return y
}

// Limit returns a vector of the argument limit, four times.
func Limit() reg.VecVirtual {
	t, x, y := Arg("limit"), XMM(), YMM()
	VMOVQ(t, x)
	VPBROADCASTQ(x, y)
	return y
}
