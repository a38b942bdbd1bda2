//go:build !purego

package csvfast

import "github.com/velonym/velonym/internal/simd"

// parityNEON returns 1 if an odd number of the pieces*256 bytes at p equal quote, else 0. It
// reads only those bytes. It needs NEON.
//
//go:noescape
func parityNEON(p *byte, pieces int, quote byte) uint64

// parity reports whether buf holds an odd number of quotes.
func parity(buf []byte, quote byte) bool {
	raceRead(buf)
	pieces := len(buf) / 256
	if simd.Active() != simd.ARM64 || pieces == 0 {
		return parityGeneric(buf, quote)
	}
	odd := parityNEON(&buf[0], pieces, quote) == 1
	return parityGeneric(buf[pieces*256:], quote) != odd
}
