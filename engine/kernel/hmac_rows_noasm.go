//go:build purego || !(amd64 || arm64)

package kernel

// rowsOf appends n rows.
func (w *Writer) rowsOf(dst, blocks []byte, n int) []byte { return w.rowsGeneric(dst, blocks, n) }
