//go:build purego || !amd64

package bench

// readPass reads all of buf, up to 31 bytes at its end excepted.
func readPass(buf []byte) uint64 { return readWords(buf) }
