package bench

import "encoding/binary"

// readWords reads buf in words of 8 bytes, except for up to 31 bytes at its end. It
// returns their XOR, so that the compiler keeps the reads.
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
