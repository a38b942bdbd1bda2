package bench

import (
	"context"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd"
)

// TestEngine runs a quick benchmark, which checks every contender's result, and expects
// every row of the table.
func TestEngine(t *testing.T) {
	s, err := Engine(context.Background(), Options{Rounds: 1, Quick: true})
	if err != nil {
		t.Fatal(err)
	}
	if simd.Kernel() != simd.Kernels()[0] {
		t.Errorf("Engine left kernel %q forced, want %q", simd.Kernel(), simd.Kernels()[0])
	}
	want := []string{"forward, one block, generic", "HMAC-SHA-256, generic", "allocations", "batch of 1 M values, two workers"}
	if best := simd.Kernels()[0]; best != "generic" {
		want = append(want, "raw AES-256 blocks, "+best, "forward, one block, "+best, "reverse, one block", "secondary, one block",
			"forward, 2 blocks", "forward, 4 blocks", "forward, mixed 16 to 200 bytes", "HMAC-SHA-256, "+best, "FF1, radix 10, 16 characters, "+best)
	}
	for _, name := range want {
		found := false
		for _, r := range s.Rows {
			if r.Name == name {
				found = true
				if r.Median <= 0 && name != "allocations" {
					t.Errorf("%s: rate %v, want a positive one", name, r.Median)
				}
			}
		}
		if !found {
			t.Errorf("no row %q", name)
		}
	}
	var b strings.Builder
	if err := s.Markdown(&b); err != nil || !strings.Contains(b.String(), "FF1") {
		t.Errorf("table: %v\n%s", err, b.String())
	}
}
