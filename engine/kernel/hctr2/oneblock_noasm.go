//go:build purego || !(amd64 || arm64)

package hctr2

import "github.com/velonym/velonym/engine/kernel/textform"

func (c *Cipher) sealRows(w *textform.Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	return c.sealRowsGeneric(w, dst, arena, spans, out)
}

func (c *Cipher) sealAt(w *textform.Writer, dst []byte, at []uint32, arena []byte, spans []uint32) int {
	return c.sealAtGeneric(w, dst, at, arena, spans)
}

func (c *Cipher) openRows(r *textform.Reader, pre, post string, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	return c.openRowsGeneric(r, pre, post, dst, arena, spans, out)
}

func (c *Cipher) translateRows(r *textform.Reader, to *Cipher, w *textform.Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	return c.translateRowsGeneric(r, to, w, dst, arena, spans, out)
}
