package suite

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestRecogniseOwnPseudonyms pseudonymises under every spec and generation, and recognises the
// results with a plan of every form.
func TestRecogniseOwnPseudonyms(t *testing.T) {
	simdtest.Alone(t)
	k := testKeys(t) // generations 3, 7 and 9, the last active
	older := func(active int) *Keys {
		var s []Secret
		for _, g := range []int{3, 7, 9} {
			x := Secret{Gen: g, Active: g == active}
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
	keys := []*Keys{k, older(3), older(7)}
	foreign, err := NewKeys("register", "other", []Secret{{Gen: 9, Active: true, S: [32]byte{9}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(foreign.Release)
	var values [][]byte
	for i := range 100 {
		values = append(values, fmt.Appendf(nil, "%0*d", 1+i%200, i+1))
	}
	eachKernel(t, func(t *testing.T) {
		for _, s := range allSpecs() {
			if s.Norm != nil {
				continue
			}
			for _, from := range keys {
				p := plan(t, spec.Pseudonymise, s, from)
				b := batchOf(values)
				b.Doc = p.NewDocument()
				p.Transform(b)
				made := make([][]byte, len(values))
				want := 0
				for i := range made {
					made[i] = bytes.Clone(b.result(i))
					if i%3 == 0 {
						made[i] = append(made[i], "   "...) // a CHAR column
					}
					if b.bad(i) != 0 || s.Form.Preserving() {
						continue
					}
					if s.Method == spec.Reversible || s.Form == spec.Pair62 {
						want++
					}
				}
				in := batchOf(made)
				for _, to := range []spec.Form{spec.Pair62, spec.Hex, spec.Digits} {
					s := s
					s.Form = to
					if s.Validate() != nil {
						continue
					}
					q := plan(t, spec.Pseudonymise, s, k)
					want := want
					if to.Preserving() {
						want = 0
					}
					if got := q.Recognise(in.Src, in.Spans); got != want {
						t.Fatalf("%s to %s: %d recognised, want %d", p.forward.spec.name(), to, got, want)
					}
					if s.Method == spec.Reversible {
						other := plan(t, spec.Pseudonymise, s, foreign)
						if got := other.Recognise(in.Src, in.Spans); got != 0 {
							t.Fatalf("%s: %d pseudonyms of another domain recognised, want none", s.name(), got)
						}
					}
				}
			}
		}
	})
}

// TestRecogniseNoOrdinaryIdentifiers checks that none of a hundred thousand identifiers, of
// each kind that registers hold, counts as a pseudonym.
func TestRecogniseNoOrdinaryIdentifiers(t *testing.T) {
	k := testKeys(t)
	r := rand.New(rand.NewPCG(3, 33))
	pick := func(alphabet string, n int) []byte {
		v := make([]byte, n)
		for i := range v {
			v[i] = alphabet[r.IntN(len(alphabet))]
		}
		return v
	}
	const alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	kinds := map[string]func() []byte{
		"numbers": func() []byte { return pick("0123456789", 1+r.IntN(40)) },
		"hex":     func() []byte { return pick("0123456789abcdef", 32) },
		"hex 64":  func() []byte { return pick("0123456789ABCDEF", 64) },
		"uuid": func() []byte {
			x := pick("0123456789abcdef", 36)
			x[8], x[13], x[18], x[23] = '-', '-', '-', '-'
			return x
		},
		"alphanumeric": func() []byte { return pick(alnum, 20+r.IntN(20)) },
		"base32":       func() []byte { return pick("abcdefghijklmnopqrstuvwxyz234567", 26) },
		"lower":        func() []byte { return pick("abcdefghijklmnopqrstuvwxyz", 32) },
		"names":        func() []byte { return append(pick("abcdefgh", 12), append([]byte(" "), pick("ijklmno", 19)...)...) },
		"bytes":        func() []byte { return pick("\x00\xff\x80 a", r.IntN(600)) },
	}
	rounds := 40_000
	if testing.Short() {
		rounds = 5_000
	}
	plans := []*Plan{
		plan(t, spec.Pseudonymise, Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62, Gen: -1}, k),
		plan(t, spec.Pseudonymise, Spec{Method: spec.Reversible, Policy: spec.Different, Form: spec.Pair62, Tag: 64, Gen: -1}, k),
		plan(t, spec.Pseudonymise, Spec{Method: spec.Irreversible, Policy: spec.Same, Form: spec.Pair62, Gen: -1}, k),
	}
	for name, kind := range kinds {
		for range rounds / 1000 {
			values := make([][]byte, 1000)
			for i := range values {
				values[i] = kind()
			}
			b := batchOf(values)
			for _, p := range plans {
				if n := p.Recognise(b.Src, b.Spans); n > 0 {
					t.Fatalf("%s: %d counted as pseudonyms by %s, want none", name, n, p.forward.spec.name())
				}
			}
		}
	}
}

// TestRecogniseWhatPlansCannot checks that plans that read pseudonyms recognise none, and that
// an irreversible pseudonym of an unknown generation is not recognised.
func TestRecogniseWhatPlansCannot(t *testing.T) {
	k := testKeys(t)
	s := Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62, Gen: -1}
	p, q := plan(t, spec.Pseudonymise, s, k), plan(t, spec.Reverse, s, k)
	second, err := NewSecondary(s, k, s, k)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Close)
	b := batchOf(slices.Repeat([][]byte{[]byte("1234567890123")}, 20))
	p.Transform(b)
	if n := p.Recognise(b.Dst, b.Out); n != 20 {
		t.Fatalf("%d of 20 pseudonyms recognised, want all", n)
	}
	for _, p := range []*Plan{q, second} {
		if n := p.Recognise(b.Dst, b.Out); n != 0 {
			t.Errorf("%s: recognises %d", p.op, n)
		}
	}
	// A pseudonym of a generation that this domain does not have is another domain's.
	s.Method = spec.Irreversible
	one, err := NewKeys("register", "clinic", []Secret{{Gen: 1, Active: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(one.Release)
	x := batchOf([][]byte{[]byte("1234567890123")})
	plan(t, spec.Pseudonymise, s, one).Transform(x)
	if n := plan(t, spec.Pseudonymise, s, k).Recognise(x.Dst, x.Out); n != 0 {
		t.Errorf("an irreversible pseudonym of an unknown generation is recognised")
	}
	if n := p.Recognise(nil, nil); n != 0 {
		t.Errorf("%d pseudonyms recognised in no values", n)
	}
}

func BenchmarkRecognise(b *testing.B) {
	k := testKeys(b)
	p := plan(b, spec.Pseudonymise, Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62, Gen: -1}, k)
	for _, in := range []string{"1234567890123", "00000000-0000-4000-8000-000000000000", "d41d8cd98f00b204e9800998ecf8427e"} {
		b.Run(fmt.Sprint(len(in)), func(b *testing.B) {
			v := batchOf(slices.Repeat([][]byte{[]byte(in)}, 256))
			b.ReportAllocs()
			for b.Loop() {
				p.Recognise(v.Src, v.Spans)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/value")
		})
	}
}
