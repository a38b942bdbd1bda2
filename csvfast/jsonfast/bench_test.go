package jsonfast

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/velonym/velonym/internal/simd"
)

// idBody returns {"data":[…]} with n strings, of which odd percent hold escapes or letters beyond
// ASCII.
func idBody(n, odd int, sep string) []byte {
	r := rand.New(rand.NewPCG(1, 7))
	b := []byte(`{"data":[`)
	for i := range n {
		if i > 0 {
			b = append(b, sep...)
		}
		if r.IntN(100) < odd {
			b = append(b, [...]string{`"M\u00fcller \"Zoé\""`, `"a\\b\/c\n"`, `"Zoé Müller 東京"`, `"\ud83d\ude00 id"`}[r.IntN(4)]...)
		} else {
			b = fmt.Appendf(b, `"%013d"`, r.Int64N(9999999999999))
		}
	}
	return append(b, `]}`...)
}

func BenchmarkArray(b *testing.B) {
	for _, shape := range []struct {
		name string
		body []byte
	}{
		{"ids", idBody(1<<20, 0, ",")},
		{"spaced", idBody(1<<20, 0, ", ")},
		{"escapes", idBody(1<<20, 10, ",")},
		{"small", idBody(10, 0, ",")},
	} {
		for _, kernel := range simd.Kernels() {
			b.Run(kernel+"/"+shape.name, func(b *testing.B) {
				simd.Force(kernel)
				defer simd.Force("auto")
				var a Array
				if err := a.Scan(shape.body); err != nil {
					b.Fatal(err)
				}
				b.SetBytes(int64(len(shape.body)))
				b.ReportAllocs()
				for b.Loop() {
					a.Scan(shape.body)
				}
			})
		}
	}
	body := idBody(1<<17, 0, ",")
	b.Run("encodingjson/ids", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			var v struct{ Data []string }
			json.Unmarshal(body, &v)
		}
	})
}

// recordLines returns n lines of about 200 bytes.
func recordLines(n int) []byte {
	r := rand.New(rand.NewPCG(2, 7))
	names := []string{"Anna", "Luc", "Marie", "Jean", "Sofia", "Tom", "Inès", "Zoé", "José", "Paul"}
	var b []byte
	for i := range n {
		b = fmt.Appendf(b, `{"id":%d,"patient":{"id":"%013d","name":"%s %s","sex":"%c"},"visit":"20%02d-%02d-%02d","ward":"%c%d","weight":%.1f,"smoker":%t,"note":"%s"}`+"\n",
			i, r.Int64N(9999999999999), names[r.IntN(10)], names[r.IntN(10)], "FM"[r.IntN(2)], r.IntN(26), 1+r.IntN(12), 1+r.IntN(28), 'A'+byte(r.IntN(6)), r.IntN(40),
			40+float64(r.IntN(800))/10, r.IntN(4) == 0, "no further symptoms after treatment, dose was reduced to half"[:r.IntN(60)])
	}
	return b
}

func BenchmarkPathFinder(b *testing.B) {
	body := recordLines(1 << 18)
	for _, kernel := range simd.Kernels() {
		b.Run(kernel, func(b *testing.B) {
			simd.Force(kernel)
			defer simd.Force("auto")
			f, _ := NewPathFinder([]string{"patient.id"})
			if err := f.Scan(body); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				f.Scan(body)
			}
		})
	}
	b.Run("lines", func(b *testing.B) {
		f, _ := NewPathFinder([]string{"patient.id"})
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			f.Scan(nil)
			for i := 0; i < len(body); {
				end := i + bytes.IndexByte(body[i:], '\n')
				f.shapes.seen = f.shapes.seen[:0]
				f.line(body[:end], i)
				i = end + 1
			}
		}
	})
}
