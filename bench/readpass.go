package bench

import "encoding/binary"

// readWords reads buf in words, up to 31 bytes at its end excepted.
func readWords(buf []byte) uint64 {
	var a, b, c, d uint64
	for ; len(buf) >= 32; buf = buf[32:] {
		a ^= binary.LittleEndian.Uint64(buf)
		b ^= binary.LittleEndian.Uint64(buf[8:])
		c ^= binary.LittleEndian.Uint64(buf[16:])
		d ^= binary.LittleEndian.Uint64(buf[24:])
	}
	return a ^ b ^ c ^ d
}
