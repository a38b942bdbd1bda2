package csvfast

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/campaign"
	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestOpenRow: a row that a window boundary cuts, at any of its bytes, between rows
// of another length or kind keeps its fields, and where every row must have as many
// as the first it is refused at its line.
func TestOpenRow(t *testing.T) {
	lines := []string{"abcdefghijklm\n", "\"a\"\n", "x\n\n", "a,b\r\n", "ab,cd,ef\n", "a,,\"c\",,,,\n"}
	odds := []string{"x\r\n", "a,second\n", "a,\n", "\"q\"\r\n", "a,\"b\"\"c\",d\n", "a,b,c,d\n", "a,b,\"\"\"\",,e\r\n", "a,second,,\"th,ird\",,\"fo\"\"ur\",\r\n", "\r\n"}
	defer simd.Force(simd.Kernel())
	var paths selectorPaths
	for _, line := range lines {
		for _, odd := range odds {
			for into := range len(odd) + 2 { // bytes of the row before the boundary
				in := stretch(nil, window-into, line)
				in = append(append(in, odd...), strings.Repeat(line, (window+200)/len(line))...)
				v := judge(t, append(in, "end"...))
				for k, c := range selections[:4] {
					simd.Force(simd.Kernels()[(into+k)%len(simd.Kernels())])
					s, err := NewSelector(Dialect{}, c.columns, c.fields)
					if err != nil {
						t.Fatal(err)
					}
					v.checkWhole(t, s, c.columns, c.fields)
					paths.add(&s.paths)
				}
			}
		}
	}
	campaign.AtLeast(t, 50, map[string]int{"plain": paths.plain, "singles": paths.singles, "columns": paths.columns, "all": paths.all, "evenOpen": paths.evenOpen, "openSingle": paths.openSingle, "part": paths.part})
}

// TestOpenRowExample: the second field of the row that crosses the first window
// is no value of the first column.
func TestOpenRowExample(t *testing.T) {
	in := []byte(strings.Repeat("abcdefghijklm\n", 585) + "a,secondfield\n" + strings.Repeat("z\n", 5))
	simdtest.EachKernel(t, func(t *testing.T) {
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
