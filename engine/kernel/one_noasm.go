//go:build purego || !(amd64 || arm64)

package kernel

func (c *Cipher) sealRows(w *Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	return c.sealRowsGeneric(w, dst, arena, spans, out)
}

func (c *Cipher) sealAt(w *Writer, dst []byte, at []uint32, arena []byte, spans []uint32) int {
	return c.sealAtGeneric(w, dst, at, arena, spans)
}

func (c *Cipher) openRows(r *Reader, pre, post string, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	return c.openRowsGeneric(r, pre, post, dst, arena, spans, out)
}

func (c *Cipher) translateRows(r *Reader, to *Cipher, w *Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	return c.translateRowsGeneric(r, to, w, dst, arena, spans, out)
}

func (w *Writer) encodeAt(dst []byte, at []uint32, blocks []byte) { w.encodeAtGeneric(dst, at, blocks) }
