package suite

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/engine/spec"
)

// TestPoliciesDiffer makes pseudonyms of one value under every policy and tag, and in every
// form that does not name a generation. No two may be equal, and policy different may not
// repeat one.
func TestPoliciesDiffer(t *testing.T) {
	k := testKeys(t)
	seen := map[string]string{}
	for _, s := range allSpecs() {
		if s.Norm != nil || s.Form != spec.Hex {
			continue
		}
		p, err := NewPlan(spec.Pseudonymise, s, k)
		if err != nil {
			t.Fatal(err)
		}
		b := batchOf([][]byte{[]byte("1234567890123"), []byte("1234567890123")})
		b.Doc = p.NewDocument()
		p.Transform(b)
		for i := range 2 {
			x := string(b.result(i))
			if s.Policy == spec.Same && i == 1 {
				if x != string(b.result(0)) {
					t.Errorf("%s: two different pseudonyms of one value", s.name())
				}
				continue
			}
			if other, ok := seen[x]; ok {
				t.Errorf("%s gives the same pseudonym as %s", s.name(), other)
			}
			seen[x] = s.name()
		}
		p.Close()
	}
	if len(seen) < 12 {
		t.Fatalf("only %d pseudonyms were compared", len(seen))
	}
}

// TestTagRefusesEveryFlip changes each bit of a pseudonym's ciphertext. With tag 128 all
// changes are refused; with tag 0 none gives the value.
func TestTagRefusesEveryFlip(t *testing.T) {
	k := testKeys(t)
	for _, tag := range []int{128, 64, 0} {
		for _, policy := range []spec.Policy{spec.Same, spec.Different, spec.PerDocument} {
			s := Spec{Method: spec.Reversible, Policy: policy, Form: spec.Hex, Tag: tag, Gen: -1}
			p, q := plan(t, spec.Pseudonymise, s, k), plan(t, spec.Reverse, s, k)
			a := batchOf([][]byte{[]byte("Zoë Ångström, 12")})
			a.Doc = p.NewDocument()
			p.Transform(a)
			c := make([]byte, len(a.result(0))/2)
			if _, ok := textform.Hex.Decode(c, a.result(0)); !ok {
				t.Fatal("not hex")
			}
			var flipped [][]byte
			for bit := range 8 * len(c) {
				c[bit/8] ^= 1 << (bit % 8)
				x := make([]byte, 2*len(c))
				textform.Hex.Encode(x, c, 0)
				flipped = append(flipped, x)
				c[bit/8] ^= 1 << (bit % 8)
			}
			b := batchOf(flipped)
			q.Transform(b)
			if len(b.Bad) != len(flipped) {
				t.Errorf("tag %d, policy %s: %d of %d changed bits refused", tag, policy, len(b.Bad), len(flipped))
			}
		}
	}
}

// TestOlderGenerationsReverse checks which forms and tags let a plan reverse pseudonyms of
// older generations, and that only the active generation makes new ones.
func TestOlderGenerationsReverse(t *testing.T) {
	secret := func(g int, active bool) Secret {
		s := Secret{Gen: g, Active: active}
		s.S[0] = byte(g)
		return s
	}
	keys := func(s ...Secret) *Keys {
		k, err := NewKeys("p", "", s)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(k.Release)
		return k
	}
	before := keys(secret(0, true))
	after := keys(secret(0, false), secret(1, false), secret(2, true))
	gone := keys(secret(1, false), secret(2, true))
	value := []byte("1234567890123")
	for _, c := range []struct {
		spec        Spec
		gen         int // asked for on reverse
		after, gone bool
	}{
		{Spec{Form: spec.Pair62}, -1, true, false},
		{Spec{Form: spec.Pair62}, 2, true, false}, // the pseudonym names its generation, whatever the token says
		{Spec{Form: spec.Hex}, -1, false, false},
		{Spec{Form: spec.Hex}, 0, true, false},
		{Spec{Form: spec.Hex, Tag: 128}, -1, true, false},
		{Spec{Form: spec.B32, Tag: 64}, -1, true, false},
	} {
		s := c.spec
		s.Method, s.Policy, s.Gen = spec.Reversible, spec.Same, -1
		p := plan(t, spec.Pseudonymise, s, before)
		a := batchOf(slices.Repeat([][]byte{value}, 20))
		p.Transform(a)
		s.Gen = c.gen
		for i, k := range []*Keys{after, gone} {
			want := []bool{c.after, c.gone}[i]
			q, err := NewPlan(spec.Reverse, s, k)
			if err != nil {
				if want {
					t.Errorf("%s gen %d: %v", s.name(), c.gen, err)
				}
				continue
			}
			b := batchOf(slices.Repeat([][]byte{a.result(0)}, 20))
			q.Transform(b)
			for j := range 20 {
				if got := bytes.Equal(b.result(j), value); got != want || (b.bad(j) == NotAPseudonym) == want {
					t.Errorf("%s gen %d: reads an older generation: %v, want %v", s.name(), c.gen, got, want)
					break
				}
			}
			q.Close()
		}
	}
	s := Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62, Gen: 0}
	if _, err := NewPlan(spec.Pseudonymise, s, after); err == nil {
		t.Error("a deactivated generation makes pseudonyms")
	}
	s.Gen = -1
	if _, err := NewPlan(spec.Pseudonymise, s, keys(secret(1, false))); err == nil {
		t.Error("a domain without an active generation makes pseudonyms")
	}
}

// TestSecondaryMatchesTwoSteps translates from one domain to another and compares with
// reversing and pseudonymising.
func TestSecondaryMatchesTwoSteps(t *testing.T) {
	from := testKeys(t)
	to, err := NewKeys("other", "", []Secret{{Gen: 0, Active: true, S: [32]byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	defer to.Release()
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 9))
		specs := allSpecs()
		for range 400 {
			src, dst := specs[r.IntN(len(specs))], specs[r.IntN(len(specs))]
			if src.Method != spec.Reversible {
				if _, err := NewSecondary(src, from, dst, to); err == nil {
					t.Fatal("NewSecondary accepts an irreversible source")
				}
				continue
			}
			src.Norm = nil
			p, err := NewSecondary(src, from, dst, to)
			if err != nil {
				t.Fatal(err)
			}
			first, second := plan(t, spec.Pseudonymise, src, from), plan(t, spec.Pseudonymise, dst, to)
			p.random = second.random
			n := r.IntN(120)
			values := make([][]byte, n)
			for i := range values {
				values[i] = value(r)
			}
			a := batchOf(values)
			a.Doc = first.NewDocument()
			first.Transform(a)
			x := make([][]byte, n)
			kept := make([][]byte, n)
			for i := range x {
				x[i], kept[i] = a.result(i), values[i]
				if a.bad(i) != 0 || len(x[i]) == 0 {
					x[i], kept[i] = nil, nil
				}
				if n > 3 && i == n/2 {
					x[i], kept[i] = []byte("no pseudonym"), nil
				}
			}
			b, want := batchOf(x), batchOf(kept)
			b.Pre, b.Post, want.Pre, want.Post = "[", "]", "[", "]"
			b.Doc, want.Doc = p.NewDocument(), second.NewDocument()
			p.Transform(b)
			second.Transform(want)
			if !bytes.Equal(b.Dst, want.Dst) {
				t.Fatalf("%s to %s: differs from reversing and pseudonymising", src.name(), dst.name())
			}
			for i := range x {
				code := want.bad(i)
				if n > 3 && i == n/2 {
					code = NotAPseudonym
				}
				if b.bad(i) != code {
					t.Fatalf("%s to %s: value %d: %s, want %s", src.name(), dst.name(), i, b.bad(i), code)
				}
				if l := p.OutLen(len(x[i])); l >= 0 && b.bad(i) == 0 && int(b.Out[2*i+1]) != l {
					t.Fatalf("%s to %s: OutLen %d, result of %d", src.name(), dst.name(), l, b.Out[2*i+1])
				}
			}
			p.Close()
		}
	})
}
