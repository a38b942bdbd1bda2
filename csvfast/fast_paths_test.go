package csvfast

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/campaign"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// The functions tested here have no counters, because they are called for every value. Their
// tests make inputs that must take the fast paths, count those inputs, and compare the results
// with simple loops and the standard library.

// TestFastPathsOfWriting checks that a byte that must be quoted is found after any number of
// plain bytes, by the kernels, which are called from shortValue bytes on, and by the portable
// code.
func TestFastPathsOfWriting(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		long, beyond := 0, 0
		for n := range 200 {
			for at := 0; at <= n; at++ {
				for _, c := range []byte("\"\\,\n\r\x00\x1f\t;") {
					v := bytes.Repeat([]byte{'x'}, n)
					if at < n {
						v[at] = c
					}
					want := string(v)
					if at < n && strings.IndexByte(",\"\r\n", c) >= 0 {
						want = `"` + strings.ReplaceAll(string(v), `"`, `""`) + `"`
					}
					if got := (Dialect{}).AppendField(nil, v, false); string(got) != want {
						t.Fatalf("%d bytes, %q at %d: %q, want %q", n, c, at, got, want)
					}
					if n >= shortValue {
						long++
						if at >= shortValue && at < n {
							beyond++
						}
					}
				}
			}
		}
		campaign.AtLeast(t, 50_000, map[string]int{"kernel": long, "kernel beyond its first bytes": beyond})
	})
}

// TestFastPathsOfParity checks the parity of pieces of 256 bytes and of the rest after them.
func TestFastPathsOfParity(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(16, 1))
		pieces, tails, odd := 0, 0, 0
		for n := range 2000 {
			buf := bytes.Repeat([]byte{'x', '!', '#', 0xa2}, n/4+1)[:n] // bytes that differ from the quote in one bit
			for range r.IntN(6) {
				if n > 0 {
					buf[r.IntN(n)] = '"'
				}
			}
			want := bytes.Count(buf, []byte{'"'})&1 == 1
			if parity(buf, '"') != want {
				t.Fatalf("%d bytes: parity %v, want %v", n, !want, want)
			}
			if n >= 256 {
				pieces++
				if n%256 > 0 {
					tails++
				}
			}
			if want {
				odd++
			}
		}
		campaign.AtLeast(t, 500, map[string]int{"pieces": pieces, "pieces and a tail": tails, "odd": odd})
	})
}
