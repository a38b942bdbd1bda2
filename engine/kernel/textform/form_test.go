package textform

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestForms compares the forms of RFC 4648 with the standard library, and all forms with their
// inverse, for 0 to 100 bytes.
func TestForms(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	standard := map[Form]func([]byte) string{
		Hex:  hex.EncodeToString,
		B64u: base64.RawURLEncoding.EncodeToString,
		B32: func(b []byte) string {
			return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
		},
	}
	for _, f := range allForms {
		for n := range 101 {
			if f == UUID && n != 16 {
				continue
			}
			c := make([]byte, n)
			for i := range c {
				c[i] = byte(r.Uint32())
			}
			gen := r.IntN(12)
			text := append(make([]byte, f.EncodedLen(n)), 1, 1, 1)
			f.Encode(text[:len(text)-3], c, gen)
			if !bytes.Equal(text[len(text)-3:], []byte{1, 1, 1}) {
				t.Fatalf("%s: writes behind its text", f)
			}
			text = text[:len(text)-3]
			if std := standard[f]; std != nil && std(c) != string(text) {
				t.Fatalf("%s of %d bytes: %s, want %s", f, n, text, std(c))
			}
			if f.DecodedLen(len(text)) != n {
				t.Fatalf("%s: DecodedLen of %d characters is %d, want %d", f, len(text), f.DecodedLen(len(text)), n)
			}
			back := make([]byte, n)
			g, ok := f.Decode(back, text)
			if !ok || !bytes.Equal(back, c) || f.Marked() && n > 0 && (g != gen || f.Mark(text) != gen) {
				t.Fatalf("%s: %s comes back as %x, %v, generation %d of %d", f, text, back, ok, g, gen)
			}
			if up := bytes.ToUpper(text); n > 0 && (f == Hex || f == B32 || f == UUID) {
				if _, ok := f.Decode(back, up); !ok || !bytes.Equal(back, c) {
					t.Fatalf("%s: upper case is refused", f)
				}
			}
		}
	}
}

// TestDecodeIsPortable compares every kernel with the twin on damaged texts of every length.
func TestDecodeIsPortable(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(2, 9))
		for round := range 20000 {
			f, n := allForms[round%2], r.IntN(80)
			c := make([]byte, n)
			for i := range c {
				c[i] = byte(r.Uint32())
			}
			text := make([]byte, 2*n)
			f.Encode(text, c, r.IntN(12))
			if n > 0 && round%3 > 0 {
				text[r.IntN(2*n)] = []byte("azAZ09gG\x00\xff")[r.IntN(10)]
			}
			a, b := make([]byte, n), append(make([]byte, n), 7)
			wantGen, want := f.decodeGeneric(a, text)
			gen, ok := f.Decode(b[:n], text)
			if ok != want || ok && (gen != wantGen || !bytes.Equal(a, b[:n])) || b[n] != 7 {
				t.Fatalf("%s %q: %v %d, want %v %d", f, text, ok, gen, want, wantGen)
			}
		}
	})
}

// TestDecodeRefuses changes every character of a text to every other: a text that decodes must be
// the text of the decoded bytes.
func TestDecodeRefuses(t *testing.T) {
	for _, f := range allForms {
		for _, n := range []int{1, 2, 3, 4, 5, 16, 17, 24} {
			if f == UUID && n != 16 {
				continue
			}
			c := bytes.Repeat([]byte{0xff}, n)
			text := make([]byte, f.EncodedLen(n))
			f.Encode(text, c, 11)
			for i := range text {
				old := text[i]
				for x := range 256 {
					text[i] = byte(x)
					gen, ok := f.Decode(c, text)
					if !ok {
						continue
					}
					again := make([]byte, len(text))
					f.Encode(again, c, gen)
					if (f == Pair62 || f == B64u) && string(again) != string(text) || !strings.EqualFold(string(again), string(text)) {
						t.Fatalf("%s: %q decodes to what is %q", f, text, again)
					}
				}
				text[i] = old
			}
		}
	}
}
