package csvfast

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// rowEnds is the simplest form of split.go: the offsets after every LF outside quotes, and
// whether buf ends inside quotes.
func rowEnds(d Dialect, buf []byte, in bool) (ends []int, inside bool) {
	for i, c := range buf {
		switch {
		case c == d.normal().Quote:
			in = !in
		case c == '\n' && !in:
			ends = append(ends, i+1)
		}
	}
	return ends, in
}

// TestSplit compares parities and row ends of every kernel with rowEnds.
func TestSplit(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for _, d := range []Dialect{{}, {Comma: ';', Quote: '\''}, {Comma: '\t', Quote: 0xff}} {
			for round := range rounds() / 100 {
				n := r.IntN(600)
				if round%50 == 0 {
					n = r.IntN(70000)
				}
				back := make([]byte, n+64)
				buf := back[round%64:][:n]
				sparse := r.IntN(4) == 0
				for i := range buf {
					switch k := r.IntN(8); {
					case sparse && r.IntN(200) > 0:
						buf[i] = 'x'
					case k < 2:
						buf[i] = d.normal().Quote
					case k == 2:
						buf[i] = '\n'
					default:
						buf[i] = byte(r.IntN(256))
					}
				}
				for _, in := range []bool{false, true} {
					ends, inside := rowEnds(d, buf, in)
					first, last := -1, -1
					if len(ends) > 0 {
						first, last = ends[0], ends[len(ends)-1]
					}
					if got := d.Parity(buf); got != (inside != in) {
						t.Fatalf("%d bytes: parity %v, want %v: %q", n, got, inside != in, buf)
					}
					if got := d.FirstRowEnd(buf, in); got != first {
						t.Fatalf("first row end %d, want %d: in quotes %v, %q", got, first, in, buf)
					}
					if got := d.LastRowEnd(buf, in); got != last {
						t.Fatalf("last row end %d, want %d: in quotes %v, %q", got, last, in, buf)
					}
				}
			}
		}
	})
}

// TestSplitShares cuts files into shares by the parities of their pieces, and compares their rows
// with those of the whole.
func TestSplitShares(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 10))
		var d Dialect
		for range rounds() / 500 {
			in := evenCSV(r, 1+r.IntN(3000))
			whole, _ := NewSelector(d, nil, -1)
			if whole.Scan(in) != nil {
				continue
			}
			shares := 1 + r.IntN(7)
			cuts := []int{0}
			odd := false
			for i := 1; i < shares; i++ {
				from, to := (i-1)*len(in)/shares, i*len(in)/shares
				odd = odd != d.Parity(in[from:to])
				at := d.FirstRowEnd(in[to:], odd)
				if at < 0 {
					at = len(in) - to
				}
				cuts = append(cuts, to+at)
			}
			cuts = append(cuts, len(in))
			values := selected(t, whole, in)
			for i := 1; i < len(cuts); i++ {
				if cuts[i] <= cuts[i-1] {
					cuts[i] = cuts[i-1]
					continue
				}
				part, _ := NewSelector(d, nil, -1)
				share := in[cuts[i-1]:cuts[i]]
				if err := part.Scan(share); err != nil {
					t.Fatalf("share %d of %q: %v", i, in, err)
				}
				for _, v := range selected(t, part, share) {
					if len(values) == 0 || values[0] != v {
						t.Fatalf("share %d of %q: value %q is not the next one of the whole", i, in, v)
					}
					values = values[1:]
				}
			}
			if len(values) > 0 {
				t.Fatalf("%q: the shares lack the values %q", in, values)
			}
		}
	})
}

// TestScanPart compares scans of parts with a scan of the whole.
func TestScanPart(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 12))
		for range rounds() / 500 {
			in := evenCSV(r, 1+r.IntN(3*window))
			whole, _ := NewSelector(Dialect{}, nil, -1)
			err := whole.Scan(in)
			want := selected(t, whole, in)
			part, _ := NewSelector(Dialect{}, nil, -1)
			rows, lines := 0, 0
			var got []string
			size := 64 + r.IntN(window)
			var partErr error
			for at := 0; at < len(in) && partErr == nil; {
				if at+size >= len(in) {
					partErr = part.Scan(in[at:])
					got = append(got, selected(t, part, in[at:])...)
					rows, lines = rows+part.Rows, lines+part.Lines
					break
				}
				var n int
				n, partErr = part.ScanPart(in[at : at+size])
				if partErr == nil && n == 0 {
					size *= 2
					continue
				}
				got = append(got, selected(t, part, in[at:at+size])...)
				rows, lines = rows+part.Rows, lines+part.Lines
				at += n
			}
			if (err == nil) != (partErr == nil) || rows != whole.Rows || err == nil && lines != bytes.Count(in, lf) {
				t.Fatalf("in parts %d rows, %d lines, %v; as a whole %d rows, %v: %q", rows, lines, partErr, whole.Rows, err, in)
			}
			for i := range want {
				if want[i] != got[i] {
					t.Fatalf("value %d is %q, want %q", i, got[i], want[i])
				}
			}
		}
	})
}
