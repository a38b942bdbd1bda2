package server

import (
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestRowAcrossWindows sends bodies in which a row of two fields crosses a window of the
// tokenizer, at every offset and with every kernel. The answer must have a result for each
// field, in order.
func TestRowAcrossWindows(t *testing.T) {
	simdtest.Alone(t)
	defer func() {
		if err := simd.Force("auto"); err != nil {
			t.Error(err)
		}
	}()
	for _, tier := range simd.Kernels() {
		if err := simd.Force(tier); err != nil {
			t.Fatal(err)
		}
		t.Run(tier, func(t *testing.T) {
			r := newRig(t, nil)
			fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
			for shift := range 26 {
				last := []string{"secondfield", ""}[shift%2] // field of the row that crosses
				rows := slices.Repeat([]string{"abcdefghijklm"}, 585)
				rows[0] = rows[0][shift/2:]
				rows = append(append(rows, "a,"+last), "z", "z", "z", "z", "z")
				body := strings.Join(rows, "\n") + "\n"
				values := strings.Split(strings.ReplaceAll(strings.TrimSpace(body), ",", "\n"), "\n")
				for _, whole := range []bool{true, false} {
					in := body
					if !whole {
						in = strings.TrimSuffix(body, "\n")
					}
					psn := r.post(forwardPath, fwd, csvType, in).strings(t)
					if len(psn) != len(values) {
						t.Fatalf("offset %d: the answer to %d values has %d", shift, len(values), len(psn))
					}
					if back := r.post(reversePath, rev, jsonType, jsonOf(psn...)).strings(t); !slices.Equal(back, values) {
						t.Errorf("offset %d: reversing does not give the values in order", shift)
					}
					text := r.post(forwardPath, fwd, csvType, in, "Accept", "text/csv")
					if back := r.post(reversePath, rev, csvType, string(text.body), "Accept", "text/csv"); string(back.body) != in {
						t.Errorf("offset %d: reversing does not give the text", shift)
					}
				}
			}
		})
	}
}
