//go:build !purego

package bench

import "github.com/klauspost/cpuid/v2"

// readAVX2 reads the n &^ 511 bytes at p, 32 at a time, and does nothing with
// them but an XOR. AVX2.
//
//go:noescape
func readAVX2(p *byte, n int) uint64

// readPass reads all of buf as fast as one core can, up to 511 bytes at its end
// excepted.
func readPass(buf []byte) uint64 {
	if len(buf) > 0 && cpuid.CPU.Supports(cpuid.AVX2) {
		return readAVX2(&buf[0], len(buf))
	}
	return readWords(buf)
}
