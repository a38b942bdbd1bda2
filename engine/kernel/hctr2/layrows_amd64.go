//go:build !purego

package hctr2

import (
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/internal/simd"
)

// rowsArgs are the arguments of layRowsAVX512. Generators read the offsets of its fields from this
// declaration.
type rowsArgs struct {
	place, step          [16]uint32 // offsets in dst of texts, and the difference to those of the next 16
	chars, blocks, limit [16]uint32 // characters of a text, blocks less 1, greatest end of a value
	even, odd, low, high [16]uint32 // 0, 2, … 30; 1, 3, … 31; 0, 16, 1, … 23; 8, 24, … 31
	spans                *uint32
	n                    int // values, a multiple of 16, at least 16
	at, out              *uint32
	text                 *byte  // the first text
	stride               int    // of a row
	gap                  uint64 // the text between two texts, up to 8 bytes
	len                  int    // characters of a text
}

// rowsTable holds the arguments that are constant.
var rowsTable = func() (a rowsArgs) {
	for i := range uint32(16) {
		a.even[i], a.odd[i] = 2*i, 2*i+1
		a.low[i], a.high[i] = i/2+i%2*16, i/2+8+i%2*16
	}
	return a
}()

// sealBlocksRows is SealBlocksRows for a dst whose capacity fits all rows and 8 bytes more.
func (c *Cipher) sealBlocksRows(w *textform.Writer, m int, dst, arena []byte, spans, out, at []uint32) (n int, plain bool) {
	n = len(spans) / 2 &^ 15
	if simd.Active() != simd.AVX512 || n == 0 || !w.Form().Pairs() || len(w.Pre()) > 4 || len(w.Post()) > 4 || cap(arena) < 16 {
		return 0, false
	}
	a := rowsTable
	chars := w.Form().EncodedLen(16 * m)
	a.stride, a.len, a.n = len(w.Pre())+chars+len(w.Post()), chars, n
	limit := uint32(min(uint64(len(arena)), uint64(cap(arena)-16), 1<<32-1))
	for i := range uint32(16) {
		a.place[i] = uint32(len(dst)+len(w.Pre())) + i*uint32(a.stride)
		a.step[i], a.chars[i], a.blocks[i], a.limit[i] = uint32(16*a.stride), uint32(chars), uint32(m-1), limit
	}
	a.gap = uint64(word(w.Post())) | uint64(word(w.Pre()))<<(8*len(w.Post()))
	a.spans, a.at, a.out = &spans[0], &at[0], &out[0]
	a.text = &dst[:cap(dst)][len(dst)+len(w.Pre())]
	copy(dst[len(dst):cap(dst)], w.Pre())
	if n = layRowsAVX512(&a); n == 0 {
		return 0, false
	}
	g := multiBlockGroups.Get().(*multiBlockGroup)
	defer g.put(m)
	b := g.args(c, textTablesOf(w.Form(), w.Gen()), m, n)
	b.base, b.spans = unsafe.SliceData(arena), &spans[0]
	b.dst, b.at = unsafe.SliceData(dst), &at[0]
	multiBlockTextAVX512(&b)
	paths.multiBlockRows.Take()
	return n, b.other == 0
}

// layRowsAVX512 writes the offsets of rows to at and out, and the text between their texts, 16 at
// a time. It stops before 16 of which a value has another number of blocks or ends after the
// limit, and returns the number of values processed. It reads n spans, and writes 8 bytes after
// each text. Branches depend only on spans. It needs AVX-512 F and clobbers ZMM and mask
// registers; the upper halves are zero at the end.
//
//go:noescape
func layRowsAVX512(a *rowsArgs) int
