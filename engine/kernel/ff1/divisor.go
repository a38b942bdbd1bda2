package ff1

import (
	"encoding/binary"
	"math/big"
	"math/bits"
)

// divisor divides words by d, 2 ≤ d < 2^63 (d = 1 works for remainders of zero), by algorithm 4 of
// Möller and Granlund, "Improved division by invariant integers".
type divisor struct {
	d     uint64
	norm  uint64 // d shifted up to its top bit
	recip uint64 // ⌊(2^128 - 1) / norm⌋ - 2^64
	shift uint
	inv   uint64 // ⌊2^64 / d⌋, for d = 1 less one
	inv96 uint64 // ⌊2^96 / d⌋ for d above 2^32, else 0
}

func newDivisor(d uint64) divisor {
	s := uint(bits.LeadingZeros64(d))
	norm := d << s
	recip, _ := bits.Div64(^norm, ^uint64(0), norm)
	v := divisor{d: d, norm: norm, recip: recip, shift: s, inv: ^uint64(0)}
	if d > 1 {
		v.inv, _ = bits.Div64(1, 0, d)
	}
	if d > 1<<32 {
		v.inv96, _ = bits.Div64(1<<32, 0, d)
	}
	return v
}

// step divides hi·2^64 + lo by norm, for hi < norm.
func (d *divisor) step(hi, lo uint64) (quo, rem uint64) {
	q1, q0 := bits.Mul64(d.recip, hi)
	q0, carry := bits.Add64(q0, lo, 0)
	q1, _ = bits.Add64(q1, hi+1, carry)
	r := lo - q1*d.norm
	_, below := bits.Sub64(q0, r, 0)
	q1 -= below
	r += -below & d.norm
	_, below = bits.Sub64(r, d.norm, 0)
	q1 += 1 - below
	r -= (below - 1) & d.norm
	return q1, r
}

// mod reduces hi·2^64 + lo.
func (d *divisor) mod(hi, lo uint64) uint64 {
	s := d.shift
	_, r := d.step(hi>>(64-s), hi<<s|lo>>(64-s))
	_, r = d.step(r, lo<<s)
	return r >> s
}

// modWord reduces x.
func (d *divisor) modWord(x uint64) uint64 {
	_, r := d.step(x>>(64-d.shift), x<<d.shift)
	return r >> d.shift
}

// divide divides x.
func (d *divisor) divide(x uint64) (quo, rem uint64) {
	q, r := d.step(x>>(64-d.shift), x<<d.shift)
	return q, r >> d.shift
}

// divideWords divides w, least significant word first, in place.
func (d *divisor) divideWords(w []uint64) (rem uint64) {
	s := d.shift
	r := w[len(w)-1] >> (64 - s)
	for i := len(w) - 1; i > 0; i-- {
		w[i], r = d.step(r, w[i]<<s|w[i-1]>>(64-s))
	}
	w[0], r = d.step(r, w[0]<<s)
	return r >> s
}

// addMod returns a + b modulo d, for a and b below d.
func (d *divisor) addMod(a, b uint64) uint64 {
	c := a + b
	_, below := bits.Sub64(c, d.d, 0)
	return c - (below-1)&d.d
}

// subMod returns a - b modulo d, for a and b below d.
func (d *divisor) subMod(a, b uint64) uint64 {
	c, below := bits.Sub64(a, b, 0)
	return c + -below&d.d
}

// divisor2 reduces numbers of three words modulo d1·2^64 + d0, from 2^48 to
// 2^120, by algorithm 5 of the same paper.
type divisor2 struct {
	d1, d0 uint64
	n1, n0 uint64 // d shifted up to its top bit
	recip  uint64 // ⌊(2^192 - 1) / n⌋ - 2^64
	shift  uint
}

func newDivisor2(d *big.Int) *divisor2 {
	words := func(x *big.Int) (hi, lo uint64) {
		var b [16]byte
		x.FillBytes(b[:])
		return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	}
	p := &divisor2{shift: uint(128 - d.BitLen())}
	n := new(big.Int).Lsh(d, p.shift)
	p.d1, p.d0 = words(d)
	p.n1, p.n0 = words(n)
	one := big.NewInt(1)
	v := new(big.Int).Lsh(one, 192)
	v.Sub(v, one).Div(v, n).Sub(v, new(big.Int).Lsh(one, 64))
	_, p.recip = words(v)
	return p
}

// step reduces three words modulo n, for u2·2^64 + u1 below n.
func (p *divisor2) step(u2, u1, u0 uint64) (r1, r0 uint64) {
	q1, q0 := bits.Mul64(p.recip, u2)
	q0, carry := bits.Add64(q0, u1, 0)
	q1, _ = bits.Add64(q1, u2, carry)
	r1 = u1 - q1*p.n1
	t1, t0 := bits.Mul64(p.n0, q1)
	r0, below := bits.Sub64(u0, t0, 0)
	r1, _ = bits.Sub64(r1, t1, below)
	r0, below = bits.Sub64(r0, p.n0, 0)
	r1, _ = bits.Sub64(r1, p.n1, below)
	_, below = bits.Sub64(r1, q0, 0)
	again := below - 1 // all ones: r1 ≥ q0
	r0, carry = bits.Add64(r0, again&p.n0, 0)
	r1, _ = bits.Add64(r1, again&p.n1, carry)
	return p.below(r1, r0, p.n1, p.n0)
}

// below subtracts m from x if x is not below it.
func (p *divisor2) below(x1, x0, m1, m0 uint64) (r1, r0 uint64) {
	r0, b := bits.Sub64(x0, m0, 0)
	r1, b = bits.Sub64(x1, m1, b)
	keep := -b
	return r1&^keep | x1&keep, r0&^keep | x0&keep
}

// mod reduces x2·2^128 + x1·2^64 + x0, below 2^160.
func (p *divisor2) mod(x2, x1, x0 uint64) (r1, r0 uint64) {
	s := p.shift
	var x3 uint64
	if s >= 64 { // shifts depend only on the modulus
		x3, x2, x1, x0 = x2, x1, x0, 0
		s -= 64
	}
	x3, x2, x1, x0 = x3<<s|x2>>(64-s), x2<<s|x1>>(64-s), x1<<s|x0>>(64-s), x0<<s
	r1, r0 = p.step(x3, x2, x1)
	r1, r0 = p.step(r1, r0, x0)
	if p.shift >= 64 {
		return 0, r1 >> s
	}
	return r1 >> s, r0>>s | r1<<(64-s)
}

// add returns a + y modulo d, for both below d.
func (p *divisor2) add(a1, a0, y1, y0 uint64) (uint64, uint64) {
	r0, c := bits.Add64(a0, y0, 0)
	r1, _ := bits.Add64(a1, y1, c)
	return p.below(r1, r0, p.d1, p.d0)
}

// sub returns a - y modulo d, for both below d.
func (p *divisor2) sub(a1, a0, y1, y0 uint64) (uint64, uint64) {
	r0, b := bits.Sub64(a0, y0, 0)
	r1, b := bits.Sub64(a1, y1, b)
	r0, c := bits.Add64(r0, -b&p.d0, 0)
	r1, _ = bits.Add64(r1, -b&p.d1, c)
	return r1, r0
}
