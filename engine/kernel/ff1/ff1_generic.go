package ff1

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

// The portable twin of FF1 uses crypto/aes and arithmetic on 64-bit words. A half below 2^63 is one
// word. A longer one has limbs in base radix^k, the largest power below 2^63, so that the cipher's
// output is reduced modulo radix^m by repeated division by one word. Division is multiplication by
// a reciprocal, and corrections are masked: the time does not depend on a value.

// scratch is the twin's working memory. Buffers that are passed to the interface of crypto/aes would
// otherwise be allocated for every value.
type scratch struct {
	block [16]byte         // in and out of the cipher
	chain [16]byte         // CBC-MAC state of the current length
	num   [maxLen + 8]byte // numerals
	q     [16 * 7]byte     // the blocks of Q that depend on the value
	s     [16 * 7]byte     // S
	words [14]uint64       // a half, or S, in binary, least significant first
	limbs [2][16]uint64    // A and B in limbs, least significant first
	sum   [16]uint64       // S in limbs
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// makeChain writes the CBC-MAC state before the last blocks of Q, with the constant bytes of those
// blocks (the end of the tweak, or zeros) added.
func (f *Cipher) makeChain(state *[16]byte, n int) {
	b, _ := f.r.widthOf(n)
	*state = [16]byte{1, 2, 1, 3: byte(f.r.radix >> 16), byte(f.r.radix >> 8), byte(f.r.radix), 10, byte(n / 2)}
	state[3], state[4], state[5] = 0, 0, byte(f.r.radix)
	binary.BigEndian.PutUint32(state[8:], uint32(n))
	binary.BigEndian.PutUint32(state[12:], uint32(len(f.tweak)))
	f.block.Encrypt(state[:], state[:])
	total := (len(f.tweak) + 1 + b + 15) / 16 * 16
	last := total - (1+b+15)/16*16 // where the blocks that depend on the value begin
	for i := 0; i < total-b-1; i++ {
		if i > 0 && i%16 == 0 && i <= last {
			f.block.Encrypt(state[:], state[:])
		}
		if i < len(f.tweak) {
			state[i%16] ^= f.tweak[i]
		}
	}
	if last > 0 && last >= total-b-1 { // all constant blocks were complete
		f.block.Encrypt(state[:], state[:])
	}
}

// generic is the specification of Encrypt and Decrypt. The caller has checked bounds.
func (f *Cipher) generic(dst []byte, at []uint32, base []byte, spans []uint32, bad []Error, dec bool) []Error {
	s := scratches.Get().(*scratch)
	for i := 0; i < len(spans)/2; i++ {
		off, n := spans[2*i], spans[2*i+1]
		place := off
		if at != nil {
			place = at[i]
		}
		if code := f.transformOne(s, dst[place:place+n], base[off:off+n], dec); code != 0 {
			bad = append(bad, Error{i, code})
		}
	}
	s.release()
	return bad
}

// release wipes the scratch and returns it to the pool.
func (s *scratch) release() {
	*s = scratch{}
	scratches.Put(s)
}

// transformOne transforms one value. dst is as long as v and may be v.
func (f *Cipher) transformOne(s *scratch, dst, v []byte, dec bool) Code {
	n := len(v)
	if n == 0 {
		return 0
	}
	if n > maxLen {
		for i := 0; i < n; i += maxLen {
			if !f.text.numerals(s.num[:], v[i:min(n, i+maxLen)]) {
				return Character
			}
		}
		return Length
	}
	if !f.text.numerals(s.num[:], v) {
		return Character
	}
	if n < f.r.min {
		return Length
	}
	chain := &s.chain
	if n <= maxChained {
		*chain = f.k.chain[n]
	} else {
		f.makeChain(chain, n)
	}
	if n-n/2 <= f.r.limb {
		f.transformWords(s, n, dec)
	} else {
		f.transformLimbs(s, n, dec)
	}
	f.text.characters(dst, s.num[:])
	return 0
}

// transformWords transforms the n numerals in s.num, whose halves fit words.
func (f *Cipher) transformWords(s *scratch, n int, dec bool) {
	r := f.r
	u, v := n/2, n-n/2
	b, d := r.widthOf(n)
	a, c := r.join(s.num[:u]), r.join(s.num[u:n])
	hi, lo := binary.BigEndian.Uint64(s.chain[:8]), binary.BigEndian.Uint64(s.chain[8:])
	// The round number precedes the b bytes of the half: it is byte 15-b.
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

// join returns the number of the numerals, below 2^63.
func (r *radixTables) join(num []byte) uint64 {
	var x uint64
	for _, d := range num {
		x = x*r.radix + uint64(d)
	}
	return x
}

// split writes x as len(num) numerals.
func (r *radixTables) split(num []byte, x uint64) {
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

// transformLimbs transforms the n numerals in s.num, whose halves have several limbs.
func (f *Cipher) transformLimbs(s *scratch, n int, dec bool) {
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
func (r *radixTables) limbOf(j, m int) *divisor { return &r.pow[min(r.limb, m-j*r.limb)] }

// joinLimbs writes the limbs of the number of the numerals.
func (r *radixTables) joinLimbs(limbs []uint64, num []byte) {
	for j, end := 0, len(num); end > 0; j++ {
		begin := max(0, end-r.limb)
		limbs[j] = r.join(num[begin:end])
		end = begin
	}
}

// splitLimbs is the inverse of joinLimbs.
func (r *radixTables) splitLimbs(num []byte, limbs []uint64) {
	for j, end := 0, len(num); end > 0; j++ {
		begin := max(0, end-r.limb)
		r.split(num[begin:end], limbs[j])
		end = begin
	}
}

// binary writes the number in limbs, of m numerals, as len(out) bytes, most
// significant first.
func (f *Cipher) binary(s *scratch, limbs []uint64, m int, out []byte) {
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
