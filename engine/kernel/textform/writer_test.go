package textform

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/velonym/velonym/engine/kernel/internal/structured"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

var allForms = []Form{Pair62, Hex, B64u, B32, UUID}

// TestEncodeAt compares EncodeAt of every tier with the twin.
func TestEncodeAt(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 7))
		for round := range 100 {
			n := []int{0, 1, 2, 15, 16, 17, 31, 32, 33, 48, 100, 200, 1 + r.IntN(700)}[round%13]
			w := NewWriter(allForms[r.IntN(5)], r.IntN(12), "", "")
			blocks, at, size := make([]byte, 16*n), make([]uint32, n), 0
			for i := range blocks {
				blocks[i] = byte(r.Uint32())
			}
			for _, i := range r.Perm(n) {
				size += r.IntN(4)
				at[i] = uint32(size)
				size += w.chars
			}
			want, got := bytes.Repeat([]byte{1}, size), bytes.Repeat([]byte{1}, size+64)
			w.encodeAtGeneric(want, at, blocks)
			w.EncodeAt(got[:size], at, blocks)
			if !bytes.Equal(got[:size], want) || bytes.Count(got[size:], []byte{1}) != 64 {
				t.Fatalf("%s: %d blocks: the texts are wrong or bytes after them were overwritten", w.form, n)
			}
		}
	})
}

// TestIsText compares IsText with the rules.
func TestIsText(t *testing.T) {
	good := 0
	structured.EdgeTexts(func(v []byte) {
		if got := IsText(v); got != structured.IsText(v) {
			t.Fatalf("IsText(%q) = %v, want %v", v, got, !got)
		} else if got {
			good++
		}
	})
	if good < 1000 {
		t.Fatalf("only %d strings were text", good)
	}
}

// TestReader checks that a Reader decodes texts of every form, and refuses those of other lengths
// and generations.
func TestReader(t *testing.T) {
	for _, f := range allForms {
		for gen := range Generations {
			r := NewReader(f, gen)
			want := [16]byte{byte(gen), 1, 2, 0xff}
			text := make([]byte, f.EncodedLen(16))
			f.Encode(text, want[:], gen)
			var got [16]byte
			if !r.Decode(&got, text) || got != want {
				t.Fatalf("%s of generation %d: %q is read as %x", f, gen, text, got)
			}
			if r.Decode(&got, text[:len(text)-2]) || f != UUID && r.Decode(&got, text[:0]) {
				t.Fatalf("%s: accepts a shorter text", f)
			}
			if f.Encode(text, want[:], (gen+1)%Generations); r.Decode(&got, text) != !f.Marked() {
				t.Fatalf("%s of generation %d: accepts a text of another generation", f, gen)
			}
		}
	}
}
