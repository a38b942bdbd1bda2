//go:build !purego

package jsonfast

import "github.com/velonym/velonym/internal/simd"

// specialNEON is special for the n bytes at p, at least 16. It reads only those and writes
// nothing. It needs NEON.
//
//go:noescape
func specialNEON(p *byte, n int) int

func specialTier(v []byte) int {
	if simd.Active() == simd.ARM64 {
		return specialNEON(&v[0], len(v))
	}
	return specialGeneric(v)
}
