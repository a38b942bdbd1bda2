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

// TestSealBlocksAt compares SealBlocksAt of every tier with the twin.
func TestSealBlocksAt(t *testing.T) {
	simdtest.Alone(t)
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
				t.Fatalf("round %d: %s, %d values of %d blocks: the texts are wrong or bytes after them were overwritten", round, w.Form(), n, m)
			}
		}
	})
}

// TestSealBlocksRows compares SealBlocksRows of every tier with the twin, and checks that it stops
// before a value of another number of blocks.
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

// TestCryptBlocks compares CryptBlocks of every tier with the twin.
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
