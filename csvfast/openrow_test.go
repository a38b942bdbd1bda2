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

// TestOpenRow cuts a row of another length or kind by the end of a window, at each of its bytes.
// The row keeps its fields, or is refused at its line if all rows must have as many fields as the
// first.
func TestOpenRow(t *testing.T) {
	lines := []string{"abcdefghijklm\n", "\"a\"\n", "x\n\n", "a,b\r\n", "ab,cd,ef\n", "a,,\"c\",,,,\n"}
	odds := []string{"x\r\n", "a,second\n", "a,\n", "\"q\"\r\n", "a,\"b\"\"c\",d\n", "a,b,c,d\n", "a,b,\"\"\"\",,e\r\n", "a,second,,\"th,ird\",,\"fo\"\"ur\",\r\n", "\r\n"}
	defer simd.Force(simd.Kernel())
	var paths selectorPaths
	for _, line := range lines {
		for _, odd := range odds {
			for into := range len(odd) + 2 { // bytes of the row before the end of the window
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
	campaign.AtLeast(t, 50, map[string]int{"plain": paths.plain, "single": paths.single, "uniformColumns": paths.uniformColumns, "uniformAll": paths.uniformAll, "uniformOpen": paths.uniformOpen, "openSingle": paths.openSingle, "byRowOpen": paths.byRowOpen})
}

// TestOpenRowExample checks one such row whose second field must not become a value of the first
// column.
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
