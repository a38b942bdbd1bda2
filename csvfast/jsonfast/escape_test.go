package jsonfast

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// specials returns a value of n bytes, most of which are plain.
func specials(r *rand.Rand, n int) []byte {
	v := make([]byte, n)
	for i := range v {
		v[i] = "abcdefgh0123456789 \xc3\xa9\x7f\x80\xff"[r.IntN(24)]
	}
	if n > 0 && r.IntN(4) > 0 {
		v[r.IntN(n)] = "\"\\\x00\x1f\x20\x21\n\r,;'\x22\x5c\x1f"[r.IntN(14)]
	}
	return v
}

// TestSpecialKernels compares every kernel with a simple loop, at every alignment and at the end
// of a page.
func TestSpecialKernels(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 1))
		page := simdtest.Pages(t, 8192)
		for n := 0; n <= 256; n++ {
			for round := range 200 {
				v := specials(r, n)
				at := len(page) - n - round%65 // every alignment, and up to the page's end
				p := page[at : at+n]
				copy(p, v)
				if at > 0 {
					page[at-1] = '"'
				}
				if at+n < len(page) {
					page[at+n] = '"'
				}
				want := n
				for i, c := range v {
					if c < 0x20 || c == '"' || c == '\\' {
						want = i
						break
					}
				}
				if got := special(p); got != want {
					t.Fatalf("%q: JSON %d, want %d", v, got, want)
				}
			}
		}
	})
}

// TestEscapesAgainstEncodingJSON checks that encoding/json reads escaped values, and that Unescape
// returns what encoding/json does.
func TestEscapesAgainstEncodingJSON(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 3))
		for range 20_000 {
			v := specials(r, r.IntN(150))
			v = bytes.ToValidUTF8(v, []byte("é"))
			e := AppendEscaped([]byte{'"'}, v)
			e = append(e, '"')
			var back string
			if err := json.Unmarshal(e, &back); err != nil || back != string(v) {
				t.Fatalf("%q escaped as %q: %v", v, e, err)
			}
			if got := Unescape(nil, e[1:len(e)-1]); !bytes.Equal(got, v) {
				t.Fatalf("%q came back as %q", v, got)
			}
			if got := Unescape(e[1:1], e[1:len(e)-1]); !bytes.Equal(got, v) {
				t.Fatalf("%q came back in place as %q", v, got)
			}
		}
	})
}
