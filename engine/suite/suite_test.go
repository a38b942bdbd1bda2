package suite

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

func eachKernel(t *testing.T, f func(t *testing.T)) {
	for _, name := range simd.Kernels() {
		t.Run(name, func(t *testing.T) {
			if err := simd.Force(name); err != nil {
				t.Fatal(err)
			}
			defer simd.Force("auto")
			f(t)
		})
	}
}

// testKeys returns keys of generations 3, 7 and 9, of which 9 is active.
func testKeys(t testing.TB) *Keys {
	t.Helper()
	var s []Secret
	for _, g := range []int{7, 3, 9} {
		x := Secret{Gen: g, Active: g == 9}
		for i := range x.S {
			x.S[i] = byte(g*31 + i)
		}
		s = append(s, x)
	}
	k, err := NewKeys("register", "clinic", s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Release)
	return k
}

func allSpecs() []Spec {
	var all []Spec
	hexAlphabet, err := spec.ParseForm("fpe:0123456789abcdef")
	if err != nil {
		panic(err)
	}
	norms := []Norm{nil, {Trim, NFC, Upper}, {DigitsOnly}}
	for _, m := range []spec.Method{spec.Reversible, spec.Irreversible} {
		for _, p := range []spec.Policy{spec.Same, spec.Different, spec.PerDocument} {
			for _, tag := range []int{0, 64, 128} {
				for _, f := range []spec.Form{spec.Pair62, spec.Hex, spec.B64u, spec.B32, spec.UUID, spec.Digits, hexAlphabet} {
					for _, n := range norms {
						s := Spec{Method: m, Policy: p, Form: f, Tag: tag, Norm: n, Gen: -1}
						if s.Validate() == nil {
							all = append(all, s)
						}
					}
				}
			}
		}
	}
	return all
}

func (s Spec) name() string {
	return fmt.Sprintf("%s/%s/%s/%d/%v", s.Method, s.Policy, s.Form, s.Tag, s.Norm)
}

func plan(t testing.TB, op spec.Op, s Spec, k *Keys) *Plan {
	t.Helper()
	p, err := NewPlan(op, s, k)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	p.random = func(b []byte) { // constant, so that two paths give the same results
		for i := range b {
			b[i] = 7
		}
	}
	return p
}

var samples = []string{"", "", "Zoë Ångström", "日本語の名前", "line\nbreak", "\xff", "\u0085", "x", "0123456789", "0123456789012345", "   padded  ", "\u2003wide\u2003", "e\u0301", "NUL\x00"}

func value(r *rand.Rand) []byte {
	switch r.IntN(12) {
	case 0:
		return []byte(samples[r.IntN(len(samples))])
	case 1:
		v := make([]byte, r.IntN(300))
		for i := range v {
			v[i] = byte(r.Uint32())
		}
		return v
	case 2, 3, 4:
		v := make([]byte, r.IntN(300))
		for i := range v {
			v[i] = byte(' ' + r.IntN(95))
		}
		return v
	case 5, 6:
		v := make([]byte, r.IntN(30))
		for i := range v {
			v[i] = byte('0' + r.IntN(10))
		}
		return v
	}
	v := make([]byte, 1+r.IntN(15))
	for i := range v {
		v[i] = byte('0' + r.IntN(10))
	}
	return v
}

func batchOf(values [][]byte) *Batch {
	b := &Batch{}
	for _, v := range values {
		b.Spans = append(b.Spans, uint32(len(b.Src)), uint32(len(v)))
		b.Src = append(b.Src, v...)
		b.Src = append(b.Src, ',')
	}
	return b
}

func (b *Batch) result(i int) []byte { return b.Dst[b.Out[2*i]:][:b.Out[2*i+1]] }

func (b *Batch) bad(i int) Code {
	for _, e := range b.Bad {
		if e.Index == i {
			return e.Code
		}
	}
	return 0
}

// TestTransformMatchesPortable compares every path through a batch with the portable twin, for
// every spec, forwards, backwards and scattered.
func TestTransformMatchesPortable(t *testing.T) {
	simdtest.Alone(t)
	k := testKeys(t)
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		for _, s := range allSpecs() {
			for _, n := range []int{0, 1, 2, 17, 40, 200, 1100} {
				if n == 1100 && r.IntN(6) > 0 {
					continue
				}
				values := make([][]byte, n)
				for i := range values {
					values[i] = value(r)
					if i > 0 && r.IntN(5) == 0 {
						values[i] = values[r.IntN(i)]
					}
				}
				p := plan(t, spec.Pseudonymise, s, k)
				a, b := batchOf(values), batchOf(values)
				a.Pre, a.Post = `"`, `",`
				b.Pre, b.Post = `"`, `",`
				a.Doc, b.Doc = p.NewDocument(), p.NewDocument()
				p.Transform(a)
				b.Out = make([]uint32, 2*n)
				p.portable(b, 0, n)
				checkSameBatch(t, s.name(), a, b)

				if at := scattered(r, p, values); at != nil {
					at.Doc = p.NewDocument()
					p.Transform(at)
					for i := range n {
						if !bytes.Equal(at.result(i), b.result(i)) {
							t.Fatalf("%s: value %d scattered is %q, want %q", s.name(), i, at.result(i), b.result(i))
						}
					}
					if !slices.Equal(at.Bad, b.Bad) {
						t.Fatalf("%s: scattered: bad %v, want %v", s.name(), at.Bad, b.Bad)
					}
				}
				if s.Method != spec.Reversible {
					continue
				}
				q := plan(t, spec.Reverse, s, k)
				x := make([][]byte, n)
				for i := range x {
					x[i] = bytes.Clone(b.result(i))
					if len(x[i]) > 0 && r.IntN(20) == 0 {
						x[i][r.IntN(len(x[i]))] ^= 1 << r.IntN(8)
					}
					if r.IntN(50) == 0 {
						x[i] = value(r)
					}
				}
				c, d := batchOf(x), batchOf(x)
				c.Post, d.Post = "\n", "\n"
				q.Transform(c)
				d.Out = make([]uint32, 2*n)
				q.trimSpans(d)
				q.portable(d, 0, n)
				checkSameBatch(t, s.name()+" reverse", c, d)
			}
		}
	})
}

func checkSameBatch(t *testing.T, name string, a, b *Batch) {
	t.Helper()
	if !slices.Equal(a.Bad, b.Bad) {
		t.Fatalf("%s: bad %v, want %v", name, a.Bad, b.Bad)
	}
	if !bytes.Equal(a.Dst, b.Dst) {
		t.Fatalf("%s: %d values: the outputs differ", name, len(a.Spans)/2)
	}
	if !slices.Equal(a.Out, b.Out) {
		t.Fatalf("%s: the offsets or lengths in Out differ", name)
	}
}

// scattered returns a batch of the values whose results have offsets in random order, nil if p
// does not allow that.
func scattered(r *rand.Rand, p *Plan, values [][]byte) *Batch {
	b := batchOf(values)
	b.At = make([]uint32, len(values))
	size := 5
	for _, i := range r.Perm(len(values)) {
		n := p.OutLen(len(values[i]))
		if n < 0 {
			return nil
		}
		b.At[i] = uint32(size)
		size += n + r.IntN(3)
	}
	b.Dst = make([]byte, size)
	return b
}

// TestRoundTrip pseudonymises and reverses values of 0 to 300 bytes.
func TestRoundTrip(t *testing.T) {
	k := testKeys(t)
	r := rand.New(rand.NewPCG(5, 6))
	for _, s := range allSpecs() {
		if s.Method != spec.Reversible || s.Norm != nil {
			continue
		}
		var values [][]byte
		for n := range 301 {
			v := make([]byte, n)
			for i := range v {
				v[i] = byte('0' + r.IntN(10))
				if s.Tag > 0 {
					v[i] = byte(r.Uint32())
				}
			}
			values = append(values, v)
		}
		p, q := plan(t, spec.Pseudonymise, s, k), plan(t, spec.Reverse, s, k)
		a := batchOf(values)
		a.Doc = p.NewDocument()
		p.Transform(a)
		x := make([][]byte, len(values))
		for i := range x {
			x[i] = a.result(i)
			if len(x[i]) != p.OutLen(i) && a.bad(i) == 0 {
				t.Fatalf("%s: OutLen(%d) is %d, got %d", s.name(), i, p.OutLen(i), len(x[i]))
			}
		}
		b := batchOf(x)
		q.Transform(b)
		for i, v := range values {
			if a.bad(i) != 0 {
				continue // uuid and fpe do not take every length
			}
			if !bytes.Equal(b.result(i), v) || b.bad(i) != 0 {
				t.Fatalf("%s: %d bytes come back as %q, %v", s.name(), i, b.result(i), b.bad(i))
			}
		}
		good := len(values) - len(a.Bad)
		if good < 15 {
			t.Fatalf("%s: only %d values were accepted", s.name(), good)
		}
	}
}

// TestParallelMatchesTransform compares TransformParallel with Transform, for values of one
// length and of many, good and bad.
func TestParallelMatchesTransform(t *testing.T) {
	k := testKeys(t)
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(21, 9))
		every := 4
		if testing.Short() {
			every = 59
		}
		for round, s := range allSpecs() {
			if round%every != 0 {
				continue
			}
			n := []int{900, 1001, minPiece, minPiece + 1, 7*minPiece - 5, 2*maxPiece*3 + 9}[round/every%6]
			values := make([][]byte, n)
			for i := range values {
				values[i] = []byte(fmt.Sprintf("%013d", i))
				if round%3 == 0 || round%3 == 1 && i == n/2 {
					values[i] = value(r)
				}
			}
			p := plan(t, spec.Pseudonymise, s, k)
			a, b := batchOf(values), batchOf(values)
			a.Pre, a.Post, b.Pre, b.Post = "<", "\n", "<", "\n"
			a.Doc, b.Doc = p.NewDocument(), p.NewDocument()
			a.Dst, b.Dst = []byte("head"), []byte("head")
			p.Transform(a)
			p.TransformParallel(b, 3)
			checkSameBatch(t, s.name(), b, a)
			if at := scattered(r, p, values); at != nil {
				at.Doc = p.NewDocument()
				p.TransformParallel(at, 3)
				for i := range n {
					if !bytes.Equal(at.result(i), a.result(i)) {
						t.Fatalf("%s: value %d scattered is %q, want %q", s.name(), i, at.result(i), a.result(i))
					}
				}
			}
			if s.Method == spec.Reversible {
				q := plan(t, spec.Reverse, s, k)
				x := make([][]byte, n)
				for i := range x {
					x[i] = a.result(i)
				}
				c, d := batchOf(x), batchOf(x)
				q.Transform(c)
				q.TransformParallel(d, 2)
				q.TransformParallel(d, 2) // appends to the results of the first call
				if !bytes.Equal(d.Dst, append(bytes.Clone(c.Dst), c.Dst...)) {
					t.Fatalf("%s: reverse differs", s.name())
				}
				for i := range n {
					if !bytes.Equal(d.result(i), c.result(i)) {
						t.Fatalf("%s: reverse: value %d differs between batches", s.name(), i)
					}
				}
			}
		}
	})
}

func benchBatch(n int) *Batch {
	r := rand.New(rand.NewPCG(1, 9))
	b := &Batch{Pre: `"`, Post: `",`}
	for range n {
		b.Spans = append(b.Spans, uint32(len(b.Src)), 13)
		b.Src = fmt.Appendf(b.Src, "%013d,", r.Int64N(1e13))
	}
	return b
}

func BenchmarkTransform(b *testing.B) {
	k := testKeys(b)
	p, err := NewPlan(spec.Pseudonymise, Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62, Gen: -1}, k)
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	for _, long := range [][2]int{{20, 30}, {16, 200}} {
		b.Run(fmt.Sprintf("%d to %d bytes", long[0], long[1]), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 9))
			t := &Batch{Post: "\n"}
			for range 1024 {
				v := bytes.Repeat([]byte{'x'}, long[0]+r.IntN(long[1]-long[0]+1))
				t.Spans = append(t.Spans, uint32(len(t.Src)), uint32(len(v)))
				t.Src = append(append(t.Src, v...), ',')
			}
			for b.Loop() {
				t.Dst = t.Dst[:0]
				p.Transform(t)
			}
			b.ReportMetric(1024*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
		})
	}
	for _, n := range []int{1, 10, 1000, 1000000} {
		for workers := 1; workers <= 2; workers++ {
			b.Run(fmt.Sprintf("%d/workers%d", n, workers), func(b *testing.B) {
				t := benchBatch(n)
				for b.Loop() {
					t.Dst = t.Dst[:0]
					p.TransformParallel(t, workers)
				}
				b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
			})
		}
	}
}
