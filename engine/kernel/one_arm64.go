//go:build !purego

package kernel

import "github.com/velonym/velonym/internal/simd"

func (c *Cipher) sealRows(w *Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	if simd.Active() == simd.Generic || w.stride > w.chars+maxFraming {
		return c.sealRowsGeneric(w, dst, arena, spans, out)
	}
	return c.sealRowsLanes(w, dst, arena, spans, out)
}

func (c *Cipher) sealAt(w *Writer, dst []byte, at []uint32, arena []byte, spans []uint32) int {
	if simd.Active() == simd.Generic {
		return c.sealAtGeneric(w, dst, at, arena, spans)
	}
	return c.sealAtLanes(w, dst, at, arena, spans)
}

func (c *Cipher) openRows(r *Reader, pre, post string, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	if simd.Active() == simd.Generic {
		return c.openRowsGeneric(r, pre, post, dst, arena, spans, out)
	}
	return c.openRowsLanes(r, pre, post, dst, arena, spans, out)
}

func (c *Cipher) translateRows(r *Reader, to *Cipher, w *Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	if simd.Active() == simd.Generic || w.stride > w.chars+maxFraming {
		return c.translateRowsGeneric(r, to, w, dst, arena, spans, out)
	}
	return c.translateRowsLanes(r, to, w, dst, arena, spans, out)
}
