package suite

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestTrimmedPseudonyms checks that a plan with norm step trim reads pseudonyms with white
// space at their ends like those without: reversed and translated, in every form, in one
// goroutine and several, valid ones and others. The batch keeps its spans.
func TestTrimmedPseudonyms(t *testing.T) {
	simdtest.Alone(t)
	k := testKeys(t)
	to, err := NewKeys("other", "", []Secret{{Gen: 0, Active: true, S: [32]byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(to.Release)
	ends := []string{"", " ", "    ", "\t", "\u00a0", "\u2003 ", "\r\n"}
	eachKernel(t, func(t *testing.T) {
		for _, s := range allSpecs() {
			if s.Method != spec.Reversible || s.Norm != nil {
				continue
			}
			p := plan(t, spec.Pseudonymise, s, k)
			var values [][]byte
			n := 300
			if s.Policy == spec.Same && s.Tag == 0 {
				n = minPiece + 400
			}
			for i := range n {
				values = append(values, fmt.Appendf(nil, "%09d", i))
			}
			a := batchOf(values)
			a.Doc = p.NewDocument()
			p.Transform(a)
			var bare, padded [][]byte
			for i := range values {
				x := bytes.Clone(a.result(i))
				if i%97 == 5 {
					x = []byte("no pseudonym")
				}
				if i%101 == 7 {
					x = nil
				}
				bare = append(bare, x)
				padded = append(padded, slices.Concat([]byte(ends[(i*5+3)%7]), x, []byte(ends[i%7])))
			}
			s.Norm = Norm{Trim, Upper}
			dst := Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62, Norm: s.Norm, Gen: -1}
			second, err := NewSecondary(Spec{Method: s.Method, Policy: s.Policy, Form: s.Form, Tag: s.Tag, Gen: -1}, k, dst, to)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(second.Close)
			for _, q := range []*Plan{plan(t, spec.Reverse, s, k), second} {
				want, got, three := batchOf(bare), batchOf(padded), batchOf(padded)
				spans := slices.Clone(got.Spans)
				q.Transform(want)
				q.Transform(got)
				q.TransformParallel(three, 3)
				for i, b := range []*Batch{got, three} {
					if !bytes.Equal(b.Dst, want.Dst) || !slices.Equal(b.Bad, want.Bad) || !slices.Equal(b.Out, want.Out) {
						t.Fatalf("%s %s, %s: padded pseudonyms give other results than bare ones", q.op, s.name(), [2]string{"serial", "parallel"}[i])
					}
					if !slices.Equal(b.Spans, spans) {
						t.Fatalf("%s %s, %s: the batch's spans changed", q.op, s.name(), [2]string{"serial", "parallel"}[i])
					}
				}
				if len(want.Bad) < n/100 {
					t.Fatalf("%s %s: %d bad values, want at least %d", q.op, s.name(), len(want.Bad), n/100)
				}
				blank := 0
				for i := range bare {
					if len(bare[i]) == 0 && len(padded[i]) > 0 {
						blank++
					}
				}
				if n := q.Blank(got.Src, got.Spans); n != blank || n == 0 {
					t.Fatalf("%s %s: %d blank, want %d", q.op, s.name(), n, blank)
				}
			}
		}
	})
}

// TestCause checks the cause of each kind of failure, and that it holds no byte of the value.
func TestCause(t *testing.T) {
	k := testKeys(t) // 3, 7, 9
	other, err := NewKeys("register", "clinic", []Secret{{Gen: 1, Active: true, S: [32]byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Release)
	s := Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62, Gen: -1}
	made := batchOf([][]byte{[]byte("SECRET12")})
	plan(t, spec.Pseudonymise, s, other).Transform(made)
	x := string(made.result(0))
	nine, err := NewKeys("register", "elsewhere", []Secret{{Gen: 9, Active: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nine.Release)
	mine := batchOf([][]byte{[]byte("SECRET12")}) // of a living generation number, of another domain
	plan(t, spec.Pseudonymise, s, nine).Transform(mine)
	h := s
	h.Form = spec.Hex
	back, backHex, forward := plan(t, spec.Reverse, s, k), plan(t, spec.Reverse, h, k), plan(t, spec.Pseudonymise, s, k)
	for _, c := range []struct {
		p        *Plan
		value    string
		code     Code
		want, no string // "": no cause
	}{
		{back, x, NotAPseudonym, "generation 1 ", ""},
		{back, x + "  ", NotAPseudonym, "norm step trim", "generation"},
		{nil, x + "  ", NotAPseudonym, "norm step trim", ""},
		{nil, x, NotAPseudonym, "", ""},
		{back, string(mine.result(0)), NotAPseudonym, "", ""},
		{back, "f" + x[1:31] + "-", NotAPseudonym, "", ""},
		{back, strings.Repeat("z", 32), NotAPseudonym, "", ""},
		{back, "", NotAPseudonym, "", ""},
		{back, "   ", NotAPseudonym, "", ""},
		{backHex, strings.Repeat("a", 32), NotAPseudonym, "", ""},
		{forward, "1\u0663", ValueNotInAlphabet, "another script", ""},
		{forward, "1x", ValueNotInAlphabet, "", ""},
		{forward, "\xff ", ValueNotText, "", ""},
	} {
		got := c.p.Cause([]byte(c.value), c.code)
		if !strings.Contains(got, c.want) || c.want == "" && got != "" || c.no != "" && strings.Contains(got, c.no) {
			t.Errorf("%q, %s: %q, want %q", c.value, c.code, got, c.want)
		}
		if v := strings.TrimSpace(c.value); v != "" && strings.Contains(got, v) {
			t.Errorf("the cause holds the value: %q", got)
		}
	}
}
