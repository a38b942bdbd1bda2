package hyperloglog

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// guardedValues is values in a page that faults right after the room that kernels need.
func guardedValues(t testing.TB, r *rand.Rand, values, longest, room int) (src []byte, spans []uint32) {
	size := 0
	for range values {
		n := r.IntN(longest + 1)
		spans = append(spans, uint32(size), uint32(n))
		size += n
	}
	page := simdtest.PageEnd(t, size+room)
	for i := range size {
		page[i] = byte(r.IntN(256))
	}
	return page[:size], spans
}

// checkHash compares the kernel in use with the portable twin.
func checkHash(t *testing.T, s sampler, src []byte, spans []uint32, ends bool) {
	t.Helper()
	var got, want [hashRoom]uint64
	kept, empty := s.hash(&got, src, spans, ends)
	k, e := s.hashGeneric(want[:], src, spans, longestWhole(ends))
	if kept != k || empty != e {
		t.Fatalf("kept %d and %d empty, want %d and %d", kept, empty, k, e)
	}
	slices.Sort(got[:kept])
	slices.Sort(want[:kept])
	if !slices.Equal(got[:kept], want[:kept]) {
		t.Fatalf("hashes %x, want %x", got[:kept], want[:kept])
	}
}

// TestHashKernelsAgree checks that all kernels give the same hashes for values of any length,
// and read nothing but the values and the padding after them.
func TestHashKernelsAgree(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 600 {
			s := newSampler(r.Uint64(), r.Uint64())
			s.limit = math.MaxUint64 >> []int{0, 0, 1, 4, 20, 63}[r.IntN(6)]
			src, spans := guardedValues(t, r, r.IntN(batchSize+1), []int{0, 1, 7, 8, 16, 17, 40, 200}[i%8], []int{0, 7, 8, 64}[r.IntN(4)])
			checkHash(t, s, src, spans, i&1 == 1)
		}
	})
}

// TestHashDistinguishesValues checks that values that differ in any one byte, in their length
// or in the order of their bytes have different hashes.
func TestHashDistinguishesValues(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, ends := range []bool{false, true} {
			s := newSampler(1, 2)
			seen := map[uint64]string{}
			one := func(v []byte) {
				src := append(make([]byte, 0, 8*len(v)+64), v...)
				spans := make([]uint32, 0, 16)
				for range 8 {
					spans = append(spans, 0, uint32(len(v)))
				}
				var dst [hashRoom]uint64
				if kept, _ := s.hash(&dst, src, spans, ends); kept != 8 || dst[0] != dst[7] {
					t.Fatalf("%q: %d hashes %x", v, kept, dst[:8])
				}
				if was, ok := seen[dst[0]]; ok {
					t.Fatalf("%q and %q have one hash", was, v)
				}
				seen[dst[0]] = string(v)
			}
			for n := 1; n <= 70; n++ {
				v := make([]byte, n)
				for i := range v {
					v[i] = byte('a' + i%13)
				}
				one(v)
				for i := range v {
					if ends && i >= 8 && i < n-8 {
						continue // not hashed with endsOnly
					}
					for _, c := range []byte{'A', '0', 0x80, 0xff, 1} {
						was := v[i]
						v[i] = c
						one(v)
						v[i] = was
					}
				}
			}
		}
	})
}

// TestSamplerKeepsHashesUpToLimit checks that no hash above the limit is kept, and about as
// many as the limit predicts.
func TestSamplerKeepsHashesUpToLimit(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		s := newSampler(3, 4)
		s.limit = math.MaxUint64 >> 3
		kept := 0
		r := rand.New(rand.NewPCG(5, 6))
		for range 100 {
			src, spans := guardedValues(t, r, batchSize, 16, 64)
			var dst [hashRoom]uint64
			n, _ := s.hash(&dst, src, spans, false)
			for _, h := range dst[:n] {
				if h > math.MaxUint64>>3 {
					t.Fatalf("kept the hash %x, want those below %x only", h, uint64(math.MaxUint64>>3))
				}
			}
			kept += n
		}
		// 24,000 values that are not empty, an eighth of them.
		if kept < 2700 || kept > 3300 {
			t.Fatalf("%d of 25,600 hashes were kept, want about 3000", kept)
		}
	})
}

func FuzzHash(f *testing.F) {
	f.Add(uint64(1), uint16(20), uint8(16), uint8(8), false)
	f.Fuzz(func(t *testing.T, seed uint64, values uint16, longest, room uint8, ends bool) {
		r := rand.New(rand.NewPCG(seed, 1))
		src, spans := guardedValues(t, r, int(values)%(batchSize+1), int(longest), int(room))
		defer simd.Force("auto")
		for _, name := range simd.Kernels() {
			if err := simd.Force(name); err != nil {
				t.Fatal(err)
			}
			checkHash(t, newSampler(seed, ^seed), src, spans, ends)
		}
	})
}
