//go:build purego || !(amd64 || arm64)

package kernel

func (f *FF1) run(dst []byte, at []uint32, base []byte, spans []uint32, bad []FF1Error, dec bool) []FF1Error {
	return f.generic(dst, at, base, spans, bad, dec)
}

// aesBlocks is never called: there is no tier but the portable one.
func aesBlocks(keys *byte, lastKey int, blocks *byte, n int) {
	panic("kernel: no AES kernel in this build")
}
