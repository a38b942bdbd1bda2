package hctr2

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/velonym/velonym/engine/kernel/internal/structured"
	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestSealMixedRows compares rows of mixed values with the twin, among them empty ones, values that
// no kernel supports, and text beyond ASCII.
func TestSealMixedRows(t *testing.T) {
	simdtest.Alone(t)
	c := testCipher(t, 3, 1, 2, 16)
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 3))
		var taken int
		for round := range 600 {
			n := []int{0, 1, 15, 16, 17, 32, 33, 64, 80, 200, 1000, 1024}[r.IntN(12)]
			longest := []int{0, 15, 40, 16*maxBlocks - 1}[r.IntN(4)]
			a, takes := &structured.Arena{}, true
			for range n {
				v := bytes.Repeat([]byte{'a' + byte(r.IntN(26))}, r.IntN(longest+1))
				m := len(v)/16 + 1
				switch {
				case r.IntN(3000) == 0:
					v, takes = make([]byte, 16*maxBlocks+r.IntN(70000)), false
				case r.IntN(3000) == 0 && m > 1:
					v[r.IntN(len(v))], takes = []byte{0x80, 0x1f, 0x7f, 0xc3, 0xff}[r.IntN(5)], false
				case r.IntN(3000) == 0 && m == 1 && len(v) > 0:
					v[r.IntN(len(v))], takes = 0x1f, false
				}
				a.Add(v)
			}
			a.Guard(t, r.IntN(40))
			f := framings[r.IntN(len(framings))]
			w := textform.NewWriter(allForms[r.IntN(4)], r.IntN(12), f[0], f[1])
			rows, intact := withCanary(n*(32*maxBlocks+16) + 8)
			out := make([]uint32, 2*n)
			start := bytes.Clone(rows)
			rows, ok := c.SealMixedRows(w, rows, a.Src, a.Spans, out)
			if takes = takes && len(f[0]) <= 4; !intact() || ok != takes {
				t.Fatalf("round %d: ok %v, want %v", round, ok, takes)
			}
			if !ok {
				if !bytes.Equal(rows, start) {
					t.Fatalf("round %d: rows of values that were refused", round)
				}
				continue
			}
			taken++
			want := start
			for i := range n {
				want = append(want, f[0]...)
				l := a.Spans[2*i+1]
				m := int(l/16 + 1)
				chars := w.Form().EncodedLen(16 * m)
				if l == 0 {
					chars = 0
				}
				if int(out[2*i]) != len(want) || int(out[2*i+1]) != chars {
					t.Fatalf("round %d: value %d: out has %d, %d", round, i, out[2*i], out[2*i+1])
				}
				if l > 0 {
					want = append(want, make([]byte, chars)...)
					c.sealBlocksAtGeneric(w, m, want, []uint32{uint32(len(want) - chars)}, a.Src, a.Spans[2*i:2*i+2])
				}
				want = append(want, f[1]...)
			}
			if !bytes.Equal(rows, want) {
				t.Fatalf("round %d: %s %q, %d values up to %d bytes\n%q\n%q", round, w.Form(), f, n, longest, tail(rows), tail(want))
			}
		}
		if taken < 200 {
			t.Fatalf("only %d rounds were not refused", taken)
		}
	})
}

// TestSealMixedAt compares values at given offsets with rows, which TestSealMixedRows checks.
func TestSealMixedAt(t *testing.T) {
	simdtest.Alone(t)
	c := testCipher(t, 3, 1, 2, 16)
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 4))
		for round := range 200 {
			n := []int{0, 1, 15, 16, 17, 200, 1024}[r.IntN(7)]
			longest := []int{0, 15, 40, 16*maxBlocks - 1}[r.IntN(4)]
			a := &structured.Arena{}
			for range n {
				a.Add(bytes.Repeat([]byte{'a' + byte(r.IntN(26))}, r.IntN(longest+1)))
			}
			bad := n > 0 && round%5 == 0
			if bad {
				a.Add([][]byte{make([]byte, 16*maxBlocks), {0xff}, append(make([]byte, 16), 'a')}[r.IntN(3)])
				n = min(n+1, MixedMost)
				a.Spans = a.Spans[len(a.Spans)-2*n:]
			}
			a.Guard(t, r.IntN(40))
			w := textform.NewWriter(allForms[r.IntN(4)], r.IntN(12), "", "")
			rows, at, out := make([]byte, 0, n*32*maxBlocks), make([]uint32, n), make([]uint32, 2*n)
			want, _ := c.SealMixedRows(w, rows, a.Src, a.Spans, out)
			gap := uint32(3)
			for i := range at {
				at[i] = out[2*i] + uint32(i+1)*gap
			}
			dst := bytes.Repeat([]byte{1}, n*(32*maxBlocks+int(gap))+3)
			texts := slices.Clone(out)
			ok := c.SealMixedAt(w, dst, at, a.Src, a.Spans, out)
			if ok == bad {
				t.Fatalf("round %d: ok %v", round, ok)
			}
			if bad {
				continue
			}
			end := uint32(0)
			for i := range at {
				off, l := out[2*i], out[2*i+1]
				if off != at[i] || l != texts[2*i+1] || !bytes.Equal(dst[off:off+l], want[texts[2*i]:][:l]) || bytes.Count(dst[end:off], []byte{1}) != int(off-end) {
					t.Fatalf("round %d: %s, value %d of %d differs from its row", round, w.Form(), i, n)
				}
				end = off + l
			}
			if bytes.Count(dst[end:], []byte{1}) != len(dst)-int(end) {
				t.Fatalf("round %d: wrote behind the last text", round)
			}
		}
	})
}
