//go:build !purego && (amd64 || arm64)

package ff1

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/aes"
	"github.com/velonym/velonym/internal/simd"
)

// Values are sorted by length, and those of one length pass each round together. If the tier has no
// kernel for whole values, Go code computes with the halves, and the AES kernel encrypts the blocks
// of a round, one for each value.

const (
	chunk      = 1024 // values sorted at a time
	batchLanes = 32   // values that pass a round together
)

// sorter is the working memory of a call.
type sorter struct {
	order  [chunk]uint16 // indexes of values in the chunk, by length
	codes  [chunk]Code   // of values that cannot be transformed; else 0
	starts [maxLen + 2]int
	spans  [2 * chunk]uint32  // of values of one length
	to     [chunk]uint32      // offsets of their results
	a, c   [batchLanes]uint64 // halves
	ah, ch [batchLanes]uint64 // their upper words
	blocks [batchLanes][16]byte
	more   [batchLanes][16]byte // S has a second block
}

var sorters = sync.Pool{New: func() any { return new(sorter) }}

// inOrder is the order of values that need no sorting.
var inOrder = func() (order [chunk]uint16) {
	for i := range order {
		order[i] = uint16(i)
	}
	return order
}()

// sameLength holds values of one length. Value j is the chunk's value who[j].
type sameLength struct {
	*sorter
	scratch   *scratch
	dst, base []byte
	spans     []uint32
	to        []uint32
	who       []uint16
	n         int // length
	dec       bool
}

func (f *Cipher) run(dst []byte, at []uint32, base []byte, spans []uint32, bad []Error, dec bool) []Error {
	if simd.Active() == simd.Generic {
		return f.generic(dst, at, base, spans, bad, dec)
	}
	s, one := sorters.Get().(*sorter), scratches.Get().(*scratch)
	for first := 0; first < len(spans)/2; first += chunk {
		n := min(len(spans)/2-first, chunk)
		part := spans[2*first : 2*(first+n)]
		var places []uint32
		if at != nil {
			places = at[first : first+n]
		}
		b := sameLength{sorter: s, scratch: one, dst: dst, base: base, dec: dec}
		wrong := Code(0)
		if alike(part) {
			paths.alike.Take()
			b.spans, b.to, b.who, b.n = part, places, inOrder[:n], int(part[1])
			if places == nil {
				b.to = s.to[:n]
				for i := range b.to {
					b.to[i] = part[2*i]
				}
			}
			wrong |= f.bucket(&b)
		} else {
			paths.sorted.Take()
			s.sort(part)
			for l := 1; l <= maxLen+1; l++ {
				b.who = s.order[s.starts[l-1]:s.starts[l]]
				if len(b.who) == 0 {
					continue
				}
				b.spans, b.to, b.n = s.spans[:2*len(b.who)], s.to[:len(b.who)], l
				for j, i := range b.who {
					b.spans[2*j], b.spans[2*j+1] = part[2*i], part[2*i+1]
					b.to[j] = part[2*i]
					if places != nil {
						b.to[j] = places[i]
					}
				}
				wrong |= f.bucket(&b)
			}
		}
		if wrong == 0 {
			continue
		}
		for i, code := range s.codes[:n] {
			if code != 0 {
				bad = append(bad, Error{first + i, code})
			}
		}
		clear(s.codes[:])
	}
	clear(s.a[:])
	clear(s.c[:])
	clear(s.ah[:])
	clear(s.ch[:])
	clear(s.blocks[:])
	clear(s.more[:])
	sorters.Put(s)
	one.release()
	return bad
}

// alike reports whether all values have the same length.
func alike(spans []uint32) bool {
	var differ uint32
	for i := 1; i < len(spans); i += 2 {
		differ |= spans[i] ^ spans[1]
	}
	return differ == 0
}

// bucket transforms the values of b. The result is 0 if it has transformed all; the others have a
// code in s.codes.
func (f *Cipher) bucket(b *sameLength) (wrong Code) {
	if b.n == 0 {
		return 0
	}
	if f.Takes(b.n) && b.n-b.n/2 <= f.r.limb {
		return f.words(b)
	}
	if f.Takes(b.n) && f.r.pairs[b.n-b.n/2] != nil {
		return f.pairs(b)
	}
	for j, i := range b.who {
		off, l := b.spans[2*j], b.spans[2*j+1]
		b.codes[i] = f.transformOne(b.scratch, b.dst[b.to[j]:][:l], b.base[off:][:l], b.dec)
		wrong |= b.codes[i]
	}
	return wrong
}

// sort sets order and starts: values of l bytes are order[starts[l-1]:starts[l]], those of more than
// maxLen come last and empty ones first.
func (s *sorter) sort(spans []uint32) {
	n := len(spans) / 2
	var next [maxLen + 3]int
	for i := range n {
		next[min(int(spans[2*i+1]), maxLen+1)+1]++
	}
	for l := range s.starts {
		next[l+1] += next[l]
		s.starts[l] = next[l+1]
	}
	for i := range n {
		l := min(int(spans[2*i+1]), maxLen+1)
		s.order[next[l]] = uint16(i)
		next[l]++
	}
}

// rounds transforms the values of s from the first-th on, whose halves fit words.
func (f *Cipher) rounds(s *sameLength, first int) (wrong Code) {
	r, one, n, dec := f.r, s.scratch, s.n, s.dec
	from, to, who := s.spans[2*first:], s.to[first:], s.who[first:]
	u, v := n/2, n-n/2
	b, d := r.widthOf(n)
	if n <= maxChained {
		one.chain = f.k.chain[n]
	} else {
		f.makeChain(&one.chain, n)
	}
	hi, lo := binary.BigEndian.Uint64(one.chain[:8]), binary.BigEndian.Uint64(one.chain[8:])
	upper, shift := uint64(b/8), uint(8*b)&63
	for len(who) > 0 {
		// Valid values get lanes, in order; invalid ones do not.
		lanes, taken := 0, 0
		var places [batchLanes]uint32
		for lanes < batchLanes && taken < len(who) {
			if f.text.numerals(one.num[:], s.base[from[2*taken]:][:n]) {
				s.a[lanes], s.c[lanes] = r.join(one.num[:u]), r.join(one.num[u:n])
				places[lanes] = to[taken]
				lanes++
			} else {
				s.codes[who[taken]] = Character
				wrong = Character
			}
			taken++
		}
		from, to, who = from[2*taken:], to[taken:], who[taken:]
		if lanes == 0 {
			continue
		}
		paths.rounds.Take()
		a, c := s.a[:lanes], s.c[:lanes]
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
			h, l := hi^i*upper, lo^i*(1-upper)<<shift
			for j, x := range c {
				binary.BigEndian.PutUint64(s.blocks[j][:8], h)
				binary.BigEndian.PutUint64(s.blocks[j][8:], l^x)
			}
			f.encrypt(&s.blocks, lanes)
			even.combine(a, &s.blocks, d == 12, dec)
			a, c = c, a
			even, odd = odd, even
		}
		if dec {
			a, c = c, a
		}
		for j := range lanes {
			r.split(one.num[:u], a[j])
			r.split(one.num[u:n], c[j])
			f.text.characters(s.dst[places[j]:][:n], one.num[:])
		}
	}
	return wrong
}

// pairs transforms the values of s, whose halves have two words.
func (f *Cipher) pairs(s *sameLength) (wrong Code) {
	r, one, n := f.r, s.scratch, s.n
	u := n / 2
	if n <= maxChained {
		one.chain = f.k.chain[n]
	} else {
		f.makeChain(&one.chain, n)
	}
	spans, to, who := s.spans, s.to, s.who
	for len(who) > 0 {
		lanes, taken := 0, 0
		var places [batchLanes]uint32
		for lanes < batchLanes && taken < len(who) {
			if f.text.numerals(one.num[:], s.base[spans[2*taken]:][:n]) {
				s.ah[lanes], s.a[lanes] = r.joinPair(one.num[:u])
				s.ch[lanes], s.c[lanes] = r.joinPair(one.num[u:n])
				places[lanes] = to[taken]
				lanes++
			} else {
				s.codes[who[taken]] = Character
				wrong = Character
			}
			taken++
		}
		spans, to, who = spans[2*taken:], to[taken:], who[taken:]
		if lanes == 0 {
			continue
		}
		paths.pairs.Take()
		f.pairRounds(s, lanes)
		for j := range lanes {
			r.splitPair(one.num[:u], s.ah[j], s.a[j])
			r.splitPair(one.num[u:n], s.ch[j], s.c[j])
			f.text.characters(s.dst[places[j]:][:n], one.num[:])
		}
	}
	return wrong
}

// pairRounds runs the ten rounds over values in lanes, with the first halves in s.ah and s.a and the
// others in s.ch and s.c. The CBC-MAC state is in s.scratch.chain.
func (f *Cipher) pairRounds(s *sameLength, lanes int) {
	r, n, dec, chain := f.r, s.n, s.dec, &s.scratch.chain
	u, v := n/2, n-n/2
	b, d := r.widthOf(n)
	hi, lo := binary.BigEndian.Uint64(chain[:8]), binary.BigEndian.Uint64(chain[8:])
	shift := uint(8 * (b - 8)) // of the round number, in the upper word: b is 8 to 15
	ah, a, ch, c := s.ah[:lanes], s.a[:lanes], s.ch[:lanes], s.c[:lanes]
	even, odd := r.pairs[u], r.pairs[v]
	if dec {
		ah, a, ch, c = ch, c, ah, a
		even, odd = odd, even
	}
	for k := range 10 {
		i := uint64(k)
		if dec {
			i = 9 - i
		}
		h := hi ^ i<<shift
		for j := range c {
			binary.BigEndian.PutUint64(s.blocks[j][:8], h^ch[j])
			binary.BigEndian.PutUint64(s.blocks[j][8:], lo^c[j])
		}
		f.encrypt(&s.blocks, lanes)
		if d > 16 {
			copy(s.more[:lanes], s.blocks[:lanes])
			for j := range c {
				s.more[j][15] ^= 1
			}
			f.encrypt(&s.more, lanes)
		}
		for j := range a {
			y1, y0 := binary.BigEndian.Uint64(s.blocks[j][:8]), binary.BigEndian.Uint64(s.blocks[j][8:])
			switch d {
			case 12:
				y1, y0 = even.mod(0, y1>>32, y1<<32|y0>>32)
			case 16:
				y1, y0 = even.mod(0, y1, y0)
			default:
				y1, y0 = even.mod(y1>>32, y1<<32|y0>>32, y0<<32|uint64(binary.BigEndian.Uint32(s.more[j][:4])))
			}
			if dec {
				ah[j], a[j] = even.sub(ah[j], a[j], y1, y0)
			} else {
				ah[j], a[j] = even.add(ah[j], a[j], y1, y0)
			}
		}
		ah, a, ch, c = ch, c, ah, a
		even, odd = odd, even
	}
}

// encrypt runs AES over the first n blocks in place. The other blocks have undefined content
// afterwards.
func (f *Cipher) encrypt(blocks *[batchLanes][16]byte, n int) {
	full := (n + 7) &^ 7
	if n > 16 && simd.Active() == simd.AVX512 {
		full = batchLanes // its kernel is faster with all than with three times eight
	}
	if f.k.lastKey == 14 && aes.Blocks(&f.k.rounds, unsafe.Slice(&blocks[0][0], 16*full), false) {
		return
	}
	// AES-128 and AES-192, which only the published vectors use.
	for i := range n {
		f.block.Encrypt(blocks[i][:], blocks[i][:])
	}
}

// joinPair returns the number of up to two limbs of numerals.
func (r *radixTables) joinPair(num []byte) (hi, lo uint64) {
	upper := max(0, len(num)-r.limb)
	hi, lo = bits.Mul64(r.join(num[:upper]), r.pow[len(num)-upper].d)
	lo, carry := bits.Add64(lo, r.join(num[upper:]), 0)
	return hi + carry, lo
}

// splitPair is the inverse of joinPair.
func (r *radixTables) splitPair(num []byte, hi, lo uint64) {
	upper := max(0, len(num)-r.limb)
	d := &r.pow[len(num)-upper]
	q, m := d.step(hi<<d.shift|lo>>(64-d.shift), lo<<d.shift)
	r.split(num[:upper], q)
	r.split(num[upper:], m>>d.shift)
}
