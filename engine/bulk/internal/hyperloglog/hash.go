package hyperloglog

import (
	"math"

	"github.com/velonym/velonym/internal/simd"
)

// sampler hashes values and keeps the hashes up to limit. The kernels' generator takes the
// offsets of its fields from here.
type sampler struct {
	seed0, seed1 uint64
	limit        uint64
}

// batchSize is the largest number of values a call of hash takes; hashRoom is the number
// of hashes it needs room for, since kernels store eight at a time.
const (
	batchSize = 256
	hashRoom  = batchSize + 8
)

// byKernel counts the calls in which a kernel hashed anything.
var byKernel simd.Path

// newSampler returns a sampler that keeps every hash. Samplers of the same seeds hash
// alike.
func newSampler(seed0, seed1 uint64) sampler {
	return sampler{seed0: seed0, seed1: seed1, limit: math.MaxUint64}
}

// hash writes the hashes of the values up to the limit to dst, in no order, and returns
// their number and the number of empty values, which are not hashed. spans are offset and
// length in src of at most batchSize values. See Counter.Add for endsOnly.
//
// A kernel hashes as long as values are at most 16 bytes long, or endsOnly is set, if src
// has eight bytes of capacity past its end; the portable code hashes what is left.
func (s *sampler) hash(dst *[hashRoom]uint64, src []byte, spans []uint32, endsOnly bool) (kept, empty int) {
	longest := longestWhole(endsOnly)
	done, kept, empty := s.hashKernel(dst, src, spans, longest)
	if done > 0 {
		byKernel.Take()
	}
	k, e := s.hashGeneric(dst[kept:], src, spans[2*done:], longest)
	return kept + k, empty + e
}

// longestWhole is the length up to which the first and the last eight bytes of a value
// are all that is hashed.
func longestWhole(endsOnly bool) uint64 {
	if endsOnly {
		return math.MaxUint64
	}
	return 16
}
