//go:build !purego

package csvfast

import "github.com/velonym/velonym/internal/simd"

// parityAVX512 returns 1 if an odd number of the pieces*256 bytes at p equal quote, else 0. It
// reads only those bytes. It needs AVX512F, AVX512BW and POPCNT.
//
//go:noescape
func parityAVX512(p *byte, pieces int, quote byte) uint64

// parityAVX2 is parityAVX512 with AVX2 and POPCNT.
//
//go:noescape
func parityAVX2(p *byte, pieces int, quote byte) uint64

// parity reports whether buf holds an odd number of quotes. The kernels count whole pieces of
// 256 bytes, the portable code the rest.
func parity(buf []byte, quote byte) bool {
	raceRead(buf)
	pieces := len(buf) / 256
	odd := uint64(0)
	if pieces > 0 {
		switch simd.Active() {
		case simd.AVX512:
			odd = parityAVX512(&buf[0], pieces, quote)
		case simd.AVX2:
			odd = parityAVX2(&buf[0], pieces, quote)
		default:
			return parityGeneric(buf, quote)
		}
		buf = buf[pieces*256:]
	}
	return parityGeneric(buf, quote) != (odd == 1)
}
