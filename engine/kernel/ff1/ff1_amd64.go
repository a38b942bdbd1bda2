//go:build !purego

package ff1

import (
	"github.com/velonym/velonym/engine/kernel/aes"
	"github.com/velonym/velonym/internal/simd"
)

// few is the least number of values of a length for a kernel that transforms 32 at once, which needs
// as long for one as for all.
const few = 5

// words transforms the values of b, whose halves fit words.
func (f *Cipher) words(b *sameLength) (wrong Code) {
	done := 0
	if simd.Active() == simd.AVX512 && b.n < len(f.r.shapes) && f.r.shapes[b.n] != nil {
		shape := f.r.shapes[b.n]
		for len(b.who)-done >= batchLanes {
			groups := (len(b.who) - done) / batchLanes
			left := f.whole(shape, b, b.spans[2*done:], b.to[done:], groups)
			paths.whole.Take()
			done += (groups - left) * batchLanes
			if left > 0 { // the next group has a foreign character
				wrong |= f.mixed(shape, b, done, batchLanes)
				done += batchLanes
			}
		}
		if left := len(b.who) - done; left >= few {
			wrong |= f.mixed(shape, b, done, left)
			return wrong
		}
	}
	if done < len(b.who) {
		wrong |= f.rounds(b, done)
	}
	return wrong
}

// whole calls the kernel that transforms values of this shape from text to text. It returns the
// number of groups left.
func (f *Cipher) whole(shape *wholeShape, b *sameLength, spans, to []uint32, groups int) (left int) {
	dec := 0
	if b.dec {
		dec = 1
	}
	if shape.long {
		return longAVX512(shape, &f.table, &f.k.rounds, f.k.lastKey, &f.k.chain[b.n],
			&b.base[0], &b.dst[0], &spans[0], &to[0], groups, dec)
	}
	return shortAVX512(shape, &f.table, &f.k.rounds, f.k.lastKey, &f.k.chain[b.n],
		&b.base[0], &b.dst[0], &spans[0], &to[0], groups, dec)
}

// mixed transforms one group of up to batchLanes values, some of which may have foreign characters.
// Valid values fill the lanes of invalid and of missing ones.
func (f *Cipher) mixed(shape *wholeShape, b *sameLength, first, count int) (wrong Code) {
	var spans [2 * batchLanes]uint32
	var to [batchLanes]uint32
	n := 0
	for j := first; j < first+count; j++ {
		if f.text.numerals(b.scratch.num[:], b.base[b.spans[2*j]:][:b.n]) {
			spans[2*n], to[n] = b.spans[2*j], b.to[j]
			n++
		} else {
			b.codes[b.who[j]] = Character
			wrong = Character
		}
	}
	if n == 0 {
		return wrong
	}
	paths.mixed.Take()
	for ; n < batchLanes; n++ {
		spans[2*n], to[n] = spans[0], to[0]
	}
	if f.whole(shape, b, spans[:], to[:], 1) != 0 {
		panic("ff1: the kernel refuses what the twin takes")
	}
	return wrong
}

// shortAVX512 transforms 32·groups values, all of the length of shape, which is at most 16: dec 0
// encrypts, 1 decrypts. Value i is at base[spans[2*i]:], its result is written to dst[to[i]:]. It
// stops before a group that holds a character without a numeral, of which it writes nothing, and
// returns the number of groups left. text is the Cipher's table, keys are lastKey + 1 round keys,
// chain is the CBC-MAC state. It reads a group's values before it writes their results, and accesses
// only values and results, since loads and stores are masked. Characters and numerals are converted
// by shuffles of registers and numbers are reduced by multiplication, so that no branch or address
// depends on a key or a value, except the branch on a foreign character. dst may be base if every
// result has the offset of its value. It needs AVX-512 F, BW, DQ, VL, VBMI and VAES, and groups ≥ 1,
// and clobbers ZMM and mask registers; the upper halves are zero at the end.
//
//go:noescape
func shortAVX512(shape *wholeShape, text *[256]byte, keys *aes.Schedule, lastKey int, chain *[16]byte, base, dst *byte, spans, to *uint32, groups, dec int) int

// longAVX512 is shortAVX512 for lengths from 17 to 32.
//
//go:noescape
func longAVX512(shape *wholeShape, text *[256]byte, keys *aes.Schedule, lastKey int, chain *[16]byte, base, dst *byte, spans, to *uint32, groups, dec int) int
