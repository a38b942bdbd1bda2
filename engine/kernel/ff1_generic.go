package kernel

import (
	"encoding/binary"
	"math/big"
	"math/bits"
	"sync"
)

// The portable twin of FF1: crypto/aes, and arithmetic on 64-bit words. Halves
// below 2^63 are one word. Longer ones are limbs in base radix^k, the largest
// power below 2^63, so that reducing the cipher's output modulo radix^m is
// dividing it by one word again and again. Division is multiplication by a
// reciprocal, and corrections are masked: no time depends on a value.

// divisor divides words by d, 2 ≤ d < 2^63 (d = 1 works for remainders of
// zero), by the method of Möller and Granlund, "Improved division by invariant
// integers", algorithm 4.
type divisor struct {
	d     uint64
	norm  uint64 // d shifted up to its top bit
	recip uint64 // ⌊(2^128 - 1) / norm⌋ - 2^64
	shift uint
}

func newDivisor(d uint64) divisor {
	s := uint(bits.LeadingZeros64(d))
	norm := d << s
	recip, _ := bits.Div64(^norm, ^uint64(0), norm)
	return divisor{d: d, norm: norm, recip: recip, shift: s}
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
	if s >= 64 { // shifts depend on the modulus alone
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

// ff1Text translates between characters and numerals eight at a time, without
// a table that a value would index: an alphabet is runs of neighbours in ASCII.
type ff1Text struct {
	runs []ff1Run
}

// ff1Run is a stretch of characters that follow each other in ASCII and in the
// alphabet: places num … num+more are the characters char … char+more. Each
// field holds the number in all eight bytes.
type ff1Run struct {
	char, num, more uint64
}

const (
	everyByte = 0x0101010101010101
	topBits   = 0x8080808080808080
)

func newFF1Text(alphabet string) ff1Text {
	var t ff1Text
	for i := 0; i < len(alphabet); {
		j := i + 1
		for j < len(alphabet) && alphabet[j] == alphabet[j-1]+1 {
			j++
		}
		t.runs = append(t.runs, ff1Run{uint64(alphabet[i]) * everyByte, uint64(i) * everyByte, uint64(j-1-i) * everyByte})
		i = j
	}
	return t
}

// moveRun maps the bytes of x from run [from, from+more] to the run at to, and
// returns them with a mask of the bytes that were in it, zeros elsewhere. Bytes
// are below 128.
func moveRun(x, from, to, more uint64) (moved, in uint64) {
	above := (x | topBits) - from         // top bit: not below the run; below it: the distance
	within := (from + more | topBits) - x // top bit: not above the run
	in = above & within & topBits         // top bits
	in = in >> 7 * 0xFF                   // whole bytes
	return (above&^topBits + to) & in, in // below 128 + 94: no carry between bytes
}

// numerals writes the places of v's characters to num, which has room for
// another seven bytes, and says whether all are in the alphabet.
func (t *ff1Text) numerals(num, v []byte) bool {
	var foreign uint64
	for i := 0; i < len(v); i += 8 {
		var x uint64
		valid := ^uint64(0)
		if len(v)-i >= 8 {
			x = binary.LittleEndian.Uint64(v[i:])
		} else {
			for j, c := range v[i:] {
				x |= uint64(c) << (8 * j)
			}
			valid = 1<<(8*uint(len(v)-i)) - 1
		}
		foreign |= x & topBits
		x &^= topBits
		var y, found uint64
		for k := range t.runs {
			r := &t.runs[k]
			m, in := moveRun(x, r.char, r.num, r.more)
			y |= m
			found |= in
		}
		foreign |= ^found & valid
		binary.LittleEndian.PutUint64(num[i:], y&valid)
	}
	return foreign == 0
}

// characters writes the characters of the numerals num to v. num has another
// seven bytes of room behind, of any content below 128.
func (t *ff1Text) characters(v, num []byte) {
	for i := 0; i < len(v); i += 8 {
		x := binary.LittleEndian.Uint64(num[i : i+8])
		var y uint64
		for k := range t.runs {
			r := &t.runs[k]
			m, _ := moveRun(x, r.num, r.char, r.more)
			y |= m
		}
		if len(v)-i >= 8 {
			binary.LittleEndian.PutUint64(v[i:], y)
		} else {
			for j := range v[i:] {
				v[i+j] = byte(y >> (8 * j))
			}
		}
	}
}

// ff1Scratch is the twin's working memory: buffers that go through the
// interface of crypto/aes would otherwise be allocated for every value.
type ff1Scratch struct {
	block [16]byte            // in and out of the cipher
	chain [16]byte            // CBC-MAC state of the length at hand
	num   [ff1MaxLen + 8]byte // numerals
	q     [16 * 7]byte        // the blocks of Q that differ from value to value
	s     [16 * 7]byte        // S
	words [14]uint64          // a half, or S, in binary, least significant first
	limbs [2][16]uint64       // A and B in limbs, least significant first
	sum   [16]uint64          // S in limbs
}

var ff1Scratches = sync.Pool{New: func() any { return new(ff1Scratch) }}

// makeChain writes the CBC-MAC state before the last blocks of Q, into which
// their constant bytes (the tweak's end, or zeros) are folded.
func (f *FF1) makeChain(state *[16]byte, n int) {
	b, _ := f.r.widthOf(n)
	*state = [16]byte{1, 2, 1, 3: byte(f.r.radix >> 16), byte(f.r.radix >> 8), byte(f.r.radix), 10, byte(n / 2)}
	state[3], state[4], state[5] = 0, 0, byte(f.r.radix)
	binary.BigEndian.PutUint32(state[8:], uint32(n))
	binary.BigEndian.PutUint32(state[12:], uint32(len(f.tweak)))
	f.block.Encrypt(state[:], state[:])
	total := (len(f.tweak) + 1 + b + 15) / 16 * 16
	last := total - (1+b+15)/16*16 // where the blocks that differ begin
	for i := 0; i < total-b-1; i++ {
		if i > 0 && i%16 == 0 && i <= last {
			f.block.Encrypt(state[:], state[:])
		}
		if i < len(f.tweak) {
			state[i%16] ^= f.tweak[i]
		}
	}
	if last > 0 && last >= total-b-1 { // all constant blocks were filled to the brim
		f.block.Encrypt(state[:], state[:])
	}
}

// generic is the specification of Encrypt and Decrypt. Bounds are checked.
func (f *FF1) generic(dst []byte, at []uint32, base []byte, spans []uint32, bad []FF1Error, dec bool) []FF1Error {
	s := ff1Scratches.Get().(*ff1Scratch)
	for i := 0; i < len(spans)/2; i++ {
		off, n := spans[2*i], spans[2*i+1]
		place := off
		if at != nil {
			place = at[i]
		}
		if code := f.one(s, dst[place:place+n], base[off:off+n], dec); code != 0 {
			bad = append(bad, FF1Error{i, code})
		}
	}
	s.release()
	return bad
}

// release wipes what a value left and gives the scratch back.
func (s *ff1Scratch) release() {
	*s = ff1Scratch{}
	ff1Scratches.Put(s)
}

// one transforms one value; dst is as long as v and may be v.
func (f *FF1) one(s *ff1Scratch, dst, v []byte, dec bool) FF1Code {
	n := len(v)
	if n == 0 {
		return 0
	}
	if n > ff1MaxLen {
		for i := 0; i < n; i += ff1MaxLen {
			if !f.text.numerals(s.num[:], v[i:min(n, i+ff1MaxLen)]) {
				return FF1Character
			}
		}
		return FF1Length
	}
	if !f.text.numerals(s.num[:], v) {
		return FF1Character
	}
	if n < f.r.min {
		return FF1Length
	}
	chain := &s.chain
	if n <= ff1Chained {
		*chain = f.k.chain[n]
	} else {
		f.makeChain(chain, n)
	}
	if n-n/2 <= f.r.limb {
		f.word(s, n, dec)
	} else {
		f.long(s, n, dec)
	}
	f.text.characters(dst, s.num[:])
	return 0
}

// word transforms the numerals of n characters whose halves are words.
func (f *FF1) word(s *ff1Scratch, n int, dec bool) {
	r := f.r
	u, v := n/2, n-n/2
	b, d := r.widthOf(n)
	a, c := r.join(s.num[:u]), r.join(s.num[u:n])
	hi, lo := binary.BigEndian.Uint64(s.chain[:8]), binary.BigEndian.Uint64(s.chain[8:])
	// The round number stands before the b bytes of the half: byte 15-b.
	upper := uint64(b / 8) // 1 if that is in the upper word
	shift := uint(8*b) & 63
	even, odd := &r.pow[u], &r.pow[v]
	if dec {
		a, c = c, a
		even, odd = odd, even
	}
	for k := range 10 {
		i := uint64(k)
		if dec {
			i = 9 - i
		}
		binary.BigEndian.PutUint64(s.block[:8], hi^i*upper)
		binary.BigEndian.PutUint64(s.block[8:], lo^c^i*(1-upper)<<shift)
		f.block.Encrypt(s.block[:], s.block[:])
		y := binary.BigEndian.Uint64(s.block[:8])
		if d == 8 {
			y = even.modWord(y)
		} else {
			y = even.mod(y>>32, y<<32|uint64(binary.BigEndian.Uint32(s.block[8:])))
		}
		if dec {
			a, c = c, even.subMod(a, y)
		} else {
			a, c = c, even.addMod(a, y)
		}
		even, odd = odd, even
	}
	if dec {
		a, c = c, a
	}
	r.split(s.num[:u], a)
	r.split(s.num[u:n], c)
}

// join returns the number that the numerals stand for, below 2^63.
func (r *ff1Radix) join(num []byte) uint64 {
	var x uint64
	for _, d := range num {
		x = x*r.radix + uint64(d)
	}
	return x
}

// split writes x as len(num) numerals.
func (r *ff1Radix) split(num []byte, x uint64) {
	for n := len(num); n > 0; {
		k := min(n, r.small)
		part := x
		if n > k {
			x, part = r.pow[k].divide(x)
		}
		for range k {
			q, _ := bits.Mul64(part, r.recip)
			n--
			num[n] = byte(part - q*r.radix)
			part = q
		}
	}
}

// long transforms the numerals of n characters whose halves are limbs.
func (f *FF1) long(s *ff1Scratch, n int, dec bool) {
	r := f.r
	u := n / 2
	b, d := r.widthOf(n)
	m, other := u, n-u
	a, c := &s.limbs[0], &s.limbs[1]
	r.joinLimbs(a[:], s.num[:u])
	r.joinLimbs(c[:], s.num[u:n])
	if dec {
		a, c = c, a
		m, other = other, m
	}
	vary := (1 + b + 15) / 16 * 16
	for k := range 10 {
		i := k
		if dec {
			i = 9 - k
		}
		// Q's last blocks: round number and half.
		q := s.q[:vary]
		clear(q)
		q[vary-1-b] = byte(i)
		f.binary(s, c[:], other, q[vary-b:])
		s.block = s.chain
		for j := 0; j < vary; j += 16 {
			for x := range s.block {
				s.block[x] ^= q[j+x]
			}
			f.block.Encrypt(s.block[:], s.block[:])
		}
		copy(s.s[:16], s.block[:])
		for j := 1; 16*j < d; j++ {
			copy(s.block[:], s.s[:16])
			s.block[15] ^= byte(j) // at most 7 blocks
			f.block.Encrypt(s.block[:], s.block[:])
			copy(s.s[16*j:], s.block[:])
		}
		// S in binary, then in limbs modulo radix^m.
		w := s.words[:(d+7)/8]
		for j := range w {
			end := d - 8*j
			if end >= 8 {
				w[j] = binary.BigEndian.Uint64(s.s[end-8:])
			} else {
				w[j] = uint64(binary.BigEndian.Uint32(s.s[end-4:])) // d is a multiple of four
			}
		}
		limbs := (m + r.limb - 1) / r.limb
		for j := range limbs {
			s.sum[j] = r.limbOf(j, m).divideWords(w)
		}
		var carry uint64
		for j := range limbs {
			p := r.limbOf(j, m)
			if dec {
				x, below := bits.Sub64(a[j], s.sum[j]+carry, 0)
				a[j], carry = x+-below&p.d, below
			} else {
				x := a[j] + s.sum[j] + carry // below 2^64: both limbs are below 2^63
				_, below := bits.Sub64(x, p.d, 0)
				a[j], carry = x-(below-1)&p.d, 1-below
			}
		}
		a, c = c, a
		m, other = other, m
	}
	if dec {
		a, c = c, a
	}
	r.splitLimbs(s.num[:u], a[:])
	r.splitLimbs(s.num[u:n], c[:])
}

// limbOf returns the base of limb j of a number of m numerals.
func (r *ff1Radix) limbOf(j, m int) *divisor { return &r.pow[min(r.limb, m-j*r.limb)] }

// joinLimbs writes the limbs of the numerals.
func (r *ff1Radix) joinLimbs(limbs []uint64, num []byte) {
	for j, end := 0, len(num); end > 0; j++ {
		begin := max(0, end-r.limb)
		limbs[j] = r.join(num[begin:end])
		end = begin
	}
}

// splitLimbs is the inverse of joinLimbs.
func (r *ff1Radix) splitLimbs(num []byte, limbs []uint64) {
	for j, end := 0, len(num); end > 0; j++ {
		begin := max(0, end-r.limb)
		r.split(num[begin:end], limbs[j])
		end = begin
	}
}

// binary writes the number in limbs, of m numerals, as len(out) bytes, most
// significant first.
func (f *FF1) binary(s *ff1Scratch, limbs []uint64, m int, out []byte) {
	w := s.words[:(len(out)+7)/8]
	clear(w)
	for j := (m+f.r.limb-1)/f.r.limb - 1; j >= 0; j-- {
		p, carry := f.r.pow[f.r.limb].d, limbs[j]
		for i := range w {
			hi, lo := bits.Mul64(w[i], p)
			var c uint64
			w[i], c = bits.Add64(lo, carry, 0)
			carry = hi + c
		}
	}
	for i := range out {
		j := len(out) - 1 - i
		out[j] = byte(w[i/8] >> (8 * (i % 8)))
	}
}
