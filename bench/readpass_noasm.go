//go:build purego || !amd64

package bench

// readPass reads buf, except for up to 31 bytes at its end.
func readPass(buf []byte) uint64 { return readWords(buf) }
