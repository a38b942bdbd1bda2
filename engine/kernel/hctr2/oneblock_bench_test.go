package hctr2

import (
	"math/rand/v2"
	"testing"

	"github.com/velonym/velonym/internal/simd"
)

func eachKernelB(b *testing.B, f func(b *testing.B)) {
	for _, name := range simd.Kernels() {
		b.Run(name, func(b *testing.B) {
			if err := simd.Force(name); err != nil {
				b.Fatal(err)
			}
			defer simd.Force("auto")
			f(b)
		})
	}
}

// digits13 is n values of 13 digits, 64 bytes of slack behind.
func digits13(n int) *arena {
	r := rand.New(rand.NewPCG(1, 1))
	a := &arena{}
	for range n {
		v := make([]byte, 13)
		for i := range v {
			v[i] = byte('0' + r.IntN(10))
		}
		a.add(v)
		a.src = append(a.src, '\n')
	}
	a.src = append(a.src, make([]byte, 64)...)[:len(a.src)]
	return a
}

const benchValues = 1024

func perValue(b *testing.B, n int) {
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
}

func BenchmarkSealRows(b *testing.B) {
	c := testCipher(b, 1)
	eachKernelB(b, func(b *testing.B) {
		for _, f := range allForms {
			b.Run(f.String(), func(b *testing.B) {
				a := digits13(benchValues)
				w := textform.NewWriter(f, 0, `"`, `",`)
				out := make([]uint32, 2*benchValues)
				var dst []byte
				for b.Loop() {
					var n int
					if dst, n = c.SealRows(w, dst[:0], a.src, a.spans, out); n != benchValues {
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
	eachKernelB(b, func(b *testing.B) {
		a := digits13(benchValues)
		w := textform.NewWriter(textform.Pair62, 0, "", "")
		at := make([]uint32, benchValues)
		for i := range at {
			at[i] = uint32(90 * i)
		}
		dst := make([]byte, 90*benchValues)
		for b.Loop() {
			if n := c.SealAt(w, dst, at, a.src, a.spans); n != benchValues {
				b.Fatal(n)
			}
		}
		perValue(b, benchValues)
	})
}

func BenchmarkOpenRows(b *testing.B) {
	c := testCipher(b, 1)
	eachKernelB(b, func(b *testing.B) {
		a := pseudonymsOf(b, c)
		rd := textform.NewReader(textform.Pair62, 0)
		out := make([]uint32, 2*benchValues)
		var dst []byte
		for b.Loop() {
			var n int
			if dst, n = c.OpenRows(rd, `"`, `",`, dst[:0], a.src, a.spans, out); n != benchValues {
				b.Fatal(n)
			}
		}
		perValue(b, benchValues)
	})
}

func pseudonymsOf(b *testing.B, c *Cipher) *arena {
	v := digits13(benchValues)
	out := make([]uint32, 2*benchValues)
	src, n := c.SealRows(textform.NewWriter(textform.Pair62, 0, `"`, `",`), nil, v.src, v.spans, out)
	if n != benchValues {
		b.Fatal(n)
	}
	return &arena{src, out}
}

func BenchmarkTranslateRows(b *testing.B) {
	c, to := testCipher(b, 1), testCipher(b, 2)
	eachKernelB(b, func(b *testing.B) {
		a := pseudonymsOf(b, c)
		rd, w := textform.NewReader(textform.Pair62, 0), textform.NewWriter(textform.Pair62, 0, `"`, `",`)
		out := make([]uint32, 2*benchValues)
		var dst []byte
		for b.Loop() {
			var n int
			if dst, n = c.TranslateRows(rd, to, w, dst[:0], a.src, a.spans, out); n != benchValues {
				b.Fatal(n)
			}
		}
		perValue(b, benchValues)
	})
}
