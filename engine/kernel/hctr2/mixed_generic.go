package hctr2

import (
	"encoding/binary"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/textform"
)

// sealMixedRowsGeneric is SealMixedRows with the layout in portable Go. The kernels of the tier in
// use encipher the values.
func (c *Cipher) sealMixedRowsGeneric(w *textform.Writer, dst, arena []byte, spans, out []uint32) (rows []byte, ok bool) {
	s := mixes.Get().(*mixed)
	defer mixes.Put(s)
	n, chars, start := len(spans)/2, &blockChars[w.Form()], len(dst)
	blocks, at := s.blocks[:n], s.at[:n]
	size, differ, ok := measure(pairsOf(spans), blocks, chars)
	if !ok {
		return dst, false
	}
	pre, post := w.Pre(), w.Post()
	size += n * (len(pre) + len(post))
	dst = room(dst, size+8)
	rows = dst[:start+size]
	layRows(dst[:start+size+8], start, pairsOf(out), at, blocks, chars, word(pre), word(post), len(pre), len(post))
	if !c.sealPlaced(s, w, rows, at, arena, spans, differ == 0) {
		return dst[:start], false
	}
	return rows, true
}

// Each of the loops below is a function so that its variables fit in registers.

// measure writes the number of blocks of each value to blocks, 0 for an empty one. It returns the
// length of all results, a differ other than 0 if the numbers differ, and false if a value has more
// than MaxBlocks. There must be at least one value.
//
//go:noinline
func measure(spans [][2]uint32, blocks []byte, chars *[MaxBlocks + 1]int) (size int, differ uint32, ok bool) {
	blocks = blocks[:len(spans)]
	first := spans[0][1]>>4 + (spans[0][1]|-spans[0][1])>>31
	for i, p := range spans {
		l := p[1]
		// ⌊l/16⌋ + 1, and 0 for 0.
		m := l>>4 + (l|-l)>>31
		if m > MaxBlocks {
			return 0, 0, false
		}
		blocks[i] = byte(m)
		differ |= m ^ first
		size += chars[m]
	}
	return size, differ, true
}

// layRows writes the framing of rows to dst from place on, and the offsets of the results to out
// and at. It writes up to 4 bytes after the last row.
//
//go:noinline
func layRows(dst []byte, place int, out [][2]uint32, at []uint32, blocks []byte, chars *[MaxBlocks + 1]int, pre, post uint32, preLen, postLen int) {
	out, at = out[:len(blocks)], at[:len(blocks)]
	for i, m := range blocks {
		binary.LittleEndian.PutUint32(dst[place:], pre)
		place += preLen
		c := chars[m]
		at[i] = uint32(place)
		out[i] = [2]uint32{uint32(place), uint32(c)}
		place += c
		binary.LittleEndian.PutUint32(dst[place:], post)
		place += postLen
	}
}

// sortBlocks copies spans and offsets in the order of their numbers of blocks. next[m] is where
// those of m blocks begin, and afterwards where they end.
//
//go:noinline
func (s *mixed) sortBlocks(spans [][2]uint32, at []uint32, blocks []byte, next *[MaxBlocks + 1]uint32) {
	spans, at = spans[:len(blocks)], at[:len(blocks)]
	for i, m := range blocks {
		j := next[m]
		next[m] = j + 1
		j &= 2*MixedMost - 1
		s.sorted[j], s.places[j] = spans[i], at[i]
	}
}

// sealPlaced enciphers values, whose numbers of blocks are in s and all equal if alike is set, to
// their offsets. It returns false if one is not text.
func (c *Cipher) sealPlaced(s *mixed, w *textform.Writer, dst []byte, at []uint32, arena []byte, spans []uint32, alike bool) bool {
	blocks := s.blocks[:len(at)]
	if alike {
		paths.mixedAlike.Take()
		return blocks[0] == 0 || c.sealAlike(w, int(blocks[0]), dst, at, arena, spans)
	}
	paths.mixedSorted.Take()
	var next [MaxBlocks + 1]uint32
	for _, m := range blocks {
		next[m]++
	}
	sum := uint32(0)
	for m, n := range next {
		next[m] = sum
		sum += n
	}
	begin := next[1]
	s.sortBlocks(pairsOf(spans), at, blocks, &next)
	for m := 1; m < len(next); m++ {
		end := next[m]
		if begin < end && !c.sealAlike(w, m, dst, s.places[begin:end], arena, unsafe.Slice(&s.sorted[begin][0], 2*(end-begin))) {
			return false
		}
		begin = end
	}
	return true
}

// sealAlike enciphers values of m blocks to their offsets. It returns false if one is not text.
func (c *Cipher) sealAlike(w *textform.Writer, m int, dst []byte, at []uint32, arena []byte, spans []uint32) bool {
	if m == 1 {
		return c.SealAt(w, dst, at, arena, spans) == len(at)
	}
	return c.SealBlocksAt(w, m, dst, at, arena, spans) || allText(arena, spans)
}

// allText reports whether all values are text.
func allText(arena []byte, spans []uint32) bool {
	for i := 0; i < len(spans); i += 2 {
		if !textform.IsText(arena[spans[i]:][:spans[i+1]]) {
			return false
		}
	}
	return true
}

// word loads up to 4 bytes of s, the first in the lowest byte.
func word(s string) uint32 {
	var b [4]byte
	copy(b[:], s)
	return binary.LittleEndian.Uint32(b[:])
}
