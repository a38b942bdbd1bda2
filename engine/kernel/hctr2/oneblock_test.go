package hctr2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/velonym/velonym/engine/kernel/internal/structured"
	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

var allForms = []textform.Form{textform.Pair62, textform.Hex, textform.B64u, textform.B32, textform.UUID}

func testCipher(t testing.TB, seed byte, tweak ...byte) *Cipher {
	t.Helper()
	var key [32]byte
	for i := range key {
		key[i] = byte(i)*3 + seed
	}
	if tweak == nil {
		tweak = []byte{1, 1, 0}
	}
	c, err := New(&key, tweak)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Release)
	return c
}

var words = []string{"Zoë", "Ångström", "Müller", "日本語", "🙂🙃", "é", "\u00a0", "x\u0085y", "a\x00b", "tab\t", "\x7f", "\xff\xfe", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\xaf", "\xe2\x82", "1234567890123"}

// randomValue returns a value that the one-block kernels usually support.
func randomValue(r *rand.Rand) []byte {
	switch r.IntN(40) {
	case 0:
		return nil
	case 1:
		v := make([]byte, 16+r.IntN(30))
		for i := range v {
			v[i] = byte('a' + r.IntN(26))
		}
		return v
	case 2, 3:
		return []byte(words[r.IntN(len(words))])
	case 4:
		v := make([]byte, 1+r.IntN(15))
		for i := range v {
			v[i] = byte(r.Uint32())
		}
		return v
	}
	v := make([]byte, 1+r.IntN(15))
	for i := range v {
		v[i] = byte(0x20 + r.IntN(95))
	}
	return v
}

// randomArena returns n values, all printable ASCII if plain is set.
func randomArena(r *rand.Rand, n int, plain bool) *structured.Arena {
	a := &structured.Arena{}
	for range n {
		v := randomValue(r)
		for plain && (len(v) == 0 || len(v) > 15 || !textform.IsText(v)) {
			v = randomValue(r)
		}
		a.Add(v)
		for range r.IntN(3) {
			a.Src = append(a.Src, ',')
		}
	}
	return a
}

var framings = [][2]string{{"", ""}, {"", "\n"}, {`"`, `",`}, {"", "\r\n"}, {"ab", "cd"}, {"longer", "framing"}}

func counts(r *rand.Rand) []int {
	return []int{0, 1, 2, 15, 16, 17, 31, 32, 33, 48, 100, 200, 1 + r.IntN(700)}
}

// withCanary returns a dst with some content, extra bytes of capacity and a canary after its
// capacity. intact reports whether the canary is unchanged.
func withCanary(extra int) (dst []byte, intact func() bool) {
	extra = max(extra, 0)
	mem := bytes.Repeat([]byte{0xC5}, 10+extra+128)
	return mem[: 10 : 10+extra], func() bool {
		return !slices.ContainsFunc(mem[10+extra:], func(b byte) bool { return b != 0xC5 })
	}
}

// TestSealRows compares SealRows of every tier with the twin.
func TestSealRows(t *testing.T) {
	c := testCipher(t, 1)
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for round := range 400 {
			n := counts(r)[round%13]
			a := randomArena(r, n, round%3 != 0)
			a.Guard(t, r.IntN(20))
			f := framings[r.IntN(len(framings))]
			w := textform.NewWriter(allForms[r.IntN(5)], r.IntN(12), f[0], f[1])
			want, wantOut := make([]byte, 10), make([]uint32, 2*n)
			for i := range want {
				want[i] = 0xC5
			}
			want, wantN := c.sealRowsGeneric(w, grow(want, n*w.Stride()), a.Src, a.Spans, wantOut)
			dst, intact := withCanary(n*w.Stride() + r.IntN(200) - 100 + 100*(round%2))
			out := make([]uint32, 2*n)
			got, gotN := c.SealRows(w, dst, a.Src, a.Spans, out)
			name := fmt.Sprintf("round %d: %s gen %d framing %q, %d values", round, w.Form(), w.Gen(), f, n)
			if gotN != wantN || !bytes.Equal(got, want) || !slices.Equal(out[:2*gotN], wantOut[:2*wantN]) {
				t.Fatalf("%s: did %d, want %d\n%q\n%q", name, gotN, wantN, tail(got), tail(want))
			}
			if !intact() {
				t.Fatalf("%s: wrote behind the capacity of dst", name)
			}
		}
	})
}

func tail(b []byte) []byte { return b[max(0, len(b)-200):] }

// TestSealAt compares SealAt of every tier with the twin.
func TestSealAt(t *testing.T) {
	c := testCipher(t, 1)
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 2))
		for round := range 300 {
			n := counts(r)[round%13]
			a := randomArena(r, n, round%3 != 0)
			a.Guard(t, r.IntN(20))
			w := textform.NewWriter(allForms[r.IntN(5)], r.IntN(12), "", "")
			at := make([]uint32, n)
			size := 0
			for _, i := range r.Perm(n) {
				size += r.IntN(4)
				at[i] = uint32(size)
				size += w.Chars()
			}
			want, got := bytes.Repeat([]byte{1}, size), bytes.Repeat([]byte{1}, size+64)
			wantN := c.sealAtGeneric(w, want, at, a.Src, a.Spans)
			gotN := c.SealAt(w, got[:size], at, a.Src, a.Spans)
			if gotN != wantN || !bytes.Equal(got[:size], want) || bytes.Count(got[size:], []byte{1}) != 64 {
				t.Fatalf("round %d: %s, %d values: did %d, want %d", round, w.Form(), n, gotN, wantN)
			}
		}
	})
}

// pseudonyms seals values and returns the texts as an arena; some are damaged.
func pseudonyms(r *rand.Rand, c *Cipher, f textform.Form, gen, n int, damage bool) *structured.Arena {
	v := randomArena(r, n, true)
	w := textform.NewWriter(f, gen, "", ",")
	out := make([]uint32, 2*n)
	dst, _ := c.sealRowsGeneric(w, grow(nil, n*w.Stride()), v.Src, v.Spans, out)
	a := &structured.Arena{Src: dst, Spans: out}
	if damage && n > 0 {
		for range 1 + r.IntN(3) {
			i := r.IntN(n)
			switch x := a.Value(i); r.IntN(4) {
			case 0:
				if len(x) > 0 {
					x[r.IntN(len(x))] = byte(r.Uint32())
				}
			case 1:
				a.Spans[2*i+1] = uint32(r.IntN(33))
			case 2:
				if len(x) > 0 {
					x[r.IntN(len(x))] ^= 1
				}
			case 3:
				if len(x) != f.EncodedLen(16) {
					continue
				}
				var b [16]byte // the empty value
				for j := range b {
					b[j] = 16
				}
				c.encryptBlock(&b)
				f.Encode(x, b[:], gen)
			}
		}
	}
	return a
}

// TestOpenRows compares OpenRows of every tier with the twin, on valid and damaged texts.
func TestOpenRows(t *testing.T) {
	c := testCipher(t, 1)
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 2))
		for round := range 400 {
			n := counts(r)[round%13]
			form, gen := allForms[r.IntN(5)], r.IntN(12)
			a := pseudonyms(r, c, form, gen, n, round%3 == 0)
			a.Guard(t, r.IntN(20))
			f := framings[r.IntN(len(framings))]
			rd := textform.NewReader(form, gen)
			wantOut, out := make([]uint32, 2*n), make([]uint32, 2*n)
			want, wantN := c.openRowsGeneric(rd, f[0], f[1], bytes.Repeat([]byte{0xC5}, 10), a.Src, a.Spans, wantOut)
			dst, intact := withCanary(len(want) + r.IntN(300) - 100)
			got, gotN := c.OpenRows(rd, f[0], f[1], dst, a.Src, a.Spans, out)
			if gotN != wantN || !bytes.Equal(got, want) || !slices.Equal(out[:2*gotN], wantOut[:2*wantN]) || !intact() {
				t.Fatalf("round %d: %s gen %d framing %q, %d values: did %d, want %d\n%q\n%q", round, form, gen, f, n, gotN, wantN, tail(got), tail(want))
			}
		}
	})
}

// TestTranslateRows compares TranslateRows of every tier with the twin.
func TestTranslateRows(t *testing.T) {
	c, to := testCipher(t, 1), testCipher(t, 9)
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 2))
		forged := 0
		for round := range 400 {
			n := counts(r)[round%13]
			form, gen := allForms[r.IntN(5)], r.IntN(12)
			a := pseudonyms(r, c, form, gen, n, round%3 == 0)
			a.Guard(t, r.IntN(20))
			f := framings[r.IntN(len(framings))]
			rd, w := textform.NewReader(form, gen), textform.NewWriter(allForms[r.IntN(5)], r.IntN(12), f[0], f[1])
			if round%4 == 1 && n > 0 { // a text that no encoder writes: it opens as an empty value
				empty := [16]byte(bytes.Repeat([]byte{16}, 16))
				c.encryptBlock(&empty)
				k := r.IntN(n)
				if text := textform.NewWriter(form, gen, "", "").AppendRows(make([]byte, 0, 64), empty[:]); len(text) == int(a.Spans[2*k+1]) {
					copy(a.Src[a.Spans[2*k]:], text)
					forged++
				}
			}
			wantOut, out := make([]uint32, 2*n), make([]uint32, 2*n)
			want, wantN := c.translateRowsGeneric(rd, to, w, grow(bytes.Repeat([]byte{0xC5}, 10), n*w.Stride()), a.Src, a.Spans, wantOut)
			dst, intact := withCanary(n*w.Stride() + r.IntN(200) - 100)
			got, gotN := c.TranslateRows(rd, to, w, dst, a.Src, a.Spans, out)
			if gotN != wantN || !bytes.Equal(got, want) || !slices.Equal(out[:2*gotN], wantOut[:2*wantN]) || !intact() {
				t.Fatalf("round %d: %s to %s, %d values: did %d, want %d\n%q\n%q", round, form, w.Form(), n, gotN, wantN, tail(got), tail(want))
			}
		}
		if forged < 40 {
			t.Fatalf("only %d texts of empty values: too few to test", forged)
		}
	})
}
