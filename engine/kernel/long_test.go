package kernel

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
)

func TestSealBlocksAt(t *testing.T) {
	c := testCipher(t, 3, 1, 2, 16)
	eachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 3))
		for round := range 300 {
			m := 2 + round%(maxBlocks-1)
			n := []int{0, 1, 2, 15, 16, 17, 32, 33, 60, 200}[r.IntN(10)]
			a := &arena{}
			for range n {
				v := make([]byte, 16*(m-1)+r.IntN(16))
				for i := range v {
					v[i] = byte(r.Uint32())
				}
				a.add(v)
			}
			a.guard(t, r.IntN(40))
			w := NewWriter(allForms[r.IntN(4)], r.IntN(12), "", "")
			chars := w.form.EncodedLen(16 * m)
			at, size := make([]uint32, n), 0
			for _, i := range r.Perm(n) {
				size += r.IntN(4)
				at[i] = uint32(size)
				size += chars
			}
			want, got := bytes.Repeat([]byte{1}, size), bytes.Repeat([]byte{1}, size+64)
			c.sealBlocksAtGeneric(w, m, want, at, a.src, a.spans)
			c.SealBlocksAt(w, m, got[:size], at, a.src, a.spans)
			if !bytes.Equal(got[:size], want) || bytes.Count(got[size:], []byte{1}) != 64 {
				t.Fatalf("round %d: %s, %d values of %d blocks", round, w.form, n, m)
			}
		}
	})
}

func TestCryptBlocks(t *testing.T) {
	c := testCipher(t, 3, 1, 2, 16)
	eachKernel(t, func(t *testing.T) {
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
	eachKernelB(b, func(b *testing.B) {
		for _, m := range []int{2, 4, 8, 13} {
			b.Run(fmt.Sprint(m), func(b *testing.B) {
				a := &arena{}
				at := make([]uint32, benchValues)
				for i := range benchValues {
					a.add(bytes.Repeat([]byte{'x'}, 16*m-1-i%16))
					at[i] = uint32(i * 33 * m)
				}
				a.src = append(a.src, make([]byte, 64)...)
				dst := make([]byte, 33*m*benchValues)
				w := NewWriter(Pair62, 0, "", "")
				for b.Loop() {
					c.SealBlocksAt(w, m, dst, at, a.src, a.spans)
				}
				perValue(b, benchValues)
			})
		}
	})
}
