package kernel

import (
	"fmt"
	"slices"
	"sync"
)

// Rows appends a row for every 16 bytes of blocks to dst, in the Writer's form
// and framing, and writes off, len in dst of each text to out, which has room
// for all. Bytes of dst behind its length, within its capacity, may hold
// anything after. No allocation but for the growth of dst.
func (w *Writer) Rows(dst, blocks []byte, out []uint32) []byte {
	n := len(blocks) / 16
	if len(blocks)%16 != 0 || len(out) < 2*n {
		panic(fmt.Sprintf("kernel: %d bytes of blocks, room for %d results", len(blocks), len(out)/2))
	}
	place := uint32(len(dst) + len(w.pre))
	for i := range n {
		out[2*i], out[2*i+1] = place, uint32(w.chars)
		place += uint32(w.stride)
	}
	if n == 0 {
		return dst
	}
	return w.rowsOf(dst, blocks, n)
}

func (w *Writer) rowsGeneric(dst, blocks []byte, n int) []byte {
	dst = slices.Grow(dst, n*w.stride)
	for i := range n {
		dst = w.append(dst, (*[16]byte)(blocks[16*i:]))
	}
	return dst
}

// SumRows computes the HMACs of the leading values that have 1 to 65,535 bytes
// (see Sum for counters), appends their rows as Writer.Rows does, and returns
// how many those were.
func (h *HMAC) SumRows(w *Writer, dst, arena []byte, spans []uint32, counters []uint64, out []uint32) ([]byte, int) {
	n := len(spans) / 2
	if len(out) < 2*n || counters != nil && len(counters) < n {
		panic(fmt.Sprintf("kernel: HMAC of %d values: room for %d, counters for %d", n, len(out)/2, len(counters)))
	}
	leading := 0
	for leading < n && spans[2*leading+1]-1 < 1<<16-1 {
		leading++
	}
	sums := rowSums.Get().(*[16 * rowsChunk]byte)
	for first := 0; first < leading; first += rowsChunk {
		end := min(leading, first+rowsChunk)
		var c []uint64
		if counters != nil {
			c = counters[first:end]
		}
		h.Sum(sums[:], arena, spans[2*first:2*end], c)
		dst = w.Rows(dst, sums[:16*(end-first)], out[2*first:2*end])
	}
	rowSums.Put(sums)
	return dst, leading
}

var rowSums = sync.Pool{New: func() any { return new([16 * rowsChunk]byte) }}
