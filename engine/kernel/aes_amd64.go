//go:build !purego

package kernel

import "github.com/velonym/velonym/internal/simd"

func expandKey(enc, inv *[15][16]byte, key *[32]byte) {
	// Whatever the tier: the portable one is slow, not safer.
	if simd.Has(simd.AVX2) {
		expandKeyAVX2(&enc[0][0], &inv[0][0], &key[0])
		return
	}
	expandKeyGeneric(enc, inv, key)
}

// aesSchedule says whether the tier in use has AES of its own, and ran it.
func aesSchedule(keys *[15][16]byte, blocks []byte, decrypt bool) bool {
	p, n := &blocks[0], len(blocks)/16
	switch {
	case simd.Active() == simd.AVX512 && decrypt:
		aesDecryptAVX512(&keys[0][0], p, p, n)
	case simd.Active() == simd.AVX512:
		aesEncryptAVX512(&keys[0][0], p, p, n)
	case simd.Active() == simd.AVX2 && decrypt:
		aesDecryptAVX2(&keys[0][0], p, p, n)
	case simd.Active() == simd.AVX2:
		aesEncryptAVX2(&keys[0][0], p, p, n)
	default:
		return false
	}
	return true
}

// expandKeyAVX2 writes the round keys of AES-256 and of its equivalent inverse cipher,
// 15 of 16 bytes each, for a key of 32 bytes.
//
//go:noescape
func expandKeyAVX2(enc *byte, inv *byte, key *byte)

// The following run n blocks under 15 round keys; dst may be src.

//go:noescape
func aesEncryptAVX512(keys *byte, dst *byte, src *byte, n int)

//go:noescape
func aesDecryptAVX512(keys *byte, dst *byte, src *byte, n int)

//go:noescape
func aesEncryptAVX2(keys *byte, dst *byte, src *byte, n int)

//go:noescape
func aesDecryptAVX2(keys *byte, dst *byte, src *byte, n int)
