package csvfast

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
)

// idBody writes {"data":[…]} with n strings; a share of them, in percent, holds
// escapes or letters beyond ASCII.
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

func BenchmarkDataArray(b *testing.B) {
	for _, shape := range []struct {
		name string
		body []byte
	}{
		{"ids", idBody(1<<20, 0, ",")},
		{"spaced", idBody(1<<20, 0, ", ")},
		{"escapes", idBody(1<<20, 10, ",")},
		{"small", idBody(10, 0, ",")},
	} {
		for _, kernel := range Kernels() {
			b.Run(kernel+"/"+shape.name, func(b *testing.B) {
				SetKernel(kernel)
				defer SetKernel("auto")
				var a DataArray
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
