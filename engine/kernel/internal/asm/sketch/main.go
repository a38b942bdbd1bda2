// Command sketch generates the hashing of values for an estimate of how many differ:
// eight values a step, a lane of 64 bits each.
//
//	go run ./sketch -out ../../x_avx512_amd64.s
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func all(v uint64) reg.VecVirtual {
	t, z := GP64(), ZMM()
	MOVQ(U64(v), t)
	VPBROADCASTQ(t, z)
	return z
}

// field broadcasts a word of the sketch.
func field(s reg.Register, at int) reg.VecVirtual {
	z := ZMM()
	VPBROADCASTQ(Mem{Base: s, Disp: at}, z)
	return z
}

// gather loads eight bytes from every offset behind base.
func gather(base reg.Register, disp int, at reg.VecVirtual) reg.VecVirtual {
	k, z := K(), ZMM()
	KXNORB(k, k, k)
	VPXORQ(z, z, z)
	VPGATHERQQ(Mem{Base: base, Disp: disp, Index: at, Scale: 1}, k, z)
	return z
}

// fold does h ^= h >> n.
func fold(h reg.VecVirtual, n uint64) {
	t := ZMM()
	VPSRLQ(Imm(n), h, t)
	VPXORQ(t, h, h)
}

// Constants of sketch.go.
const (
	mul0 = 0x9e3779b97f4a7c15
	mul1 = 0xbf58476d1ce4e5b9
	mul2 = 0x94d049bb133111eb
)

func main() {
	ConstraintExpr("!purego")
	TEXT("sketchAVX512", NOSPLIT, "func(s, dst *uint64, src *byte, spans *uint32, n int, longest uint64) (done, kept, empty int)")
	Pragma("noescape")
	Doc("sketchAVX512 hashes up to n values, a multiple of 8, and stops before eight of which one is longer than longest: done were hashed, kept are in dst, which has room for seven more, and empty were left out. Eight bytes behind the last value are readable.")
	s, dst := Load(Param("s"), GP64()), Load(Param("dst"), GP64())
	src, spans := Load(Param("src"), GP64()), Load(Param("spans"), GP64())
	n := Load(Param("n"), GP64())
	seed0, seed1, most, longest := field(s, 0), field(s, 8), field(s, 16), ZMM()
	VPBROADCASTQ(NewParamAddr("longest", 40), longest)
	c0, c1, c2 := all(mul0), all(mul1), all(mul2)
	low, eight, zero := all(1<<32-1), all(8), ZMM()
	VPXORQ(zero, zero, zero)
	done, k, empty := GP64(), GP64(), GP64()
	XORQ(done, done)
	XORQ(k, k)
	XORQ(empty, empty)
	Label("loop")
	CMPQ(done, n)
	JGE(LabelRef("end"))
	off, size := ZMM(), ZMM()
	VMOVDQU64(Mem{Base: spans, Index: done, Scale: 8}, off)
	VPSRLQ(Imm(32), off, size)
	VPANDQ(low, off, off)
	none, long, small := K(), K(), K()
	VPCMPUQ(Imm(6), longest, size, long)
	KORTESTB(long, long)
	JNE(LabelRef("end"))
	VPCMPEQQ(zero, size, none)
	// Where the last eight bytes end, and what the first and they hold too much.
	end, over := ZMM(), ZMM()
	VPMAXUQ(eight, size, end)
	VPSUBQ(size, end, over)
	VPSLLQ(Imm(3), over, over)
	VPADDQ(off, end, end)
	a := gather(src, 0, off)
	b := gather(src, -8, end)
	VPSLLVQ(over, a, a)
	VPSLLVQ(over, b, b)
	VPSRLVQ(over, a, a)
	VPSRLVQ(over, b, b)
	VPXORQ(seed0, a, a)
	VPMULLQ(c0, a, a)
	fold(a, 32)
	high := ZMM()
	VPSLLQ(Imm(36), size, high)
	VPSLLQ(Imm(12), size, size)
	VPXORQ(high, size, size)
	VPTERNLOGQ(Imm(0x96), seed1, size, b)
	VPXORQ(b, a, a)
	VPMULLQ(c1, a, a)
	fold(a, 29)
	VPMULLQ(c2, a, a)
	fold(a, 32)
	VPCMPUQ(Imm(2), most, a, small)
	KANDNB(small, none, small)
	VPCOMPRESSQ(a, small, a)
	VMOVDQU64(a, Mem{Base: dst, Index: k, Scale: 8})
	m := GP32()
	KMOVB(small, m)
	POPCNTL(m, m)
	ADDQ(m.As64(), k)
	e := GP32()
	KMOVB(none, e)
	POPCNTL(e, e)
	ADDQ(e.As64(), empty)
	ADDQ(Imm(8), done)
	JMP(LabelRef("loop"))
	Label("end")
	VZEROUPPER()
	Store(done, ReturnIndex(0))
	Store(k, ReturnIndex(1))
	Store(empty, ReturnIndex(2))
	RET()
	Generate()
}
