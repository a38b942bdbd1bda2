package csvfast

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math/rand/v2"
	"os"
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
				for _, d := range [][2]byte{{',', '"'}, {';', '\''}, {0x80, 0xff}} {
					want := n
					for i, c := range v {
						if c == d[0] || c == d[1] || c == '\n' || c == '\r' {
							want = i
							break
						}
					}
					if got := special(p, d[0], d[1]); got != want {
						t.Fatalf("%q: CSV %d, want %d", v, got, want)
					}
				}
			}
		}
	})
}

// TestFieldsAgainstEncodingCSV checks that encoding/csv reads written fields back, that no field
// is quoted without need, and that writing allocates nothing.
func TestFieldsAgainstEncodingCSV(t *testing.T) {
	text, err := os.ReadFile("../testdata/corpora/naughty-strings/blns.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 2))
	for range 5000 {
		v := make([]byte, r.IntN(100))
		for i := range v {
			v[i] = "abc,\"\n; x\tyé"[r.IntN(13)]
		}
		list = append(list, string(v))
	}
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, d := range []Dialect{{}, {Comma: ';'}, {Comma: '\t', Quote: '"'}} {
			for k, s := range list {
				row := d.AppendField(nil, []byte(s), k%5 == 0)
				if quoted := row[:min(1, len(row))]; string(quoted) == `"` && k%5 != 0 && !d.NeedsQuotes([]byte(s)) {
					t.Errorf("%q: quoted although it needs no quotes", s)
				}
				row = append(row, d.normal().Comma)
				row = append(d.AppendField(row, []byte("x"), false), '\n')
				c := csv.NewReader(bytes.NewReader(row))
				c.Comma = rune(d.normal().Comma)
				got, err := c.Read()
				want := string(bytes.ReplaceAll([]byte(s), []byte("\r\n"), []byte("\n"))) // as encoding/csv reads it
				if err != nil || len(got) != 2 || got[0] != want {
					t.Errorf("%q came back as %q, %v", s, got, err)
				}
				doubled := d.AppendDoubled([]byte("x"), []byte(s))
				if got := d.Unquote(nil, doubled[1:]); string(got) != s {
					t.Errorf("%q unquoted as %q", s, got)
				}
				if got := d.Unquote(doubled[1:1], doubled[1:]); string(got) != s {
					t.Errorf("%q unquoted in place as %q", s, got)
				}
			}
		}
		d := Dialect{Comma: 0x80, Quote: 0xff}
		if got := d.AppendField(nil, []byte("a\xffb"), false); string(got) != "\xffa\xff\xffb\xff" {
			t.Errorf("written as %q, want quotes 0xff and a doubled one", got)
		}
		if got := (Dialect{}).AppendField(nil, nil, true); string(got) != `""` {
			t.Errorf("an empty field with quotes is written as %q", got)
		}
		room := make([]byte, 0, 64)
		if n := testing.AllocsPerRun(10, func() {
			room = d.AppendField(room[:0], []byte("a\xffb\x80"), false)
			room = d.Unquote(room[:0], room[1:len(room)-1])
		}); n != 0 || string(room) != "a\xffb\x80" {
			t.Errorf("%v allocations, %q, want none and the value", n, room)
		}
	})
}
