package secmem

import (
	"bytes"
	"testing"
)

// TestRandom looks for faults of a generator: bytes that are not written, blocks that repeat within
// and across calls, and biased bits.
func TestRandom(t *testing.T) {
	seen := map[[16]byte]bool{}
	for _, n := range []int{0, 1, 15, 16, 255, 256, 257, 1000, 16384, 65536, 65537, 200000} {
		for round := range 3 {
			b := bytes.Repeat([]byte{0xEE}, n+16)
			Random(b[8 : 8+n])
			if !bytes.Equal(b[:8], bytes.Repeat([]byte{0xEE}, 8)) || !bytes.Equal(b[8+n:], bytes.Repeat([]byte{0xEE}, 8)) {
				t.Fatalf("%d bytes: wrote outside", n)
			}
			b = b[8 : 8+n]
			var ones [8]int
			for i := 0; i+16 <= n; i += 16 {
				k := [16]byte(b[i:])
				if seen[k] {
					t.Fatalf("%d bytes, round %d: block at %d came before", n, round, i)
				}
				seen[k] = true
			}
			for _, x := range b {
				for bit := range ones {
					ones[bit] += int(x >> bit & 1)
				}
			}
			for bit, c := range ones {
				// 8 standard deviations: once in 10^15 runs.
				if d := 2*c - n; n > 1000 && d*d > 64*n {
					t.Fatalf("%d bytes: bit %d is set %d times", n, bit, c)
				}
			}
		}
	}
}
