package hctr2

import (
	"encoding/binary"
	"math/bits"
)

// fe is an element of POLYVAL's field (RFC 8452 §3): GF(2^128) modulo
// x^128 + x^127 + x^126 + x^121 + 1, bit i of lo the coefficient of x^i.
type fe struct{ lo, hi uint64 }

func loadFE(b []byte) fe {
	return fe{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

func (a fe) store(b []byte) {
	binary.LittleEndian.PutUint64(b, a.lo)
	binary.LittleEndian.PutUint64(b[8:], a.hi)
}

func (a fe) xor(b fe) fe { return fe{a.lo ^ b.lo, a.hi ^ b.hi} }

// clmul64 returns the low 64 bits of the carry-less product of x and y, by integer multiplication
// of every fourth bit: the three zero bits between two set ones hold the carries of up to 15 sums,
// and the sixteenth is shifted out. Without tables and branches, it takes constant time if
// multiplication does.
func clmul64(x, y uint64) uint64 {
	const m0, m1, m2, m3 = 0x1111111111111111, 0x2222222222222222, 0x4444444444444444, 0x8888888888888888
	x0, x1, x2, x3 := x&m0, x&m1, x&m2, x&m3
	y0, y1, y2, y3 := y&m0, y&m1, y&m2, y&m3
	z0 := x0*y0 ^ x1*y3 ^ x2*y2 ^ x3*y1
	z1 := x0*y1 ^ x1*y0 ^ x2*y3 ^ x3*y2
	z2 := x0*y2 ^ x1*y1 ^ x2*y0 ^ x3*y3
	z3 := x0*y3 ^ x1*y2 ^ x2*y1 ^ x3*y0
	return z0&m0 | z1&m1 | z2&m2 | z3&m3
}

func clmul128(x, y uint64) (hi, lo uint64) {
	return bits.Reverse64(clmul64(bits.Reverse64(x), bits.Reverse64(y))) >> 1, clmul64(x, y)
}

// dot returns a·b·x^-128, POLYVAL's product.
func (a fe) dot(b fe) fe {
	h1, h0 := clmul128(a.hi, b.hi)
	l1, l0 := clmul128(a.lo, b.lo)
	m1, m0 := clmul128(a.lo^a.hi, b.lo^b.hi)
	m1 ^= h1 ^ l1
	m0 ^= h0 ^ l0
	v0, v1, v2, v3 := l0, l1^m0, h0^m1, h1
	// Montgomery reduction, 64 bits in each step.
	v2 ^= v0 ^ v0>>1 ^ v0>>2 ^ v0>>7
	v1 ^= v0<<63 ^ v0<<62 ^ v0<<57
	v3 ^= v1 ^ v1>>1 ^ v1>>2 ^ v1>>7
	v2 ^= v1<<63 ^ v1<<62 ^ v1<<57
	return fe{v2, v3}
}
