//go:build !race

package suite

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/internal/simd"
)

// The race detector empties pools at random, so allocations are counted without it.

// TestNoAllocations checks that transforming a reused batch allocates nothing.
func TestNoAllocations(t *testing.T) {
	k := testKeys(t)
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 9))
		size := 600 // more than a chunk of any kernel
		if simd.Kernel() == "generic" {
			size = 100 // value by value
		}
		for _, s := range allSpecs() {
			p, err := NewPlan(spec.Pseudonymise, s, k)
			if err != nil {
				t.Fatal(err)
			}
			values := make([][]byte, size)
			for i := range values {
				values[i] = value(r)
			}
			b := batchOf(values)
			b.Doc = p.NewDocument()
			run := func(p *Plan, b *Batch) {
				b.Dst = b.Dst[:0]
				p.Transform(b)
			}
			run(p, b)
			if n := testing.AllocsPerRun(2, func() { run(p, b) }); n > 0 {
				t.Errorf("%s: %v allocations", s.name(), n)
			}
			if s.Method == spec.Reversible {
				q, err := NewPlan(spec.Reverse, s, k)
				if err != nil {
					t.Fatal(err)
				}
				x := make([][]byte, len(values))
				for i := range x {
					x[i] = b.result(i)
				}
				c := batchOf(x)
				run(q, c)
				if n := testing.AllocsPerRun(2, func() { run(q, c) }); n > 0 {
					t.Errorf("%s reverse: %v allocations", s.name(), n)
				}
				q.Close()
			}
			p.Close()
		}
	})
}

// TestRecogniseAllocatesNothing checks that Recognise allocates nothing per value.
func TestRecogniseAllocatesNothing(t *testing.T) {
	k := testKeys(t)
	eachKernel(t, func(t *testing.T) {
		s := Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Hex, Gen: -1}
		p := plan(t, spec.Pseudonymise, s, k)
		var values [][]byte
		for i := range 500 {
			values = append(values, fmt.Appendf(nil, "%0*d", 1+i%200, i+1))
		}
		b := batchOf(values)
		p.Transform(b)
		if n := testing.AllocsPerRun(20, func() { p.Recognise(b.Dst, b.Out) }); n > 1 {
			t.Errorf("%v allocations for 500 values, want none per value", n)
		}
	})
}
