//go:build !race

package secmem

import "testing"

// TestRandomAllocatesNothing does not run with the race detector, which empties pools at random.
func TestRandomAllocatesNothing(t *testing.T) {
	b := make([]byte, 16384)
	if n := testing.AllocsPerRun(100, func() { Random(b); Random(b[:16]) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
