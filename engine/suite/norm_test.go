package suite

import (
	"testing"

	"github.com/velonym/velonym/engine/spec"
)

// TestNormSteps checks the result of each step for values that it changes, empties or refuses.
func TestNormSteps(t *testing.T) {
	k := testKeys(t)
	for _, c := range []struct {
		steps    []string
		in, want string
		code     Code
	}{
		{[]string{"digits"}, "77.0", "770", 0},
		{[]string{"digits"}, "-5", "5", 0},
		{[]string{"digits"}, "AB-CD", "", ValueEmpty},
		{[]string{"digits"}, "\xff", "", ValueEmpty},
		{[]string{"digits"}, "\xff1", "1", 0},
		{[]string{"digits"}, "", "", 0},
		{[]string{"digits"}, " \t\u2003\u00a0", "", 0},
		{[]string{"digits"}, "\u200b", "", ValueEmpty}, // zero width, and no White_Space
		{[]string{"digits"}, "\u0663", "", ValueNotInAlphabet},
		{[]string{"digits"}, "12\uff13", "", ValueNotInAlphabet},
		{[]string{"digits"}, "1\U0001d7ce", "", ValueNotInAlphabet}, // mathematical bold zero
		{[]string{"digits"}, "12\u00b2\u2166", "12", 0},             // No and Nl, not Nd
		{[]string{"trim", "digits"}, " \u0967 ", "", ValueNotInAlphabet},
		{[]string{"trim"}, " \u3000", "", 0},
		{[]string{"trim"}, "\u2003a b ", "a b", 0},
		{[]string{"trim"}, " \xff", "", ValueNotText},
		{[]string{"nfc", "upper"}, "e\u0301", "\u00c9", 0},
		{[]string{"nfc", "lower"}, " ", " ", 0}, // nothing empties it
	} {
		n, err := ParseNorm(c.steps)
		if err != nil {
			t.Fatal(err)
		}
		s := Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Hex, Norm: n, Gen: -1}
		p, q := plan(t, spec.Pseudonymise, s, k), plan(t, spec.Reverse, s, k)
		irr := s
		irr.Method = spec.Irreversible // takes any bytes: what a step refuses shows
		b := batchOf([][]byte{[]byte(c.in)})
		plan(t, spec.Pseudonymise, irr, k).Transform(b)
		if got := b.bad(0); got != c.code {
			t.Errorf("%v of %q, irreversible: %v, want %v", c.steps, c.in, got, c.code)
		}
		b = batchOf([][]byte{[]byte("7"), []byte(c.in), []byte("8")})
		p.Transform(b)
		if got := b.bad(1); got != c.code || len(b.Bad) > 1 {
			t.Errorf("%v of %q: %v, want %v", c.steps, c.in, got, c.code)
			continue
		}
		back := batchOf([][]byte{b.result(0), b.result(1), b.result(2)})
		q.Transform(back)
		if got := string(back.result(1)); got != c.want || len(back.Bad) > 0 {
			t.Errorf("%v of %q is %q, want %q", c.steps, c.in, got, c.want)
		}
		blank := 0
		if c.in != "" && c.code == 0 && c.want == "" {
			blank = 1
		}
		if got := p.Blank(b.Src, b.Spans); got != blank {
			t.Errorf("%v of %q: %d blank values, want %d", c.steps, c.in, got, blank)
		}
	}
}
