//go:build !purego

package csvfast

import "github.com/velonym/velonym/internal/simd"

// specialAVX512 is special. It reads n bytes at p and nothing else, and writes
// nothing. Needs AVX512F, AVX512BW, BMI1, BMI2.
//
//go:noescape
func specialAVX512(p *byte, n int, a, b byte) int

// specialAVX2 is special for n of at least 32. It reads n bytes at p and nothing
// else, and writes nothing. Needs AVX2, BMI1.
//
//go:noescape
func specialAVX2(p *byte, n int, a, b byte) int

func specialTier(v []byte, a, b byte) int {
	switch simd.Active() {
	case simd.AVX512:
		return specialAVX512(&v[0], len(v), a, b)
	case simd.AVX2:
		return specialAVX2(&v[0], len(v), a, b)
	}
	return specialGeneric(v, a, b)
}
