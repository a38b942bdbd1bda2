//go:build !purego

package csvfast

import "github.com/velonym/velonym/internal/simd"

// jsonSpecialAVX512 is jsonSpecial. It reads n bytes from p. Needs AVX512F,
// AVX512BW, BMI1, BMI2.
//
//go:noescape
func jsonSpecialAVX512(p *byte, n int) int

// csvSpecialAVX512 is csvSpecial. It reads n bytes from p. Needs AVX512F,
// AVX512BW, BMI1, BMI2.
//
//go:noescape
func csvSpecialAVX512(p *byte, n int, a, b byte) int

// jsonSpecialAVX2 is jsonSpecial for n of at least 32. Needs AVX2, BMI1.
//
//go:noescape
func jsonSpecialAVX2(p *byte, n int) int

// csvSpecialAVX2 is csvSpecial for n of at least 32. Needs AVX2, BMI1.
//
//go:noescape
func csvSpecialAVX2(p *byte, n int, a, b byte) int

func jsonSpecialTier(v []byte) int {
	switch simd.Active() {
	case simd.AVX512:
		return jsonSpecialAVX512(&v[0], len(v))
	case simd.AVX2:
		return jsonSpecialAVX2(&v[0], len(v))
	}
	return jsonSpecialGeneric(v)
}

func csvSpecialTier(v []byte, a, b byte) int {
	switch simd.Active() {
	case simd.AVX512:
		return csvSpecialAVX512(&v[0], len(v), a, b)
	case simd.AVX2:
		return csvSpecialAVX2(&v[0], len(v), a, b)
	}
	return csvSpecialGeneric(v, a, b)
}
