//go:build purego || !(amd64 || arm64)

package textform

func (w *Writer) encodeAt(dst []byte, at []uint32, blocks []byte) { w.encodeAtGeneric(dst, at, blocks) }

// rows appends rows.
func (w *Writer) rows(dst, blocks []byte) []byte { return w.rowsGeneric(dst, blocks) }
