//go:build !purego

package kernel

import "github.com/velonym/velonym/internal/simd"

// gapsLanes is Gaps for the first values, as many as the tier in use has a kernel for.
func gapsLanes(dst, src []byte, spans, at []uint32, lens *[GapLens]uint32, from, to int) (done, nextFrom, nextTo int) {
	if len(at) == 0 || len(dst) == 0 || cap(src) == 0 {
		return 0, from, to
	}
	spans = spans[:2*len(at)]
	switch simd.Active() {
	case simd.AVX512:
		return gapsAVX512(&dst[0], len(dst), &src[:1][0], cap(src), &spans[0], &at[0], len(at), &lens[0], from, to)
	case simd.AVX2:
		return gapsAVX2(&dst[0], len(dst), &src[:1][0], cap(src), &spans[0], &at[0], len(at), &lens[0], from, to)
	}
	return 0, from, to
}

//go:noescape
func gapsAVX512(dst *byte, room int, src *byte, size int, spans, at *uint32, n int, lens *uint32, from, to int) (done, nextFrom, nextTo int)

//go:noescape
func gapsAVX2(dst *byte, room int, src *byte, size int, spans, at *uint32, n int, lens *uint32, from, to int) (done, nextFrom, nextTo int)
