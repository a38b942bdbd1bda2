package hctr2

import (
	"fmt"
	"sync"

	"github.com/velonym/velonym/engine/kernel/textform"
)

// Values of different numbers of blocks, up to MaxBlocks, and empty ones. Their rows are laid out
// as if all were text, the values are sorted by their number of blocks, and those of each number
// are enciphered at once, to the offsets of the layout:
//
//	blocks = 0 for an empty value, ⌊len/16⌋ + 1 for others
//	offsets = one after the other with framing between, or the caller's
//	for each number of blocks: encipher those values to their offsets

// MixedMost is the largest number of values of a call of SealMixedRows or SealMixedAt.
const MixedMost = 1024

// SealMixedRows is SealBlocksRows for at most MixedMost values of any numbers of blocks up to
// MaxBlocks. The rows of empty values consist of the framing. It processes all values or none:
// if ok is false, out and dst past its length have undefined content. It refuses longer values,
// values that are not text, the form UUID, and pre or post of more than 4 bytes.
func (c *Cipher) SealMixedRows(w *textform.Writer, dst, arena []byte, spans, out []uint32) (rows []byte, ok bool) {
	checkMixed(spans, out)
	if w.Form() == textform.UUID || len(w.Pre()) > 4 || len(w.Post()) > 4 {
		return dst, false
	}
	if len(spans) < 2 {
		return dst, true
	}
	n := len(dst)
	if rows, ok = c.sealMixedRows(w, dst, arena, spans, out); ok {
		return rows, true
	}
	return c.sealMixedRowsGeneric(w, rows[:n], arena, spans, out)
}

// SealMixedAt is SealMixedRows with the text of value i written to dst[at[i]:]. If ok is false,
// the content there is undefined for some values. Nothing else of dst is written.
func (c *Cipher) SealMixedAt(w *textform.Writer, dst []byte, at []uint32, arena []byte, spans, out []uint32) (ok bool) {
	checkMixed(spans, out)
	if w.Form() == textform.UUID {
		return false
	}
	if len(spans) < 2 {
		return true
	}
	s := mixes.Get().(*mixed)
	defer mixes.Put(s)
	n, chars := len(spans)/2, &blockChars[w.Form()]
	blocks := s.blocks[:n]
	_, differ, ok := measure(pairsOf(spans), blocks, chars)
	if !ok {
		return false
	}
	for i, m := range blocks {
		out[2*i], out[2*i+1] = at[i], uint32(chars[m])
	}
	return c.sealPlaced(s, w, dst, at[:n], arena, spans, differ == 0)
}

func checkMixed(spans, out []uint32) {
	if n := len(spans) / 2; n > MixedMost || len(out) < 2*n {
		panic(fmt.Sprintf("hctr2: %d mixed values, room for %d results", n, len(out)/2))
	}
}

// mixed is memory for values that are sorted by their numbers of blocks.
type mixed struct {
	blocks [MixedMost]byte
	at     [MixedMost]uint32
	// The sorted values. Every group can be filled up to a multiple of 16.
	sorted [2 * MixedMost][2]uint32
	places [2 * MixedMost]uint32
}

var mixes = sync.Pool{New: func() any { return new(mixed) }}

// blockChars is the number of characters of a text by form and number of blocks.
var blockChars = func() (t [textform.UUID + 1][MaxBlocks + 1]int) {
	for f := textform.Pair62; f < textform.UUID; f++ {
		for m := 1; m <= MaxBlocks; m++ {
			t[f][m] = f.EncodedLen(16 * m)
		}
	}
	return t
}()
