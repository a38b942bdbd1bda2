package hyperloglog

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestStructured changes the length of each value in turn in a batch of values of 13 bytes,
// and fails unless the kernel ran.
func TestStructured(t *testing.T) {
	step, least := 1, int64(500)
	if testing.Short() {
		step, least = 9, 50
	}
	simd.CountPaths(true)
	t.Cleanup(func() { simd.CountPaths(false) })
	simdtest.EachKernel(t, func(t *testing.T) {
		byKernel.Reset()
		for _, n := range []int{0, 1, 7, 8, 15, 16, 17, 200} {
			for at := 0; at < batchSize; at += step {
				var src []byte
				var spans []uint32
				for i := range min(at+24, batchSize) {
					v := []byte(strings.Repeat(fmt.Sprint(9012345678+1111111*(i%8)), 2)[:13])
					if i == at {
						v = bytes.Repeat([]byte{'x'}, n)
					}
					spans = append(spans, uint32(len(src)), uint32(len(v)))
					src = append(src, v...)
				}
				src = append(make([]byte, 0, len(src)+8*(at%2)), src...)
				s := newSampler(1, 2)
				if at%3 == 0 {
					s.limit = math.MaxUint64 / 3
				}
				checkHash(t, s, src, spans, at%2 == 0)
			}
		}
		switch n := byKernel.Taken(); simd.Active() {
		case simd.AVX512:
			if n < least {
				t.Errorf("the kernel hashed in %d calls, want %d: the inputs no longer reach it", n, least)
			}
		default:
			if n != 0 {
				t.Errorf("a kernel hashed in %d calls of a tier that has none", n)
			}
		}
	})
}
