package hctr2

import (
	"math/rand/v2"
	"testing"

	"github.com/velonym/velonym/engine/kernel/internal/structured"
	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// digits13 returns n values of 13 digits, with 64 bytes of padding after them.
func digits13(n int) *structured.Arena {
	r := rand.New(rand.NewPCG(1, 1))
	a := &structured.Arena{}
	for range n {
		v := make([]byte, 13)
		for i := range v {
			v[i] = byte('0' + r.IntN(10))
		}
		a.Add(v)
		a.Src = append(a.Src, '\n')
	}
	a.Src = append(a.Src, make([]byte, 64)...)[:len(a.Src)]
	return a
}

const benchValues = 1024

func perValue(b *testing.B, n int) {
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
}

func BenchmarkSealRows(b *testing.B) {
	c := testCipher(b, 1)
	simdtest.EachKernelB(b, func(b *testing.B) {
		for _, f := range allForms {
			b.Run(f.String(), func(b *testing.B) {
				a := digits13(benchValues)
				w := textform.NewWriter(f, 0, `"`, `",`)
				out := make([]uint32, 2*benchValues)
				var dst []byte
				for b.Loop() {
					var n int
					if dst, n = c.SealRows(w, dst[:0], a.Src, a.Spans, out); n != benchValues {
						b.Fatal(n)
					}
				}
				perValue(b, benchValues)
			})
		}
	})
}

func BenchmarkSealAt(b *testing.B) {
	c := testCipher(b, 1)
	simdtest.EachKernelB(b, func(b *testing.B) {
		a := digits13(benchValues)
		w := textform.NewWriter(textform.Pair62, 0, "", "")
		at := make([]uint32, benchValues)
		for i := range at {
			at[i] = uint32(90 * i)
		}
		dst := make([]byte, 90*benchValues)
		for b.Loop() {
			if n := c.SealAt(w, dst, at, a.Src, a.Spans); n != benchValues {
				b.Fatal(n)
			}
		}
		perValue(b, benchValues)
	})
}

func BenchmarkOpenRows(b *testing.B) {
	c := testCipher(b, 1)
	simdtest.EachKernelB(b, func(b *testing.B) {
		a := pseudonymsOf(b, c)
		rd := textform.NewReader(textform.Pair62, 0)
		out := make([]uint32, 2*benchValues)
		var dst []byte
		for b.Loop() {
			var n int
			if dst, n = c.OpenRows(rd, `"`, `",`, dst[:0], a.Src, a.Spans, out); n != benchValues {
				b.Fatal(n)
			}
		}
		perValue(b, benchValues)
	})
}

func pseudonymsOf(b *testing.B, c *Cipher) *structured.Arena {
	v := digits13(benchValues)
	out := make([]uint32, 2*benchValues)
	src, n := c.SealRows(textform.NewWriter(textform.Pair62, 0, `"`, `",`), nil, v.Src, v.Spans, out)
	if n != benchValues {
		b.Fatal(n)
	}
	return &structured.Arena{Src: src, Spans: out}
}

func BenchmarkTranslateRows(b *testing.B) {
	c, to := testCipher(b, 1), testCipher(b, 2)
	simdtest.EachKernelB(b, func(b *testing.B) {
		a := pseudonymsOf(b, c)
		rd, w := textform.NewReader(textform.Pair62, 0), textform.NewWriter(textform.Pair62, 0, `"`, `",`)
		out := make([]uint32, 2*benchValues)
		var dst []byte
		for b.Loop() {
			var n int
			if dst, n = c.TranslateRows(rd, to, w, dst[:0], a.Src, a.Spans, out); n != benchValues {
				b.Fatal(n)
			}
		}
		perValue(b, benchValues)
	})
}
