package bench

import (
	"strings"
	"testing"
)

// TestStart builds the empty program and compares it with itself. The error about a
// program that fails must contain its name and its output.
func TestStart(t *testing.T) {
	b := &startBench{ctx: t.Context(), dir: t.TempDir()}
	empty, err := b.buildEmpty()
	if err != nil {
		t.Fatal(err)
	}
	stats, err := b.interleave(3, []startCase{{"first", []string{empty}}, {"second", []string{empty, "argument"}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"first", "second"} {
		s := stats[i]
		if s.Name != name || len(s.Rates) != 3 || !(0 < s.Min && s.Min <= s.Median && s.Median <= s.Max) {
			t.Errorf("case %s: %+v, want 3 rates and 0 < min ≤ median ≤ max", name, s)
		}
	}
	_, err = b.interleave(1, []startCase{{"fails", []string{"go", "no-such-verb"}}})
	if err == nil || !strings.Contains(err.Error(), "bench start: no-such-verb: exit status 2: go no-such-verb: unknown command") {
		t.Errorf("got %v", err)
	}
}
