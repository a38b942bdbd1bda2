//go:build !purego

package csvfast

import "github.com/velonym/velonym/internal/simd"

// specialNEON is special for the n bytes at p, at least 16. It reads only those and writes
// nothing. It needs NEON.
//
//go:noescape
func specialNEON(p *byte, n int, a, b byte) int

func specialTier(v []byte, a, b byte) int {
	if simd.Active() == simd.ARM64 {
		return specialNEON(&v[0], len(v), a, b)
	}
	return specialGeneric(v, a, b)
}
