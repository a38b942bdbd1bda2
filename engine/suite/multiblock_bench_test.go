package suite

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/velonym/velonym/engine/spec"
)

// BenchmarkMultiBlock pseudonymises values of several blocks, 1,024 a batch: all of the
// same number of blocks, and mixed.
func BenchmarkMultiBlock(b *testing.B) {
	p, err := NewPlan(spec.Pseudonymise, Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62, Gen: -1}, testKeys(b))
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	for _, c := range [][2]int{{16, 31}, {48, 63}, {16, 200}, {8, 40}} {
		b.Run(fmt.Sprintf("%d-%d", c[0], c[1]), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			t := &Batch{Post: "\n"}
			for range 1024 {
				l := c[0] + r.IntN(c[1]-c[0]+1)
				t.Spans = append(t.Spans, uint32(len(t.Src)), uint32(l))
				for range l {
					t.Src = append(t.Src, byte('a'+r.IntN(26)))
				}
			}
			t.Src = append(t.Src, make([]byte, 64)...)[:len(t.Src)]
			for b.Loop() {
				t.Dst = t.Dst[:0]
				p.Transform(t)
			}
			b.ReportMetric(1024*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
		})
	}
}
