//go:build !purego

package kernel

import "github.com/velonym/velonym/internal/simd"

func expandKey(enc, inv *[15][16]byte, key *[32]byte) { expandKeyGeneric(enc, inv, key) }

// aesSchedule says whether the tier in use has AES of its own, and ran it.
func aesSchedule(keys *[15][16]byte, blocks []byte, decrypt bool) bool {
	if simd.Active() != simd.ARM64 {
		return false
	}
	p, n := &blocks[0], len(blocks)/16
	if decrypt {
		aesDecryptNEON(&keys[0][0], p, p, n)
	} else {
		aesEncryptNEON(&keys[0][0], p, p, n)
	}
	return true
}

// The following run n blocks under 15 round keys; dst may be src.

//go:noescape
func aesEncryptNEON(keys *byte, dst *byte, src *byte, n int)

//go:noescape
func aesDecryptNEON(keys *byte, dst *byte, src *byte, n int)
