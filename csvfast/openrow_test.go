package csvfast

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestOpenRow: a row of several fields that a window boundary cuts, between rows
// of a single field, keeps its fields, and where every row must have a single
// field it is refused at its line.
func TestOpenRow(t *testing.T) {
	odd := "a,second,,\"th,ird\",,\"fo\"\"ur\",\r\n"
	eachKernel(t, func(t *testing.T) {
		for _, line := range []string{"abcdefghijklm\n", "abcde\r\n", "\"a\"\n", "x\n\n"} {
			for into := -2; into <= len(odd)+2; into++ { // bytes of the row before the boundary
				pad := window - into
				before := strings.Repeat(line, (pad-1)/len(line)-1)
				before += strings.Repeat("p", pad-1-len(before)) + "\n"
				in := []byte(before + odd + strings.Repeat(line, 700) + "end")
				for _, columns := range [][]int{nil, {0}} {
					same(t, Dialect{}, columns, -1, in)
					same(t, Dialect{}, columns, 1, in)
					same(t, Dialect{}, columns, 0, in)
				}
				s, err := NewSelector(Dialect{}, []int{0}, -1)
				if err != nil {
					t.Fatal(err)
				}
				n, err := s.ScanPart(in)
				if err != nil {
					t.Fatal(err)
				}
				values := selected(t, s, in)
				if want := refer(t, Dialect{}, in[:n], -1); len(want.rows) != len(values) {
					t.Fatalf("%q, %d bytes before the boundary: %d values of %d rows", line, into, len(values), len(want.rows))
				}
			}
		}
	})
}

// TestOpenRowExample: the second field of the row that crosses the first window
// is no value of the first column.
func TestOpenRowExample(t *testing.T) {
	in := []byte(strings.Repeat("abcdefghijklm\n", 585) + "a,secondfield\n" + strings.Repeat("z\n", 5))
	eachKernel(t, func(t *testing.T) {
		s, err := NewSelector(Dialect{}, []int{0}, -1)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Scan(in); err != nil {
			t.Fatal(err)
		}
		if got := selected(t, s, in); len(got) != 591 || slices.Contains(got, "secondfield") || got[585] != "a" {
			t.Errorf("%d values, row 586 has %q", len(got), got[585])
		}
		one, err := NewSelector(Dialect{}, []int{0}, 1)
		if err != nil {
			t.Fatal(err)
		}
		var pe *ParseError
		if err := one.Scan(in); !errors.As(err, &pe) || pe.Line != 586 || !errors.Is(err, ErrFieldCount) {
			t.Errorf("one field a row: %v, want the number of fields of line 586", err)
		}
		all, err := NewSelector(Dialect{}, nil, -1)
		if err != nil {
			t.Fatal(err)
		}
		if err := all.Scan(in); err != nil || len(all.Spans)/2 != 592 || len(all.RowEnds) != bytes.Count(in, lf) {
			t.Errorf("every field: %d values in %d rows, %v; want 592 in 591", len(all.Spans)/2, len(all.RowEnds), err)
		}
	})
}
