//go:build !purego

package bench

import "github.com/klauspost/cpuid/v2"

// readAVX2 reads the n &^ 511 bytes at p, 32 at a time, and returns an XOR of them. It
// writes nothing, reads nothing beyond those bytes, and needs AVX2.
//
//go:noescape
func readAVX2(p *byte, n int) uint64

// readPass reads buf, except for up to 511 bytes at its end, as fast as one core can.
func readPass(buf []byte) uint64 {
	if len(buf) > 0 && cpuid.CPU.Supports(cpuid.AVX2) {
		return readAVX2(&buf[0], len(buf))
	}
	return readWords(buf)
}
