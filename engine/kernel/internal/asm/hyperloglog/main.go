// Command hyperloglog generates the kernel that hashes values for an estimate of the number
// of distinct ones: eight values per iteration, one in each 64-bit lane.
//
//	go run ./hyperloglog -out x_avx512_amd64.s
package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	"github.com/velonym/velonym/engine/kernel/internal/asm/layout"
)

// broadcast returns a vector with v in each of its eight lanes.
func broadcast(v uint64) reg.VecVirtual {
	t, z := GP64(), ZMM()
	MOVQ(U64(v), t)
	VPBROADCASTQ(t, z)
	return z
}

// broadcastField returns a vector with the sampler's field at an offset in each of its eight
// lanes.
func broadcastField(s reg.Register, at int) reg.VecVirtual {
	z := ZMM()
	VPBROADCASTQ(Mem{Base: s, Disp: at}, z)
	return z
}

// gather loads eight bytes from base plus disp plus each offset in at.
func gather(base reg.Register, disp int, at reg.VecVirtual) reg.VecVirtual {
	k, z := K(), ZMM()
	KXNORB(k, k, k)
	VPXORQ(z, z, z)
	VPGATHERQQ(Mem{Base: base, Disp: disp, Index: at, Scale: 1}, k, z)
	return z
}

// xorShift does h ^= h >> n.
func xorShift(h reg.VecVirtual, n uint64) {
	t := ZMM()
	VPSRLQ(Imm(n), h, t)
	VPXORQ(t, h, h)
}

// Constants of hash_generic.go.
const (
	mul0 = 0x9e3779b97f4a7c15
	mul1 = 0xbf58476d1ce4e5b9
	mul2 = 0x94d049bb133111eb
)

func main() {
	at := layout.Of("../bulk/internal/hyperloglog", "sampler").At
	ConstraintExpr("!purego")
	TEXT("hashAVX512", NOSPLIT, "func(s *uint64, dst *[264]uint64, src *byte, spans *uint32, n int, longest uint64) (done, kept, empty int)")
	s, dst := Load(Param("s"), GP64()), Load(Param("dst"), GP64())
	src, spans := Load(Param("src"), GP64()), Load(Param("spans"), GP64())
	n := Load(Param("n"), GP64())
	seed0, seed1, limit, longest := broadcastField(s, at("seed0")), broadcastField(s, at("seed1")), broadcastField(s, at("limit")), ZMM()
	VPBROADCASTQ(NewParamAddr("longest", 40), longest)
	c0, c1, c2 := broadcast(mul0), broadcast(mul1), broadcast(mul2)
	low, eight, zero := broadcast(1<<32-1), broadcast(8), ZMM()
	VPXORQ(zero, zero, zero)
	done, k, empty := GP64(), GP64(), GP64()
	XORQ(done, done)
	XORQ(k, k)
	XORQ(empty, empty)
	Label("eight")
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
	// Eight bytes are read from the start of a value and the eight before end. over is the
	// number of bits among them that follow a value shorter than eight bytes.
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
	xorShift(a, 32)
	high := ZMM()
	VPSLLQ(Imm(36), size, high)
	VPSLLQ(Imm(12), size, size)
	VPXORQ(high, size, size)
	VPTERNLOGQ(Imm(0x96), seed1, size, b)
	VPXORQ(b, a, a)
	VPMULLQ(c1, a, a)
	xorShift(a, 29)
	VPMULLQ(c2, a, a)
	xorShift(a, 32)
	VPCMPUQ(Imm(2), limit, a, small)
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
	JMP(LabelRef("eight"))
	Label("end")
	VZEROUPPER()
	Store(done, ReturnIndex(0))
	Store(k, ReturnIndex(1))
	Store(empty, ReturnIndex(2))
	RET()
	Generate()
}
