//go:build !purego

package kernel

// ff1Few is the number of values of a length from which a kernel that takes 32
// at once is worth it: it takes as long for one as for all.
const ff1Few = 9

// bucket transforms the first count values of s, all of n characters, which
// halves of one word take.
func (f *FF1) bucket(s *ff1Sort, one *ff1Scratch, dst, base []byte, count, n int, dec bool) {
	whole := 0
	if active == tierAVX512 && n < len(f.r.shapes) && f.r.shapes[n] != nil {
		whole = count / ff1Lanes * ff1Lanes
		if count-whole >= ff1Few {
			whole = count
		}
		f.whole(s, one, dst, base, whole, n, dec)
	}
	if whole < count {
		f.rounds(s, one, dst, base, s.from[whole:count], s.to[whole:count], s.who[whole:count], n, dec)
	}
}

// whole sends values through the kernels that take them from text to text.
func (f *FF1) whole(s *ff1Sort, one *ff1Scratch, dst, base []byte, count, n int, dec bool) {
	for i := count; i%ff1Lanes != 0; i++ { // lanes without a value repeat the last one
		s.from[i], s.to[i], s.who[i] = s.from[i-1], s.to[i-1], s.who[i-1]
	}
	shape := f.r.shapes[n]
	groups := (count + ff1Lanes - 1) / ff1Lanes
	way := 0
	if dec {
		way = 1
	}
	for first := 0; first < groups; {
		left := 0
		i := first * ff1Lanes
		if shape.long {
			left = ff1LongAVX512(&shape.place[0], &f.table[0], &f.k.rounds[0], f.k.lastKey, &f.k.chain[n][0],
				&base[0], &dst[0], &s.from[i], &s.to[i], groups-first, way)
		} else {
			left = ff1ShortAVX512(&shape.place[0], &f.table[0], &f.k.rounds[0], f.k.lastKey, &f.k.chain[n][0],
				&base[0], &dst[0], &s.from[i], &s.to[i], groups-first, way)
		}
		first = groups - left
		if left == 0 {
			return
		}
		// A value of this group has a foreign character: good ones take the
		// places of bad ones, and it goes again.
		i = first * ff1Lanes
		good := -1
		for j := i; j < i+ff1Lanes; j++ {
			if f.text.numerals(one.num[:], base[s.from[j]:][:n]) {
				good = j
			} else {
				s.codes[s.who[j]] = FF1Character
			}
		}
		if good < 0 {
			first++
			continue
		}
		for j := i; j < i+ff1Lanes; j++ {
			if s.codes[s.who[j]] != 0 {
				s.from[j], s.to[j] = s.from[good], s.to[good]
			}
		}
	}
}

// aesBlocks encrypts n blocks in place. It may work on blocks behind them, up
// to a multiple of eight.
func aesBlocks(keys *byte, lastKey int, blocks *byte, n int) {
	aesBlocksAVX2(keys, lastKey, blocks, (n+7)/8)
}

// ff1ShortAVX512 transforms 32·groups values, all of the length of shape, which
// is at most 16: dec 0 encrypts, 1 decrypts. Value i is at base[from[i]:], its
// result goes to dst[to[i]:]. It stops before a group that holds a character
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
func ff1ShortAVX512(shape, text, keys *byte, lastKey int, chain *byte, base, dst *byte, from, to *uint32, groups, dec int) int

// ff1LongAVX512 is ff1ShortAVX512 for lengths from 17 to 32.
//
//go:noescape
func ff1LongAVX512(shape, text, keys *byte, lastKey int, chain *byte, base, dst *byte, from, to *uint32, groups, dec int) int

// aesBlocksAVX2 encrypts 8·eights blocks in place with lastKey + 1 round keys.
// No branch or address depends on keys or blocks. It needs AES and AVX, and
// eights ≥ 1.
//
//go:noescape
func aesBlocksAVX2(keys *byte, lastKey int, blocks *byte, eights int)
