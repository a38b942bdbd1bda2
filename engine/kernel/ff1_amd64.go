//go:build !purego

package kernel

import "github.com/velonym/velonym/internal/simd"

// ff1Few is the number of values of a length from which a kernel that takes 32
// at once is worth it: it takes as long for one as for all.
const ff1Few = 5

// words transforms the values of b, whose halves are words.
func (f *FF1) words(b *ff1Bucket) (wrong FF1Code) {
	done := 0
	if simd.Active() == simd.AVX512 && b.n < len(f.r.shapes) && f.r.shapes[b.n] != nil {
		shape := f.r.shapes[b.n]
		for len(b.who)-done >= ff1Lanes {
			groups := (len(b.who) - done) / ff1Lanes
			left := f.whole(shape, b, b.spans[2*done:], b.to[done:], groups)
			ran(pathFF1Whole)
			done += (groups - left) * ff1Lanes
			if left > 0 { // the next group has a foreign character
				wrong |= f.mixed(shape, b, done, ff1Lanes)
				done += ff1Lanes
			}
		}
		if left := len(b.who) - done; left >= ff1Few {
			wrong |= f.mixed(shape, b, done, left)
			return wrong
		}
	}
	if done < len(b.who) {
		wrong |= f.rounds(b, done)
	}
	return wrong
}

// whole calls the kernel that takes values of this shape from text to text.
func (f *FF1) whole(shape *ff1Shape, b *ff1Bucket, spans, to []uint32, groups int) (left int) {
	dec := 0
	if b.dec {
		dec = 1
	}
	if shape.long {
		return ff1LongAVX512(&shape.place[0], &f.table[0], &f.k.rounds[0], f.k.lastKey, &f.k.chain[b.n][0],
			&b.base[0], &b.dst[0], &spans[0], &to[0], groups, dec)
	}
	return ff1ShortAVX512(&shape.place[0], &f.table[0], &f.k.rounds[0], f.k.lastKey, &f.k.chain[b.n][0],
		&b.base[0], &b.dst[0], &spans[0], &to[0], groups, dec)
}

// mixed transforms one group of up to ff1Lanes values, some of which may have
// foreign characters. Good values fill the lanes of bad and of missing ones.
func (f *FF1) mixed(shape *ff1Shape, b *ff1Bucket, first, count int) (wrong FF1Code) {
	var spans [2 * ff1Lanes]uint32
	var to [ff1Lanes]uint32
	n := 0
	for j := first; j < first+count; j++ {
		if f.text.numerals(b.one.num[:], b.base[b.spans[2*j]:][:b.n]) {
			spans[2*n], to[n] = b.spans[2*j], b.to[j]
			n++
		} else {
			b.codes[b.who[j]] = FF1Character
			wrong = FF1Character
		}
	}
	if n == 0 {
		return wrong
	}
	ran(pathFF1Mixed)
	for ; n < ff1Lanes; n++ {
		spans[2*n], to[n] = spans[0], to[0]
	}
	if f.whole(shape, b, spans[:], to[:], 1) != 0 {
		panic("kernel: FF1's kernel refuses what the twin takes")
	}
	return wrong
}

// aesBlocks encrypts n blocks in place. It may work on blocks behind them, up
// to a multiple of 32.
func aesBlocks(keys *byte, lastKey int, blocks *byte, n int) {
	if simd.Active() == simd.AVX512 && n > 16 {
		aesBlocksAVX512(keys, lastKey, blocks, (n+31)/32)
	} else {
		aesBlocksAVX2(keys, lastKey, blocks, (n+7)/8)
	}
}

// ff1ShortAVX512 transforms 32·groups values, all of the length of shape, which
// is at most 16: dec 0 encrypts, 1 decrypts. Value i is at base[spans[2*i]:],
// its result goes to dst[to[i]:]. It stops before a group that holds a character
// without a numeral and returns how many groups are left; of such a group
// nothing is written. text is ff1's table, keys are lastKey + 1 round keys,
// chain is the CBC-MAC state. It reads a group's values before it writes their
// results, and nothing outside values and results: loads and stores are masked.
// Characters and numerals are translated by shuffles of registers and numbers
// reduced by multiplication, so that no branch or address depends on a key or a
// value, but for the one that tells a foreign character. It needs AVX512F, BW,
// DQ, VL, VBMI and VAES, and groups ≥ 1.
//
//go:noescape
func ff1ShortAVX512(shape, text, keys *byte, lastKey int, chain *byte, base, dst *byte, spans, to *uint32, groups, dec int) int

// ff1LongAVX512 is ff1ShortAVX512 for lengths from 17 to 32.
//
//go:noescape
func ff1LongAVX512(shape, text, keys *byte, lastKey int, chain *byte, base, dst *byte, spans, to *uint32, groups, dec int) int

// aesBlocksAVX2 encrypts 8·eights blocks in place with lastKey + 1 round keys.
// No branch or address depends on keys or blocks. It needs AES and AVX, and
// eights ≥ 1.
//
//go:noescape
func aesBlocksAVX2(keys *byte, lastKey int, blocks *byte, eights int)

// aesBlocksAVX512 encrypts 32·groups blocks in place with lastKey + 1 round
// keys. No branch or address depends on keys or blocks. It needs AVX512F and
// VAES, and groups ≥ 1.
//
//go:noescape
func aesBlocksAVX512(keys *byte, lastKey int, blocks *byte, groups int)
