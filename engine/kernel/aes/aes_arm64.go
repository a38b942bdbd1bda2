//go:build !purego

package aes

import "github.com/velonym/velonym/internal/simd"

func expandKey(enc, inv *Schedule, key *[32]byte) { expandKeyGeneric(enc, inv, key) }

func blocksKernel(keys *Schedule, blocks []byte, decrypt bool) bool {
	if simd.Active() != simd.ARM64 {
		return false
	}
	p, n := &blocks[0], len(blocks)/16
	if decrypt {
		decryptNEON(keys, p, p, n)
	} else {
		encryptNEON(keys, p, p, n)
	}
	return true
}

// The following kernels process n blocks under keys. They read 16·n bytes at src and write
// 16·n at dst, which must be src or not overlap it. They need NEON and the AES extension, and
// clobber V0 to V30.

//go:noescape
func encryptNEON(keys *Schedule, dst, src *byte, n int)

//go:noescape
func decryptNEON(keys *Schedule, dst, src *byte, n int)
