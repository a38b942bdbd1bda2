package bench

import (
	"context"
	"os"
	"testing"
)

// TestMain lets the HTTP benchmark start this test program again as its servers and its
// client.
func TestMain(m *testing.M) {
	if Child() {
		return
	}
	os.Exit(m.Run())
}

// TestHTTP runs the whole benchmark quickly. The benchmark checks every answer.
func TestHTTP(t *testing.T) {
	s, err := HTTP(context.Background(), Options{Quick: true, Rounds: 1})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Rows) < 6*len(httpGoals)+11 {
		t.Errorf("%d rows, want %d or more", len(s.Rows), 6*len(httpGoals)+11)
	}
	for _, r := range s.Rows {
		if !(r.Median > 0) || r.Against != "" && !(r.Ratio > 0) {
			t.Errorf("%s: %+v, want a positive median and ratio", r.Name, r)
		}
	}
}
