package jsonfast

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// arrayText returns text for the blocks of the kernels' tests: valid items, odd runs of backslashes,
// and sometimes an invalid byte.
func arrayText(r *rand.Rand, n int) []byte {
	var b []byte
	for len(b) < n {
		b = randomString(r, b)
		b = append(b, [...]string{",", ",", ",", ", ", " ,", ",\r\n\t", ",    ", "  , "}[r.IntN(8)]...)
	}
	b = b[:n]
	if n > 0 && r.IntN(3) == 0 {
		b[r.IntN(n)] = pieces[r.IntN(len(pieces))][0]
	}
	if n > 0 && r.IntN(8) == 0 {
		at := r.IntN(n)
		copy(b[at:], bytes.Repeat([]byte{'\\'}, 1+r.IntN(70)))
	}
	return b
}

// TestArrayKernels compares positions, notes and state of every kernel with those of the twin, and
// checks that it writes no further than it may.
func TestArrayKernels(t *testing.T) {
	const canary = 0xdeadbeef
	page := simdtest.Pages(t, 16384)
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(6, 1))
		for round := range 30_000 {
			blocks := 1 + r.IntN(5)
			text := arrayText(r, 64*blocks)
			at := len(page) - len(text) - round%65
			p := page[at : at+len(text)]
			copy(p, text)
			state := [...]arrayState{{}, {}, {inString: ^uint64(0)}, {closed: 1}, {inString: ^uint64(0), escaped: 1}}[r.IntN(5)]
			base := r.Uint32() >> 1
			// Buffers of exactly the required size, with canaries after them.
			out := slices.Repeat([]uint32{canary}, 64*blocks+64+16)
			notes := slices.Repeat([]arrayNote{{offset: canary}}, blocks+1)
			wantOut, wantNotes := slices.Clone(out), slices.Clone(notes)
			got, want := state, state
			done := arrayQuotes(p, base, out[:64*blocks+64], notes[:blocks], &got)
			wantDone := arrayQuotesGeneric(p, blocks, base, wantOut, wantNotes, &want)
			if done != wantDone {
				t.Fatalf("%q from %+v: %d blocks, twin %d", p, state, done, wantDone)
			}
			if done == blocks && (got.high != 0) != (want.high != 0) || want.high != 0 && got.high == 0 {
				t.Fatalf("%q: high %x, twin %x", p, got.high, want.high)
			}
			// There may be a note of the block before which the kernel stopped.
			valid := func(notes []arrayNote, n uint64) []arrayNote {
				if n > 0 && notes[n-1].offset-base >= uint32(64*done) {
					n--
				}
				return notes[:n]
			}
			if !slices.Equal(valid(notes, got.notes), valid(wantNotes, want.notes)) {
				t.Fatalf("%q: notes %+v, twin %+v", p, notes, wantNotes)
			}
			got.high, want.high, got.notes, want.notes = 0, 0, 0, 0
			if got != want {
				t.Fatalf("%q from %+v: state %+v, twin %+v", p, state, got, want)
			}
			if !slices.Equal(out[:got.quotes], wantOut[:want.quotes]) {
				t.Fatalf("%q: positions %v, twin %v", p, out[:got.quotes], wantOut[:want.quotes])
			}
			if slices.ContainsFunc(out[64*blocks+64:], func(v uint32) bool { return v != canary }) || notes[blocks].offset != canary {
				t.Fatalf("%q: wrote behind its buffer", p)
			}
		}
	})
}

// TestArraySpans checks the conversion of pairs of positions on every kernel.
func TestArraySpans(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		for n := 0; n <= 256; n += 2 {
			for shift := range 4 {
				pairs, want := make([]uint32, n+8), make([]uint32, n+8)
				for i := range pairs {
					pairs[i] = uint32(i*i + i + 7)
					want[i] = pairs[i]
				}
				for i := shift; i < shift+n; i += 2 {
					want[i], want[i+1] = pairs[i]+1, pairs[i+1]-pairs[i]-1
				}
				arraySpans(pairs[shift : shift+n])
				if !slices.Equal(pairs, want) {
					t.Fatalf("%d at %d: %v, want %v", n, shift, pairs, want)
				}
			}
		}
	})
}

// TestValidUTF8 compares every kernel with package utf8.
func TestValidUTF8(t *testing.T) {
	page := simdtest.Pages(t, 8192)
	parts := []string{"a", "b", "é", "日", "😀", "abcdefghijklmnop", "ééééééé", "日本語日本語", "\u0800", "\ud7ff", "\ue000", "\U0010ffff", "\U00010000", "\u007f\u0080\u07ff"}
	bad := []string{"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\xe6\x97", "\xe6", "\xf0\x80\x80\x80",
		"\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xfe", "\xf0\x9f\x98", "\xf0\x9f", "\xf8\x88\x80\x80\x80", "\xc3\xa9\xa9"}
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(6, 2))
		valid := 0
		for round := range 40_000 {
			var b []byte
			for n := r.IntN(400); len(b) < n; {
				b = append(b, parts[r.IntN(len(parts))]...)
			}
			if r.IntN(2) == 0 {
				at := r.IntN(len(b) + 1)
				b = slices.Insert(b, at, []byte(bad[r.IntN(len(bad))])...)
			}
			if r.IntN(4) == 0 {
				b = b[:r.IntN(len(b)+1)]
			}
			at := len(page) - len(b) - round%67
			p := page[at : at+len(b)]
			copy(p, b)
			if got, want := validUTF8(p), utf8.Valid(b); got != want {
				t.Fatalf("%q: %v, want %v", b, got, want)
			} else if got {
				valid++
			}
			if n := wholeRunes(p); utf8.Valid(p) && (!utf8.Valid(p[:n]) || len(p)-n > 4) {
				t.Fatalf("%q: cut at %d, want at the last whole character", p, n)
			}
		}
		if valid < 5_000 || valid > 35_000 {
			t.Fatalf("%d of 40000 texts are valid: too few or too many to test both", valid)
		}
	})
}

// TestShapeKernels compares the values and state of every kernel with those of the twin.
func TestShapeKernels(t *testing.T) {
	page := simdtest.Pages(t, 1<<16)
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(6, 3))
		read := 0
		for round := range 4_000 {
			f, _ := NewPathFinder([]string{"id", "visits", "a"})
			shape := r.Uint64()
			var b []byte
			for range 1 + r.IntN(3) {
				b = append(shapedLine(r, rand.New(rand.NewPCG(shape, 0)), b), '\n')
			}
			if err := f.Scan(b); err != nil {
				t.Fatal(err)
			}
			if len(f.shapes.nodes) < 2 {
				continue
			}
			var p []byte
			for range 1 + r.IntN(25) {
				p = append(shapedLine(r, rand.New(rand.NewPCG(shape, 0)), p), '\n')
			}
			if r.IntN(2) == 0 {
				p[r.IntN(len(p))] = "\"\\{}[],:0-.e\n\x00\x80é"[r.IntN(16)]
			}
			at := len(page) - len(p) - round%65
			text := page[at : at+len(p)]
			copy(text, p)
			const canary = 0xdeadbeef
			room := 1 + r.IntN(80)
			found := slices.Repeat([]shapeValue{{offset: canary}}, room+1)
			want := slices.Clone(found)
			var got, twin shapeState
			readShapes(text, 1000, f.shapes.nodes, found[:room], &got)
			readShapesGeneric(text, 1000, f.shapes.nodes, want[:room], &twin)
			if !utf8.Valid(text[:got.done]) { // the twin stops there, kernels leave it to their caller
				if got.high == 0 {
					t.Fatalf("%q: bytes from 0x80 up not noticed", text[:got.done])
				}
				continue
			}
			// Kernels that read many bytes at a time may stop a line earlier, close to the end.
			if got.done > twin.done || got.rows > twin.rows || got.values > twin.values {
				t.Fatalf("%q: %+v, twin %+v", text, got, twin)
			}
			if next := text[got.done:twin.done]; len(next) > 0 && int(twin.done) < len(text)-4*shapePadding &&
				!bytes.Contains(next, []byte(`\ud83d`)) && !longDigits(next) { // what they leave to the portable code
				t.Fatalf("%q: stopped at %d, twin at %d", text, got.done, twin.done)
			}
			if !slices.Equal(found[:got.values], want[:got.values]) {
				t.Fatalf("%q: %+v, twin %+v", text, found[:got.values], want[:got.values])
			}
			if simd.Active() != simd.Generic && got.high == 0 && slices.ContainsFunc(text[:got.done], func(c byte) bool { return c >= 0x80 }) {
				t.Fatalf("%q: bytes from 0x80 up not noticed", text[:got.done])
			}
			if found[room].offset != canary {
				t.Fatalf("%q: wrote behind its buffer", text)
			}
			read += int(got.rows)
		}
		if read < 2_000 {
			t.Fatalf("only %d lines were read by shape", read)
		}
	})
}

// longDigits reports whether b holds 16 consecutive digits, which kernels leave to the portable
// code.
func longDigits(b []byte) bool {
	run := 0
	for _, c := range b {
		if run++; !isDigit(c) {
			run = 0
		}
		if run >= 16 {
			return true
		}
	}
	return false
}
