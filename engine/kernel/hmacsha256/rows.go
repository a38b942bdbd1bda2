package hmacsha256

import (
	"fmt"
	"sync"

	"github.com/velonym/velonym/engine/kernel/textform"
)

// rowsChunk is the number of values that are hashed before their rows are written. Their results fit
// in the first-level cache.
const rowsChunk = 1024

// SumRows computes the HMACs of the longest prefix of values of 1 to 65,535 bytes (see Sum for
// counters), appends their rows as the Writer does, and returns the length of the prefix.
func (h *HMAC) SumRows(w *textform.Writer, dst, arena []byte, spans []uint32, counters []uint64, out []uint32) ([]byte, int) {
	n := len(spans) / 2
	if len(out) < 2*n || counters != nil && len(counters) < n {
		panic(fmt.Sprintf("hmacsha256: batch of %d values: room for %d, counters for %d", n, len(out)/2, len(counters)))
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
