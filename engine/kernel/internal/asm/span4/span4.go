// Package span4 generates how AVX2 kernels look at the spans of four values.
package span4

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Arg loads an argument of the function.
func Arg(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

// spansFit leaves ZF=1 when the four spans at sp fit: limits holds the greatest offset
// and the greatest length - 1, less what one holds.
func spansFit(sp reg.Register, one, limits reg.VecVirtual) {
	a, t := YMM(), GP32()
	VMOVDQU(Mem{Base: sp}, a)
	VPSUBD(one, a, a)
	VPMAXUD(limits, a, a)
	VPCMPEQD(limits, a, a)
	VPMOVMSKB(a, t)
	CMPL(t, I32(-1))
}

// Fit leaves ZF=1 when the four spans at sp fit: limits holds the greatest offset
// and the greatest length - 1, less what one holds.
func Fit(sp reg.Register, one, limits reg.VecVirtual) {
	a, t := YMM(), GP32()
	VMOVDQU(Mem{Base: sp}, a)
	VPSUBD(one, a, a)
	VPMAXUD(limits, a, a)
	VPCMPEQD(limits, a, a)
	VPMOVMSKB(a, t)
	CMPL(t, I32(-1))
}

// Pattern is 8 bytes, four times.
func Pattern(v uint64) reg.VecVirtual {
	t, x, y := GP64(), XMM(), YMM()
	MOVQ(U64(v), t)
	VMOVQ(t, x)
	VPBROADCASTQ(x, y)
	return y
}

// Limit is the argument limit, four times.
func Limit() reg.VecVirtual {
	t, x, y := Arg("limit"), XMM(), YMM()
	VMOVQ(t, x)
	VPBROADCASTQ(x, y)
	return y
}
