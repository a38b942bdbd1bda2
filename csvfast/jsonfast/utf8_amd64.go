//go:build !purego

package jsonfast

import "github.com/velonym/velonym/internal/simd"

// utf8BlocksAVX512 checks 64·blocks bytes from p, blocks at least 1, and reads
// three bytes before p. It returns 0 if every fault it could see, of a byte
// with those before it, is absent; a character that the end cuts is none.
// Needs AVX512F, AVX512BW.
//
//go:noescape
func utf8BlocksAVX512(p *byte, blocks int) (bad uint64)

// utf8BlocksAVX2 is utf8BlocksAVX512 for AVX2.
//
//go:noescape
func utf8BlocksAVX2(p *byte, blocks int) (bad uint64)

// utf8Blocks checks blocks from p[k:], k at least 3. It is not for simd.Generic.
func utf8Blocks(p []byte, k, blocks int) uint64 {
	if simd.Active() == simd.AVX512 {
		return utf8BlocksAVX512(&p[k], blocks)
	}
	return utf8BlocksAVX2(&p[k], blocks)
}
