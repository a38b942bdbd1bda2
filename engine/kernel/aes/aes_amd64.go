//go:build !purego

package aes

import "github.com/velonym/velonym/internal/simd"

func expandKey(enc, inv *Schedule, key *[32]byte) {
	if simd.Has(simd.AVX2) {
		expandKeyAVX2(enc, inv, key)
		return
	}
	expandKeyGeneric(enc, inv, key)
}

func blocksKernel(keys *Schedule, blocks []byte, decrypt bool) bool {
	p, n := &blocks[0], len(blocks)/16
	switch {
	case simd.Active() == simd.AVX512 && decrypt:
		decryptAVX512(keys, p, p, n)
	case simd.Active() == simd.AVX512:
		encryptAVX512(keys, p, p, n)
	case simd.Active() == simd.AVX2 && decrypt:
		decryptAVX2(keys, p, p, n)
	case simd.Active() == simd.AVX2:
		encryptAVX2(keys, p, p, n)
	default:
		return false
	}
	return true
}

// expandKeyAVX2 writes the 15 round keys of AES-256 to enc and those of its equivalent
// inverse cipher to inv. It reads all of key before it writes. It needs AVX and AES-NI.
//
//go:noescape
func expandKeyAVX2(enc, inv *Schedule, key *[32]byte)

// The following kernels process n blocks under keys. They read 16·n bytes at src and write
// 16·n at dst, which must be src or not overlap it. The AVX512 kernels need AVX-512 F, DQ and
// VAES and clobber ZMM and mask registers; the AVX2 kernels need AVX and AES-NI. All leave the
// upper halves of the vector registers zero.

//go:noescape
func encryptAVX512(keys *Schedule, dst, src *byte, n int)

//go:noescape
func decryptAVX512(keys *Schedule, dst, src *byte, n int)

//go:noescape
func encryptAVX2(keys *Schedule, dst, src *byte, n int)

//go:noescape
func decryptAVX2(keys *Schedule, dst, src *byte, n int)
