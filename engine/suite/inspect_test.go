package suite

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/velonym/velonym/engine/spec"
)

// findings inspects values with the Inspector of a plan.
func findings(t *testing.T, p *Plan, values ...[]byte) (out []Finding) {
	t.Helper()
	in, err := p.Inspector()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for _, x := range values {
		out = append(out, in.Inspect(x))
	}
	return out
}

// TestInspect makes pseudonyms of every spec with an older generation, and inspects them and
// slightly changed ones. It is one function since each step needs the pseudonyms of the one
// before.
func TestInspect(t *testing.T) {
	domain := func(active int, gens ...int) *Keys {
		var s []Secret
		for _, g := range gens {
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
	before, after, gone := domain(0, 0), domain(1, 0, 1), domain(1, 1)
	var values [][]byte
	for i := range 20 {
		values = append(values, fmt.Appendf(nil, "%0*d", 6+i, i+1))
	}
	for _, s := range allSpecs() {
		if s.Norm != nil {
			continue
		}
		made := func(k *Keys) (out [][]byte) {
			p := plan(t, spec.Pseudonymise, s, k)
			b := batchOf(values)
			b.Doc = p.NewDocument()
			p.Transform(b)
			for i := range values {
				if b.bad(i) == 0 {
					out = append(out, bytes.Clone(b.result(i)))
				}
			}
			return out
		}
		old, now := plan(t, spec.Pseudonymise, s, after), plan(t, spec.Pseudonymise, s, gone)
		says := s.Method == spec.Reversible && !s.Form.Preserving() || s.Form == spec.Pair62
		want := Finding{WellFormed: true, Form: s.Form, Generation: -1, Tag: TagNone}
		if says {
			want.Generation, want.State = 0, GenDeactivated
		}
		if s.Tag > 0 {
			want.Tag = TagRight
		}
		older := made(before)
		for i, f := range findings(t, old, older...) {
			if f != want {
				t.Fatalf("%v, value %d: %+v, want %+v", s, i, f, want)
			}
		}
		// With their generation destroyed.
		want.State = GenUnknown
		if says {
			want.Generation = -1
			if s.Form == spec.Pair62 {
				want.Generation, want.State = 0, GenDestroyed
			}
		}
		if s.Tag > 0 {
			want.Tag = TagUnknown
		}
		for i, f := range findings(t, now, older...) {
			if f != want {
				t.Fatalf("%v, destroyed, value %d: %+v, want %+v", s, i, f, want)
			}
		}
		// Pseudonyms of the active generation, inspected also by a plan of another operation.
		newer := made(after)
		if says {
			want = Finding{WellFormed: true, Form: s.Form, Generation: 1, State: GenActive, Tag: TagNone}
		}
		if s.Tag > 0 {
			want.Tag = TagRight
		}
		plans := []*Plan{old}
		if s.Method == spec.Reversible {
			plans = append(plans, plan(t, spec.Reverse, s, after))
		}
		for _, p := range plans {
			for i, f := range findings(t, p, newer...) {
				if f != want {
					t.Fatalf("%v, active, value %d: %+v, want %+v", s, i, f, want)
				}
			}
		}
		// With one character changed: a tag proves that, and without one the padding does.
		if s.Method != spec.Reversible || s.Form.Preserving() {
			continue
		}
		for i, x := range older {
			last := len(x) - 1
			if s.Form == spec.B64u || s.Form == spec.B32 {
				last-- // the last one has spare bits
			}
			x = slices.Clone(x)
			if x[last]++; x[last] == 'a'+26 || x[last] == '9'+1 || x[last] == 'f'+1 || x[last] == 'Z'+1 {
				x[last] -= 2
			}
			f := findings(t, old, x)[0]
			if f.Tag == TagRight || s.Tag == 0 && f.WellFormed || s.Tag > 0 && f.WellFormed && f.Tag != TagWrong {
				t.Fatalf("%v, value %d changed: %+v", s, i, f)
			}
		}
	}
	p := plan(t, spec.Pseudonymise, Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62, Gen: -1}, after)
	for _, x := range []string{"x", "1234567890", string(bytes.Repeat([]byte("z"), 32)), string(bytes.Repeat([]byte("9"), 4096)), "\xff\xfe"} {
		if f := findings(t, p, []byte(x))[0]; f.WellFormed || f.Generation != -1 {
			t.Errorf("%d bytes: %+v", len(x), f)
		}
	}
}
