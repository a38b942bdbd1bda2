//go:build !purego

package kernel

import "github.com/velonym/velonym/internal/simd"

// hashLanes hashes the first values, as many as the tier in use has a kernel for.
func (s *Sketch) hashLanes(dst *[SketchRoom]uint64, src []byte, spans []uint32, longest uint64) (done, kept, empty int) {
	// Eight bytes are read where a value starts.
	if n := len(spans) / 2 &^ 7; simd.Active() == simd.AVX512 && n > 0 && cap(src) >= len(src)+8 {
		return sketchAVX512(&s.seed0, &dst[0], &src[:1][0], &spans[0], n, longest)
	}
	return 0, 0, 0
}

//go:noescape
func sketchAVX512(s, dst *uint64, src *byte, spans *uint32, n int, longest uint64) (done, kept, empty int)
