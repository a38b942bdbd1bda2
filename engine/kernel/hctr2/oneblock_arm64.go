//go:build !purego

package hctr2

import (
	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/internal/simd"
)

func (c *Cipher) sealRows(w *textform.Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	if simd.Active() == simd.Generic || !w.Framed() {
		return c.sealRowsGeneric(w, dst, arena, spans, out)
	}
	return c.sealRowsStaged(w, dst, arena, spans, out)
}

func (c *Cipher) sealAt(w *textform.Writer, dst []byte, at []uint32, arena []byte, spans []uint32) int {
	if simd.Active() == simd.Generic {
		return c.sealAtGeneric(w, dst, at, arena, spans)
	}
	return c.sealAtStaged(w, dst, at, arena, spans)
}

func (c *Cipher) openRows(r *textform.Reader, pre, post string, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	if simd.Active() == simd.Generic {
		return c.openRowsGeneric(r, pre, post, dst, arena, spans, out)
	}
	return c.openRowsStaged(r, pre, post, dst, arena, spans, out)
}

func (c *Cipher) translateRows(r *textform.Reader, to *Cipher, w *textform.Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	if simd.Active() == simd.Generic || !w.Framed() {
		return c.translateRowsGeneric(r, to, w, dst, arena, spans, out)
	}
	return c.translateRowsStaged(r, to, w, dst, arena, spans, out)
}
