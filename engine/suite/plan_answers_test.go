package suite

import (
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/spec"
)

// TestPlanProperties checks what a plan reports about itself: whether it keeps and knows
// lengths, is deterministic, and its alphabet.
func TestPlanProperties(t *testing.T) {
	k := testKeys(t)
	for _, s := range allSpecs() {
		p := plan(t, spec.Pseudonymise, s, k)
		keeps, known := true, true
		for n := 20; n < 60; n++ {
			keeps = keeps && p.OutLen(n) == n
			known = known && p.OutLen(n) >= 0
		}
		if p.KeepsLength() != keeps || p.KnowsLength() != known {
			t.Errorf("%s: keeps length: %v, want %v; knows it: %v, want %v", s.name(), p.KeepsLength(), keeps, p.KnowsLength(), known)
		}
		if got, want := p.Deterministic(), s.Policy != spec.Different; got != want {
			t.Errorf("%s: deterministic: %v", s.name(), got)
		}
		if got := p.Alphabet(); (got != "") != s.Form.Preserving() {
			t.Errorf("%s: alphabet %q", s.name(), got)
		}
		if s.Method == spec.Reversible {
			q := plan(t, spec.Reverse, s, k)
			if q.KeepsLength() || q.KnowsLength() || !q.Deterministic() || q.Alphabet() != "" {
				t.Errorf("%s, reverse: wrong answers", s.name())
			}
		}
	}
}

// TestMaxOut compares MaxOut with the results of short and long values, and of values that
// grow when they are normalised.
func TestMaxOut(t *testing.T) {
	k := testKeys(t)
	values := []string{"1", "7", "0123456789", strings.Repeat("5", 15), strings.Repeat("6", 16), strings.Repeat("8", 200),
		strings.Repeat("\u0958", 80), strings.Repeat("\u1fb3", 80), strings.Repeat("\u0250", 80)} // twice, and half as long again
	norms := []Norm{nil, {NFC}, {Upper}, {NFC, Upper}, {Trim, Lower}}
	reached := 0
	check := func(p *Plan, name string, in []string) (out []string) {
		for _, v := range in {
			b := Batch{Src: []byte(v), Spans: []uint32{0, uint32(len(v))}, Doc: p.NewDocument()}
			p.Transform(&b)
			if len(b.Dst) > p.MaxOut(1, len(v)) {
				t.Errorf("%s: %d bytes become %d, MaxOut promised at most %d", name, len(v), len(b.Dst), p.MaxOut(1, len(v)))
			}
			if len(b.Dst) > 0 {
				reached++
				out = append(out, string(b.Dst))
			}
		}
		return out
	}
	for _, s := range allSpecs() {
		for _, s.Norm = range norms {
			made := check(plan(t, spec.Pseudonymise, s, k), s.name(), values)
			if s.Method != spec.Reversible {
				continue
			}
			check(plan(t, spec.Reverse, s, k), s.name()+", reverse", made)
			second, err := NewSecondary(s, k, Spec{Method: spec.Reversible, Policy: spec.Different, Form: spec.Hex, Tag: 128, Gen: -1}, k)
			if err != nil {
				t.Fatal(err)
			}
			check(second, s.name()+", secondary", made)
			second.Close()
		}
	}
	if reached < 1000 {
		t.Errorf("only %d results", reached)
	}
}
