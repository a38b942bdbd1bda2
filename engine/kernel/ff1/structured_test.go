package ff1

import (
	"fmt"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/kernel/internal/structured"
	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestStructured runs encryption and decryption over values whose shape changes.
func TestStructured(t *testing.T) {
	simdtest.Alone(t)
	structured.Run(t, ops(t), pathsOf)
}

// pathsOf are the paths that a tier must take.
func pathsOf(tier string) map[string]*simd.Path {
	all := map[string]*simd.Path{"closed up": &paths.closedUp}
	if tier == "generic" {
		return all
	}
	all["alike"], all["sorted"], all["rounds"], all["pairs"] = &paths.alike, &paths.sorted, &paths.rounds, &paths.pairs
	if tier == "avx512" {
		all["whole"], all["mixed"] = &paths.whole, &paths.mixed
	}
	return all
}

func ops(t *testing.T) (ops []*structured.Op) {
	borders := []int{0, 64, 512, 1024}
	for _, alphabet := range []string{"0123456789", base62} {
		f, err := New(&[32]byte{6}, alphabet)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.Release)
		for _, dec := range []bool{false, true} {
			call := f.EncryptRows
			if dec {
				call = f.DecryptRows
			}
			ops = append(ops, &structured.Op{
				Name: fmt.Sprint("FF1 of ", len(alphabet), dec), Base: structured.Digits(13), Borders: borders,
				Changes: []structured.Shape{structured.Digits(12), structured.Digits(5), structured.Digits(2), structured.Digits(16), structured.Digits(17), structured.Digits(33), structured.Digits(40), structured.Digits(70), structured.Digits(257), structured.ShapeOf("empty", structured.Same("")),
					structured.ShapeOf("70 with another", structured.Same(strings.Repeat("0123456789", 6)+"012345678-")),
					structured.ShapeOf("13 with another", func(i int) string { return "0123456789012"[:i] + "-" + "0123456789012"[i+1:] })},
				Twin: func(v []byte) ([]byte, bool) {
					if len(v) == 0 {
						return nil, true
					}
					x := make([]byte, len(v))
					bad := f.generic(x, []uint32{0}, v, []uint32{0, uint32(len(v))}, nil, dec)
					return x, len(bad) == 0
				},
				Run: func(a *structured.Arena, r *structured.Results) {
					var bad []Error
					r.Framed, r.Dst = false, r.Dst[:0]
					r.Dst, bad = call(`"`, `",`, r.Dst, a.Src, a.Spans, r.Out, nil)
					for _, e := range bad {
						r.Left[e.Index] = true
					}
					// The rows of refused values consist of the framing.
					end := 0
					for i := range r.Left {
						off, n := int(r.Out[2*i]), int(r.Out[2*i+1])
						if off != end+1 || r.Dst[end] != '"' || string(r.Dst[off+n:off+n+2]) != `",` || r.Left[i] && n != 0 {
							t.Fatalf("FF1 rows: value %d of %d bytes is at offset %d", i, n, off)
						}
						end = off + n + 2
					}
					if end != len(r.Dst) {
						t.Fatalf("FF1 rows: %d bytes, want %d", len(r.Dst), end)
					}
				},
			})
		}
	}
	return ops
}
