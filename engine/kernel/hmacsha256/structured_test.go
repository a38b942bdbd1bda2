package hmacsha256

import (
	"runtime"
	"testing"

	"github.com/velonym/velonym/engine/kernel/internal/structured"
	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestStructured runs SumRows over values whose shape changes.
func TestStructured(t *testing.T) {
	simdtest.Alone(t)
	structured.Run(t, ops(t), pathsOf)
}

// pathsOf are the paths that a tier must take.
func pathsOf(tier string) map[string]*simd.Path {
	all := map[string]*simd.Path{"streams": &paths.streams, "long": &paths.long}
	switch tier {
	case "generic":
		return nil
	case "avx512":
		all["alike"], all["sorted"] = &paths.alike, &paths.sorted
	}
	if runtime.GOARCH == "amd64" && !simd.SHA() {
		delete(all, "streams")
		if tier == "avx2" {
			delete(all, "long")
		}
	}
	return all
}

func ops(t *testing.T) (ops []*structured.Op) {
	h, err := New(&[32]byte{4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Release)
	borders := []int{0, 64, 512, 1024}
	w := textform.NewWriter(textform.Pair62, 4, "", "\n")
	for _, base := range []structured.Shape{structured.Digits(13), structured.Digits(20)} {
		ops = append(ops, &structured.Op{
			Name: "SumRows", Base: base, Borders: borders,
			Changes: []structured.Shape{structured.Digits(15), structured.Digits(16), structured.Digits(54), structured.Digits(55), structured.Digits(56), structured.Digits(119), structured.Digits(120), structured.Digits(700), structured.ShapeOf("empty", structured.Same("")), structured.ShapeOf("bytes", structured.Same("\xff\x00"))},
			Twin: func(v []byte) ([]byte, bool) {
				if len(v) == 0 {
					return nil, false
				}
				var sum [16]byte
				sumGeneric(h.k, sum[:], v, []uint32{0, uint32(len(v))}, nil)
				x := make([]byte, 32)
				textform.Pair62.Encode(x, sum[:], 4)
				return x, true
			},
			Run: func(a *structured.Arena, r *structured.Results) {
				r.Pre, r.Post, r.Framed = w.Pre(), w.Post(), true
				r.Stepwise(a, func(spans, out []uint32) (n int) {
					r.Dst, n = h.SumRows(w, r.Dst, a.Src, spans, nil, out)
					return n
				})
			},
		})
	}
	return ops
}
