package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// block holds the vectors of one 64-byte block: one of 64 bytes or two of 32.
type block struct {
	wide bool
	v    []reg.VecVirtual
	or   []reg.VecVirtual        // bitwise or of all bytes loaded
	is   map[byte]reg.VecVirtual // by byte: a vector full of it; 'w' is the shuffle of white space
}

func vector(wide bool) reg.VecVirtual {
	if wide {
		return ZMM()
	}
	return YMM()
}

func newBlock(wide bool) *block {
	b := &block{wide: wide, is: map[byte]reg.VecVirtual{}}
	n := 2
	if wide {
		n = 1
	}
	for range n {
		b.v = append(b.v, vector(wide))
		x := vector(wide)
		if wide {
			VPXORQ(x, x, x)
		} else {
			VPXOR(x, x, x)
		}
		b.or = append(b.or, x)
	}
	return b
}

// broadcast sets b.is[c].
func (b *block) broadcast(c byte) {
	t, x, y := GP32(), XMM(), vector(b.wide)
	MOVL(U32(c), t)
	VMOVD(t, x)
	VPBROADCASTB(x, y)
	b.is[c] = y
}

func (b *block) load(p reg.Register) {
	for i, v := range b.v {
		if b.wide {
			VMOVDQU64(Mem{Base: p}, v)
			VPORQ(v, b.or[i], b.or[i])
		} else {
			VMOVDQU(Mem{Base: p, Disp: 32 * i}, v)
			VPOR(v, b.or[i], b.or[i])
		}
	}
}

// bits returns 64 bits, one for each byte of the block: the mask that make(0) returns, or the
// highest bits of the bytes of the two vectors that make(0) and make(1) return.
func (b *block) bits(make func(i int) reg.Register) reg.GPVirtual {
	r := GP64()
	if b.wide {
		KMOVQ(make(0), r)
		return r
	}
	lo, hi := GP32(), GP32()
	VPMOVMSKB(make(0), lo)
	VPMOVMSKB(make(1), hi)
	MOVL(lo, r.As32())
	high := hi.As64()
	SHLQ(U8(32), high)
	ORQ(high, r)
	return r
}

// equal returns which bytes are c.
func (b *block) equal(c byte) reg.GPVirtual {
	return b.bits(func(i int) reg.Register { return b.equalVector(c, i) })
}

func (b *block) equalVector(c byte, i int) reg.Register {
	if b.wide {
		k := K()
		VPCMPEQB(b.v[i], b.is[c], k)
		return k
	}
	y := YMM()
	VPCMPEQB(b.v[i], b.is[c], y)
	return y
}

// controls returns which bytes are below 0x20.
func (b *block) controls() reg.GPVirtual {
	return b.bits(func(i int) reg.Register {
		if b.wide {
			k := K()
			VPCMPUB(U8(1), b.is[0x20], b.v[i], k)
			return k
		}
		y := YMM()
		VPMINUB(b.v[i], b.is[0x1f], y)
		VPCMPEQB(b.v[i], y, y)
		return y
	})
}

// blanks returns which bytes are white space.
func (b *block) blanks() reg.GPVirtual {
	return b.bits(func(i int) reg.Register {
		if b.wide {
			z, k := ZMM(), K()
			VPSHUFB(b.v[i], b.is['w'], z)
			VPCMPEQB(b.v[i], z, k)
			return k
		}
		y := YMM()
		VPSHUFB(b.v[i], b.is['w'], y)
		VPCMPEQB(b.v[i], y, y)
		return y
	})
}

// high returns a value other than zero if a byte of 0x80 or more was loaded.
func (b *block) high() reg.GPVirtual {
	return b.bits(func(i int) reg.Register {
		if b.wide {
			k := K()
			VPMOVB2M(b.or[i], k)
			return k
		}
		return b.or[i]
	})
}
