//go:build !purego && (amd64 || arm64)

package kernel

import (
	"encoding/binary"
	"slices"

	"github.com/velonym/velonym/internal/simd"
)

// rowsOf appends n rows.
func (w *Writer) rowsOf(dst, blocks []byte, n int) []byte {
	if simd.Active() == simd.Generic || w.form != Pair62 && w.form != Hex || w.stride > w.chars+maxFraming {
		return w.rowsGeneric(dst, blocks, n)
	}
	ran(pathRowsOf)
	var pre, post [4]byte
	copy(pre[:], w.pre)
	copy(post[:], w.post)
	dst = slices.Grow(dst, n*w.stride+rowSlack)
	out := dst[len(dst):cap(dst)]
	encodeRows(w.form, &out[0], &blocks[0], n, laneTextOf(w.form, w.gen), w.stride, len(w.pre),
		binary.LittleEndian.Uint32(pre[:]), binary.LittleEndian.Uint32(post[:]))
	return dst[:len(dst)+n*w.stride]
}
