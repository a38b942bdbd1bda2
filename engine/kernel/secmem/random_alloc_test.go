//go:build !race

package secmem

import "testing"

// The race detector makes pools forget at random, and the count with them.
func TestRandomAllocatesNothing(t *testing.T) {
	b := make([]byte, 16384)
	if n := testing.AllocsPerRun(100, func() { Random(b); Random(b[:16]) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
