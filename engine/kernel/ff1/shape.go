package ff1

import "math/bits"

// wholeShape holds the constants of a length for the kernels of whole values: halves of up to 16
// numerals below 2^62, in one register lane each, or for lengths of up to 16 in one lane for both.
// None is secret. Generators read the offsets of its fields from this declaration.
type wholeShape struct {
	place          [16]byte // shuffle of the halves to the ends of 8 bytes each
	pack           [16]byte // its inverse
	maskN          uint64   // the value's bytes of a lane, for four lanes
	maskA, maskB   uint64   // a half's bytes at the end of a lane
	beginA, beginB int64    // offset of such a lane from the start of the value
	pairs, fours   uint32   // weights of numerals (bytes), and of pairs of them (words)
	r4, r8         uint64   // radix^4, radix^8
	invR4, invR8   float64  // slightly less than their reciprocals
	mul2, shift2   uint64   // ⌊x/radix^2⌋ = x·mul2 >> shift2 for x < radix^4
	r2             uint64   // radix^2 in both halves
	mul1, shift1   uint64   // ⌊x/radix⌋ = x·mul1 >> 16 >> shift1 for x < radix^2; mul1 in all quarters
	r1             uint64   // radix in all quarters
	half           [2]modulus
	wide           uint64 // 1 if d = 12
	fold           uint64 // 1 if a modulus is below 2^15
	rounds         [10][16]byte
	long           bool
}

// modulus is radix^u or radix^v.
type modulus struct {
	m    uint64
	inv  float64 // a little less than 1/m
	fold uint64  // 2^32 mod m
	_    uint64
}

// newShape returns the shape of length n, nil if there is none. Reciprocals are reduced by 2^-50 of
// themselves, more than the sum of all rounding errors of a product, so that a quotient by them is
// right or one too small.
func newShape(r *radixTables, n int) *wholeShape {
	u, v := n/2, n-n/2
	if v > 16 || v > r.limb || r.pow[v].d > 1<<62 {
		return nil
	}
	b, d := r.widthOf(n)
	if b > 8 {
		return nil
	}
	s := &wholeShape{long: n > 16}
	below := func(x uint64) float64 { return 1 / float64(x) * (1 - 1.0/(1<<50)) }
	const lanes, words, doubles = 0x0001000100010001, 0x0001000100010001, 0x0000000100000001
	if n <= 16 {
		for i := range 16 {
			s.place[i], s.pack[i] = 0x80, 0x80
		}
		for i := range u {
			s.place[8-u+i], s.pack[i] = byte(i), byte(8-u+i)
		}
		for i := range v {
			s.place[16-v+i], s.pack[u+i] = byte(u+i), byte(16-v+i)
		}
		s.maskN = (1<<n - 1) * lanes
	}
	s.maskA, s.maskB = uint64(0xFFFF<<(16-u)&0xFFFF)*lanes, uint64(0xFFFF<<(16-v)&0xFFFF)*lanes
	s.beginA, s.beginB = int64(u-16), int64(n-16)
	x := r.radix
	s.pairs, s.fours = uint32(x)|1<<8, uint32(x*x)|1<<16
	s.pairs |= s.pairs << 16
	s.r4, s.r8 = x*x*x*x, x*x*x*x*x*x*x*x
	s.invR4, s.invR8 = below(s.r4), below(s.r8)
	up := func(x uint64) uint64 { return uint64(bits.Len64(x*x*x - 1)) } // x^3 ≤ 2^up
	s.shift2 = up(x * x)
	s.mul2 = (1<<s.shift2 + x*x - 1) / (x * x)
	s.r2 = x * x * doubles
	s.shift1 = max(16, up(x)) - 16
	s.mul1 = (1<<(s.shift1+16) + x - 1) / x * words
	s.r1 = x * words
	for i, k := range []int{u, v} {
		m := r.pow[k].d
		s.half[i] = modulus{m: m, inv: below(m), fold: 1 << 32 % m}
		if m < 1<<15 {
			s.fold = 1
		}
	}
	if d == 12 {
		s.wide, s.fold = 1, 0
	}
	for i := range s.rounds {
		s.rounds[i][15-b] = byte(i)
	}
	return s
}
