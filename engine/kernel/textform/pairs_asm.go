//go:build !purego && (amd64 || arm64)

package textform

import (
	"encoding/binary"
	"slices"
	"sync"
	"unsafe"

	"github.com/velonym/velonym/internal/simd"
)

// The following run the kernels of the tier in use, which is not Generic, for the forms of
// pairs.

// WriteRows writes the rows of whole blocks to the start of dst, whose length must fit them and
// RowPadding bytes more, which it may overwrite. The Writer must be Framed, and there must be at
// least one block.
func (w *Writer) WriteRows(dst, blocks []byte) {
	n := len(blocks) / 16
	_ = dst[n*w.stride+RowPadding-1]
	writeRows(w, &dst[0], &blocks[0], n, w.stride, len(w.pre), word(w.pre), word(w.post))
}

// word loads up to 4 bytes of s, the first in the lowest byte.
func word(s string) uint32 {
	var b [4]byte
	copy(b[:], s)
	return binary.LittleEndian.Uint32(b[:])
}

// ReadBlocks decodes the texts of a prefix of the values into blocks, which must fit all, and
// returns its length. It processes four at a time, and stops before four of which one is not the
// text of a block of the Reader's generation, or starts less than 32 bytes before the end of arena.
func (r *Reader) ReadBlocks(blocks, arena []byte, spans []uint32) int {
	n := len(spans) / 2 &^ 3
	if n == 0 || cap(arena) < 32 {
		return 0
	}
	_ = blocks[16*n-1]
	last := min(uint64(cap(arena)-32), 1<<32-1)
	return readBlocks(r.form, &blocks[0], unsafe.SliceData(arena), &spans[0], n, last, pairTablesOf(r.form, r.gen))
}

// together is the number of texts that EncodeAt writes before it copies them to their offsets. They
// fit in the first-level cache.
const together = 64

var texts = sync.Pool{New: func() any { return new([together*32 + RowPadding]byte) }}

func (w *Writer) encodeAt(dst []byte, at []uint32, blocks []byte) {
	if simd.Active() == simd.Generic || w.form != Pair62 && w.form != Hex {
		w.encodeAtGeneric(dst, at, blocks)
		return
	}
	t := texts.Get().(*[together*32 + RowPadding]byte)
	defer texts.Put(t)
	for len(at) > 0 {
		n := min(len(at), together)
		paths.encodeAt.Take()
		writeRows(w, &t[0], &blocks[0], n, 32, 0, 0, 0)
		for i, o := range at[:n] {
			*(*[32]byte)(dst[o:]) = *(*[32]byte)(t[32*i:])
		}
		at, blocks = at[n:], blocks[16*n:]
	}
}

// rows appends rows.
func (w *Writer) rows(dst, blocks []byte) []byte {
	if simd.Active() == simd.Generic || !w.form.Pairs() || !w.Framed() {
		return w.rowsGeneric(dst, blocks)
	}
	paths.rows.Take()
	n := len(blocks) / 16 * w.stride
	dst = slices.Grow(dst, n+RowPadding)
	w.WriteRows(dst[len(dst):cap(dst)], blocks)
	return dst[:len(dst)+n]
}
