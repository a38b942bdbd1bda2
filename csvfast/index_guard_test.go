//go:build linux || darwin

package csvfast

import (
	"math/rand/v2"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestScanPageEnds scans buffers at the end and at the start of mapped memory, so that a kernel
// that reads outside faults.
func TestScanPageEnds(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		page := simdtest.Pages(t, 3*window)
		r := rand.New(rand.NewPCG(23, 24))
		s, err := NewSelector(Dialect{}, nil, -1)
		if err != nil {
			t.Fatal(err)
		}
		soup(r, page, Dialect{}.normal(), 20, 0)
		for n := range 3 * window {
			if n > 600 && n%97 > 1 && n%64 > 1 {
				continue
			}
			for _, p := range [][]byte{page[:n], page[len(page)-n:]} {
				quotes := r.IntN(2) * 30
				soup(r, p[:min(n, 200)], Dialect{}.normal(), 20, quotes)
				soup(r, p[max(0, n-200):], Dialect{}.normal(), 20, quotes)
				_ = s.Scan(p) // whatever it returns, it must not fault
				if _, err := s.ScanPart(p); err == nil {
					var d Dialect
					in := d.Parity(p)
					if d.LastRowEnd(p, false) > n || d.FirstRowEnd(p, in) > n {
						t.Fatalf("%d bytes: the row end lies outside of the buffer", n)
					}
				}
			}
		}
	})
}
