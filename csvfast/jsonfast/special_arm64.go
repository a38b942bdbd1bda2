//go:build !purego

package jsonfast

import "github.com/velonym/velonym/internal/simd"

// specialNEON is special for n of at least 16. It reads n bytes at p and nothing
// else, and writes nothing. Needs ASIMD.
//
//go:noescape
func specialNEON(p *byte, n int) int

func specialTier(v []byte) int {
	if simd.Active() == simd.ARM64 {
		return specialNEON(&v[0], len(v))
	}
	return specialGeneric(v)
}
