package jsonfast

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/velonym/velonym/internal/campaign"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// The functions tested here have no counters, because they are called for every value. Their
// tests make inputs that must take the fast paths, count those inputs, and compare the results
// with simple loops and the standard library.

// TestFastPathsOfEscape checks that a byte that must be escaped is found after any number of
// plain bytes, by the kernels, which are called from shortValue bytes on, and by the portable
// code.
func TestFastPathsOfEscape(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		long, beyond := 0, 0
		for n := range 200 {
			for at := 0; at <= n; at++ {
				for _, c := range []byte("\"\\,\n\r\x00\x1f\t;") {
					v := bytes.Repeat([]byte{'x'}, n)
					if at < n {
						v[at] = c
					}
					var back string
					escaped := AppendEscaped([]byte{'"'}, v)
					if err := json.Unmarshal(append(escaped, '"'), &back); err != nil || back != string(v) {
						t.Fatalf("%d bytes, %q at %d: %q, %v", n, c, at, escaped, err)
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

// TestFastPathsOfUnescape checks escapes of every kind after, between and before any number of
// plain bytes, which Unescape copies eight at a time.
func TestFastPathsOfUnescape(t *testing.T) {
	escapes := []string{`\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`, `\u0041`, `\u00e9`, `\u20AC`, `\ud83d\ude00`, `\uDBFF\uDFFF`, `\u0000`, `\\u0041`}
	plain := strings.Repeat("aé日b😀cdefghijk", 4)
	words, within, pairs := 0, 0, 0
	try := func(raw string) {
		var want string
		if err := json.Unmarshal([]byte(`"`+raw+`"`), &want); err != nil {
			t.Fatal(err)
		}
		if got := Unescape([]byte("before"), []byte(raw)); string(got) != "before"+want {
			t.Fatalf("%q: %q, want %q", raw, got, "before"+want)
		}
		own := []byte(raw)
		if got := Unescape(own[:0], own); string(got) != want {
			t.Fatalf("%q, in place: %q, want %q", raw, got, want)
		}
	}
	for n := range len(plain) {
		if !utf8.RuneStart(plain[n]) {
			continue
		}
		for _, e := range escapes {
			for _, f := range append(escapes, "") {
				for _, m := range []int{0, 1, 7, 8, 9, 30} {
					run := plain[:n] + e + strings.Repeat("z", m) + f
					try(run)
					try(run + "q")
					if n >= 8 {
						words++
						if n%8 != 0 {
							within++ // the escape lies within the word that is not copied
						}
					}
					if m == 0 && f != "" {
						pairs++
					}
				}
			}
		}
	}
	campaign.AtLeast(t, 10_000, map[string]int{"eight at once": words, "an escape within eight": within})
	campaign.AtLeast(t, 5_000, map[string]int{"escapes side by side": pairs})
}

// TestFastPathsOfUTF8 checks one wrong byte at every offset of a text that the kernels validate,
// with whole blocks before and after it.
func TestFastPathsOfUTF8(t *testing.T) {
	text := []byte(strings.Repeat("aé日b😀cdefghijk", 20))
	simdtest.EachKernel(t, func(t *testing.T) {
		blocks, faults := 0, 0
		for cut := 128; cut < len(text); cut++ {
			for at := cut % 5; at < cut; at += 5 {
				p := bytes.Clone(text[:cut])
				p[at] ^= 0x80
				want := utf8.Valid(p)
				if validUTF8(p) != want {
					t.Fatalf("%d bytes, changed at %d: valid %v, want %v", cut, at, !want, want)
				}
				blocks++
				if !want && at > 8 && at < cut-64 {
					faults++
				}
			}
			if validUTF8(text[:cut]) != utf8.Valid(text[:cut]) {
				t.Fatalf("%d bytes: wrong verdict on the unchanged text", cut)
			}
		}
		campaign.AtLeast(t, 5_000, map[string]int{"blocks": blocks, "a fault in a block": faults})
	})
}
