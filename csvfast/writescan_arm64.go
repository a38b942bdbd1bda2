//go:build !purego

package csvfast

import "github.com/velonym/velonym/internal/simd"

// jsonSpecialNEON is jsonSpecial for n of at least 16. It reads n bytes from p.
// Needs ASIMD.
//
//go:noescape
func jsonSpecialNEON(p *byte, n int) int

// csvSpecialNEON is csvSpecial for n of at least 16. It reads n bytes from p.
// Needs ASIMD.
//
//go:noescape
func csvSpecialNEON(p *byte, n int, a, b byte) int

func jsonSpecialTier(v []byte) int {
	if simd.Active() == simd.ARM64 {
		return jsonSpecialNEON(&v[0], len(v))
	}
	return jsonSpecialGeneric(v)
}

func csvSpecialTier(v []byte, a, b byte) int {
	if simd.Active() == simd.ARM64 {
		return csvSpecialNEON(&v[0], len(v), a, b)
	}
	return csvSpecialGeneric(v, a, b)
}
