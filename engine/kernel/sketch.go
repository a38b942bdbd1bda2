package kernel

import (
	"encoding/binary"
	"math"
)

// Sketch hashes the values of batches for an estimate of how many differ, and keeps
// the small hashes, which are all that such an estimate looks at once it has seen
// much. It is no cryptographic hash. Hash is safe for concurrent use, SetMost is not.
type Sketch struct {
	// The kernels read these in this order.
	seed0, seed1 uint64
	most         uint64 // the largest hash that is kept
}

// SketchRoom is how many hashes Hash needs room for: it takes at most SketchBatch
// values at a time, and kernels store eight at once.
const (
	SketchBatch = 256
	SketchRoom  = SketchBatch + 8
)

// Murmur's scheme of multiplications and shifts, with the constants of SplitMix64
// (Steele, Lea, Flood 2014).
const (
	mul0 = 0x9e3779b97f4a7c15
	mul1 = 0xbf58476d1ce4e5b9
	mul2 = 0x94d049bb133111eb
)

// NewSketch returns a sketch that keeps every hash. Sketches with the same seeds hash
// alike.
func NewSketch(seed0, seed1 uint64) Sketch {
	return Sketch{seed0: seed0, seed1: seed1, most: math.MaxUint64}
}

// SetMost makes most the largest hash that is kept.
func (s *Sketch) SetMost(most uint64) { s.most = most }

// Hash writes the hashes of the values that are kept to dst, in no order, and returns
// how many those are and how many values are empty, which are not hashed. Spans are
// off, len pairs, at most SketchBatch of them. With ends, only the length of a value
// and its first and last eight bytes count: enough for pseudonyms, every character of
// which is as good as random.
func (s *Sketch) Hash(dst *[SketchRoom]uint64, src []byte, spans []uint32, ends bool) (kept, empty int) {
	longest := uint64(16) // length up to which the first and the last eight bytes are all, or do
	if ends {
		longest = math.MaxUint64
	}
	done, kept, empty := s.hashLanes(dst, src, spans, longest)
	if done > 0 {
		ran(pathSketch)
	}
	k, e := s.hashGeneric(dst[kept:], src, spans[2*done:], longest)
	return kept + k, empty + e
}

// hashGeneric is Hash in portable Go.
func (s *Sketch) hashGeneric(dst []uint64, src []byte, spans []uint32, longest uint64) (kept, empty int) {
	seed0, seed1, most := s.seed0, s.seed1, s.most
	for i := 0; i+1 < len(spans); i += 2 {
		n := uint64(spans[i+1])
		if n == 0 {
			empty++
			continue
		}
		v := src[spans[i]:][:n]
		a, b, h := uint64(0), uint64(0), seed0
		if n >= 8 {
			for n > longest && len(v) > 16 {
				h = sketchBlock(h, binary.LittleEndian.Uint64(v), seed1^binary.LittleEndian.Uint64(v[8:]))
				v = v[16:]
			}
			if n > longest {
				v = src[spans[i]:][n-16 : n]
			}
			a, b = binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[len(v)-8:])
		} else {
			for i := len(v) - 1; i >= 0; i-- {
				a = a<<8 | uint64(v[i])
			}
			b = a
		}
		h = sketchBlock(h, a, seed1^b^n<<36^n<<12) * mul2 // twice: no single other byte makes up for another length
		h ^= h >> 32
		dst[kept] = h
		if h <= most {
			kept++
		}
	}
	return kept, empty
}

// sketchBlock takes 16 bytes into h.
func sketchBlock(h, a, b uint64) uint64 {
	h = (h ^ a) * mul0
	h = (h ^ h>>32 ^ b) * mul1
	return h ^ h>>29
}
