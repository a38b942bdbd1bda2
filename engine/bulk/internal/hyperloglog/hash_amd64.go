//go:build !purego

package hyperloglog

import "github.com/velonym/velonym/internal/simd"

// hashKernel is hash for the longest prefix of the values that the kernel of the tier in
// use can hash; done is 0 if there is none.
func (s *sampler) hashKernel(dst *[hashRoom]uint64, src []byte, spans []uint32, longest uint64) (done, kept, empty int) {
	// The kernel reads eight bytes where a value starts.
	if n := len(spans) / 2 &^ 7; simd.Active() == simd.AVX512 && n > 0 && cap(src) >= len(src)+8 {
		return hashAVX512(s, dst, &src[:1][0], &spans[0], n, longest)
	}
	return 0, 0, 0
}

// hashAVX512 hashes n values, a multiple of 8 up to batchSize, eight at a time. It stops
// before eight of which one is longer than longest. It returns how many it hashed, how many
// hashes it kept in dst, and how many values were empty.
//
// It reads n pairs of spans, and of each value its first and its last eight bytes; of a
// shorter value it reads eight bytes from its start, so src must be readable eight bytes
// after the last value. It writes up to seven undefined hashes after dst[:kept]. dst must
// not overlap s, src or spans. It needs AVX512F, AVX512DQ and POPCNT and clobbers only what
// ABI0 allows; it ends with VZEROUPPER.
//
//go:noescape
func hashAVX512(s *sampler, dst *[hashRoom]uint64, src *byte, spans *uint32, n int, longest uint64) (done, kept, empty int)
