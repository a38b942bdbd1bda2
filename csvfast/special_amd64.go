//go:build !purego

package csvfast

import "github.com/velonym/velonym/internal/simd"

// specialAVX512 is special for the n bytes at p. It reads only those and writes nothing. It
// needs AVX512F, AVX512BW, BMI1 and BMI2.
//
//go:noescape
func specialAVX512(p *byte, n int, a, b byte) int

// specialAVX2 is special for the n bytes at p, at least 32. It reads only those and writes
// nothing. It needs AVX2 and BMI1.
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
