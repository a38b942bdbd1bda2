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

// The functions here have no counters: they are called for every value. Their tests
// make inputs that go the fast ways by what the functions look at alone, compare with
// plain loops and the standard library, and count those inputs.

// TestTakenByEscape: what must be escaped is found behind any number of
// plain bytes, by the kernels, which take values of shortValue and more, and without.
func TestTakenByEscape(t *testing.T) {
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

// TestTakenByUnescape: escapes of every kind behind, between and before any number of
// plain bytes, of which Unescape takes eight at once.
func TestTakenByUnescape(t *testing.T) {
	escapes := []string{`\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`, `\u0041`, `\u00e9`, `\u20AC`, `\ud83d\ude00`, `\uDBFF\uDFFF`, `\u0000`, `\\u0041`}
	plain := strings.Repeat("aé日b😀cdefghijk", 4)
	words, within, pairs := 0, 0, 0
	try := func(raw string) {
		var want string
		if err := json.Unmarshal([]byte(`"`+raw+`"`), &want); err != nil {
			t.Fatal(err)
		}
		if got := Unescape([]byte("before"), []byte(raw)); string(got) != "before"+want {
			t.Fatalf("%q: %q", raw, got)
		}
		own := []byte(raw)
		if got := Unescape(own[:0], own); string(got) != want {
			t.Fatalf("%q, in place: %q", raw, got)
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
							within++ // the escape stands within the word that is not taken
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

// TestTakenByUTF8: one wrong byte at every place of a text that the kernels take, with
// whole blocks before and behind it.
func TestTakenByUTF8(t *testing.T) {
	text := []byte(strings.Repeat("aé日b😀cdefghijk", 20))
	simdtest.EachKernel(t, func(t *testing.T) {
		blocks, faults := 0, 0
		for cut := 128; cut < len(text); cut++ {
			for at := cut % 5; at < cut; at += 5 {
				p := bytes.Clone(text[:cut])
				p[at] ^= 0x80
				want := utf8.Valid(p)
				if validUTF8(p) != want {
					t.Fatalf("%d bytes, changed at %d: not %v", cut, at, want)
				}
				blocks++
				if !want && at > 8 && at < cut-64 {
					faults++
				}
			}
			if validUTF8(text[:cut]) != utf8.Valid(text[:cut]) {
				t.Fatalf("%d bytes: wrong", cut)
			}
		}
		campaign.AtLeast(t, 5_000, map[string]int{"blocks": blocks, "a fault in a block": faults})
	})
}
