package bench

import "testing"

// TestRun runs the whole benchmark quickly. The benchmark checks every output.
func TestRun(t *testing.T) {
	s, err := Run(t.Context(), Options{Quick: true, Rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Rows {
		if !(r.Median > 0) || r.Against != "" && !(r.Ratio > 0) {
			t.Errorf("%s: %+v, want a positive median and ratio", r.Name, r)
		}
	}
}
