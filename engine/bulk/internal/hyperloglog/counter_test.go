package hyperloglog

import (
	"fmt"
	"hash/maphash"
	"testing"
)

// TestEstimateWithinStandardErrors checks that the estimate is within a few standard errors,
// for values of many lengths, few and many, some of them counted twice.
func TestEstimateWithinStandardErrors(t *testing.T) {
	for _, format := range []string{"%d", "%013d", "%07d", "a rather long value, longer than two words, %d, and its end"} {
		for _, n := range []int{1, 50, 3000, 200_000} {
			seed := maphash.MakeSeed()
			c, d := New(seed), New(seed)
			var src []byte
			var spans []uint32
			for i := range n {
				at := len(src)
				src = fmt.Appendf(src, format, i)
				spans = append(spans, uint32(at), uint32(len(src)-at))
				if i%1000 == 999 || i == n-1 {
					c.Add(src, spans, false)
					d.Add(src, spans, false)
					if i%5000 == 999 {
						spans = spans[:0]
					}
				}
			}
			c.Merge(d)
			got := float64(c.Estimate())
			// Of 50 values three pairs share a register once in 15,000 times.
			if slack := max(float64(n)*0.05, min(4, float64(n)*0.1)); got < float64(n)-slack || got > float64(n)+slack {
				t.Errorf("%q: %d different values were estimated as %.0f", format, n, got)
			}
		}
	}
}
