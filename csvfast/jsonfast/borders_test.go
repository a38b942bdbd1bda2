package jsonfast

import (
	"errors"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestArrayCutRune checks that a character that is incomplete at the end of a window is refused,
// and that a complete one across it is not.
func TestArrayCutRune(t *testing.T) {
	const step = 64 * arrayBlocks
	head := `{"data":[`
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, bad := range []string{"é", "日", "😀", "\xc3", "\xe6\x97", "\xf0\x9f\x98", "\xc3a", "\xed\xa0\x80"} {
			for before := range 6 { // bytes of it before the end of the window
				pad := strings.Repeat(`"abcd",`, (step-20)/7)
				pad += `"` + strings.Repeat("p", step-before-len(pad)-1)
				checkData(t, []byte(head+pad+bad+`","`+strings.Repeat("z", step)+`"]}`))
			}
		}
	})
}

// TestShapesApart checks that shapes that begin alike are not confused: a line that combines the
// halves of two is refused.
func TestShapesApart(t *testing.T) {
	name := `"` + strings.Repeat("n", shapeText-4) + `"` // with a brace and a colon it is the longest text of a node
	pad := strings.Repeat("[\"pad\"]\n", 60)
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, c := range [][3]string{
			{`[1]`, `[{"id":1}]`, `[1}]`},
			{`{` + name + `:1}`, `{` + name + `: 1}`, `{` + name + `:1 1}`},
			{`{"n":1,"id":"x"}`, `{"n":{"a":1},"id":"x"}`, `{"n":1},"id":"x"}`},
			{`{"id":[1,2]}`, `{"id":[1,{"a":2}]}`, `{"id":[1,2}]}`},
		} {
			for _, known := range []string{c[0] + "\n" + c[1] + "\n", c[1] + "\n" + c[0] + "\n"} {
				f, err := NewPathFinder([]string{"id"})
				if err != nil {
					t.Fatal(err)
				}
				var e *SyntaxError
				if err := f.Scan([]byte(known + known + c[2] + "\n" + pad)); !errors.As(err, &e) || e.Line != 5 {
					t.Errorf("%q behind %q: %v, want an error in line 5", c[2], known, err)
				}
			}
		}
	})
}
