package hctr2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/velonym/velonym/engine/kernel/internal/structured"
	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

func TestSealBlocksAt(t *testing.T) {
	c := testCipher(t, 3, 1, 2, 16)
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 3))
		for round := range 300 {
			m := 2 + round%(maxBlocks-1)
			n := []int{0, 1, 2, 15, 16, 17, 32, 33, 60, 200}[r.IntN(10)]
			a := &structured.Arena{}
			for range n {
				v := make([]byte, 16*(m-1)+r.IntN(16))
				for i := range v {
					v[i] = byte(r.Uint32())
				}
				a.Add(v)
			}
			a.Guard(t, r.IntN(40))
			w := textform.NewWriter(allForms[r.IntN(4)], r.IntN(12), "", "")
			chars := w.Form().EncodedLen(16 * m)
			at, size := make([]uint32, n), 0
			for _, i := range r.Perm(n) {
				size += r.IntN(4)
				at[i] = uint32(size)
				size += chars
			}
			want, got := bytes.Repeat([]byte{1}, size), bytes.Repeat([]byte{1}, size+64)
			c.sealBlocksAtGeneric(w, m, want, at, a.Src, a.Spans)
			c.SealBlocksAt(w, m, got[:size], at, a.Src, a.Spans)
			if !bytes.Equal(got[:size], want) || bytes.Count(got[size:], []byte{1}) != 64 {
				t.Fatalf("round %d: %s, %d values of %d blocks", round, w.Form(), n, m)
			}
		}
	})
}

func TestSealBlocksRows(t *testing.T) {
	c := testCipher(t, 3, 1, 2, 16)
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(6, 3))
		for round := range 300 {
			m := 2 + round%(maxBlocks-1)
			n := []int{0, 1, 15, 16, 17, 32, 33, 64, 80, 200}[r.IntN(10)]
			a := &structured.Arena{}
			texts, stop := true, n
			for i := range n {
				v := bytes.Repeat([]byte{'a' + byte(i%26)}, 16*(m-1)+r.IntN(16))
				if r.IntN(300) == 0 {
					v[r.IntN(len(v))], texts = byte(r.Uint32())|0x80, false
				}
				if r.IntN(300) == 0 {
					v = make([]byte, r.IntN(300))
					if len(v)/16 != m-1 {
						stop = min(stop, i)
					}
				}
				a.Add(v)
			}
			a.Guard(t, r.IntN(40))
			f := framings[r.IntN(len(framings))]
			w := textform.NewWriter(allForms[r.IntN(4)], r.IntN(12), f[0], f[1])
			dst, intact := withCanary(n*(32*m+8) + 8)
			out, at := make([]uint32, 2*n), make([]uint32, n)
			rows, did, plain := c.SealBlocksRows(w, m, dst, a.Src, a.Spans, out, at)
			if did > stop || !intact() || plain && did == n && !texts {
				t.Fatalf("round %d: did %d of %d, plain %v", round, did, stop, plain)
			}
			if w.Form() <= textform.Hex && simd.Kernel() == "avx512" && stop >= 48 && did < 16 && len(f[0]) <= 4 {
				t.Fatalf("round %d: did %d of %d", round, did, stop)
			}
			chars := w.Form().EncodedLen(16 * m)
			want := bytes.Repeat([]byte{0xC5}, 10)
			for i := range did {
				want = append(want, f[0]...)
				if int(out[2*i]) != len(want) || int(out[2*i+1]) != chars {
					t.Fatalf("round %d: value %d is said to be at %d, %d", round, i, out[2*i], out[2*i+1])
				}
				want = append(want, make([]byte, chars)...)
				c.sealBlocksAtGeneric(w, m, want, []uint32{uint32(len(want) - chars)}, a.Src, a.Spans[2*i:2*i+2])
				want = append(want, f[1]...)
			}
			if !bytes.Equal(rows, want) {
				t.Fatalf("round %d: %s %q, %d values of %d blocks\n%q\n%q", round, w.Form(), f, did, m, tail(rows), tail(want))
			}
		}
	})
}

// TestSealMixedRows holds rows of mixed values, empty ones among them, against the twin,
// with values that no kernel takes and bytes that are no ASCII strewn in.
func TestSealMixedRows(t *testing.T) {
	c := testCipher(t, 3, 1, 2, 16)
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 3))
		var kernels int
		for round := range 600 {
			n := []int{0, 1, 15, 16, 17, 32, 33, 64, 80, 200, 1000, 1024}[r.IntN(12)]
			longest := []int{0, 15, 40, 16*maxBlocks - 1}[r.IntN(4)]
			a, takes, odd := &structured.Arena{}, true, uint32(0)
			for range n {
				v := bytes.Repeat([]byte{'a' + byte(r.IntN(26))}, r.IntN(longest+1))
				m := len(v)/16 + 1
				switch {
				case r.IntN(3000) == 0:
					v, takes = make([]byte, 16*maxBlocks+r.IntN(70000)), false
				case r.IntN(1000) == 0 && m > 1:
					v[r.IntN(len(v))], odd = []byte{0x80, 0x1f, 0x7f, 0xc3, 0xff}[r.IntN(5)], odd|1<<m
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
			rows, other, ok := c.SealMixedRows(w, rows, a.Src, a.Spans, out)
			if !intact() || ok && !takes {
				t.Fatalf("round %d: ok %v", round, ok)
			}
			if !ok {
				if !bytes.Equal(rows, start) {
					t.Fatalf("round %d: rows of values that were not done", round)
				}
				continue
			}
			kernels++
			if other != odd {
				t.Fatalf("round %d: other %b, want %b", round, other, odd)
			}
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
					t.Fatalf("round %d: value %d is said to be at %d, %d", round, i, out[2*i], out[2*i+1])
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
		if kernels < 20 && simd.Kernel() == "avx512" {
			t.Fatalf("the kernel did %d rounds", kernels)
		}
	})
}

func TestCryptBlocks(t *testing.T) {
	c := testCipher(t, 3, 1, 2, 16)
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 3))
		for round := range 300 {
			m := 1 + round%maxBlocks
			n := []int{0, 1, 2, 15, 16, 17, 32, 33, 60}[r.IntN(9)]
			plain := make([]byte, 16*m*n)
			for i := range plain {
				plain[i] = byte(r.Uint32())
			}
			mem := append(bytes.Clone(plain), bytes.Repeat([]byte{1}, 64)...)
			want := bytes.Clone(plain)
			c.cryptBlocksGeneric(m, want, false)
			c.CryptBlocks(m, mem[:len(plain)], false)
			if !bytes.Equal(mem[:len(plain)], want) || bytes.Count(mem[len(plain):], []byte{1}) != 64 {
				t.Fatalf("%d messages of %d blocks encipher differently", n, m)
			}
			c.CryptBlocks(m, mem[:len(plain)], true)
			if !bytes.Equal(mem[:len(plain)], plain) {
				t.Fatalf("%d messages of %d blocks do not come back", n, m)
			}
		}
	})
}

func BenchmarkSealBlocksAt(b *testing.B) {
	c := testCipher(b, 3)
	simdtest.EachKernelB(b, func(b *testing.B) {
		for _, m := range []int{2, 4, 8, 13} {
			b.Run(fmt.Sprint(m), func(b *testing.B) {
				a := &structured.Arena{}
				at := make([]uint32, benchValues)
				for i := range benchValues {
					a.Add(bytes.Repeat([]byte{'x'}, 16*m-1-i%16))
					at[i] = uint32(i * 33 * m)
				}
				a.Src = append(a.Src, make([]byte, 64)...)
				dst := make([]byte, 33*m*benchValues)
				w := textform.NewWriter(textform.Pair62, 0, "", "")
				for b.Loop() {
					c.SealBlocksAt(w, m, dst, at, a.Src, a.Spans)
				}
				perValue(b, benchValues)
			})
		}
	})
}
