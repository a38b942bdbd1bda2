//go:build !purego

package jsonfast

import "github.com/velonym/velonym/internal/simd"

// specialAVX512 is special for the n bytes at p. It reads only those and writes nothing. It
// needs AVX512F, AVX512BW, BMI1 and BMI2.
//
//go:noescape
func specialAVX512(p *byte, n int) int

// specialAVX2 is special for the n bytes at p, at least 32. It reads only those and writes
// nothing. It needs AVX2 and BMI1.
//
//go:noescape
func specialAVX2(p *byte, n int) int

func specialTier(v []byte) int {
	switch simd.Active() {
	case simd.AVX512:
		return specialAVX512(&v[0], len(v))
	case simd.AVX2:
		return specialAVX2(&v[0], len(v))
	}
	return specialGeneric(v)
}
