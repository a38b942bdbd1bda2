package hctr2

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/kernel/internal/structured"
	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestStructured runs every operation over values whose shape changes.
func TestStructured(t *testing.T) {
	simdtest.Alone(t)
	structured.Run(t, slices.Concat(oneBlockOps(t), multiBlockOps(t)), pathsOf, structuredBlocks)
}

// pathsOf are the paths that a tier must take.
func pathsOf(tier string) map[string]*simd.Path {
	p := &paths
	mixed := map[string]*simd.Path{"mixed alike": &p.mixedAlike, "mixed sorted": &p.mixedSorted}
	staged := map[string]*simd.Path{"mixed alike": &p.mixedAlike, "mixed sorted": &p.mixedSorted, "read blocks": &p.readBlocks, "read each": &p.readEach, "write rows": &p.writeRows}
	switch tier {
	case "avx512":
		return map[string]*simd.Path{
			"rows": &p.rows, "rows group": &p.rowsGroup, "at": &p.at, "at group": &p.atGroup, "open": &p.open, "translate": &p.translate,
			"multi-block": &p.multiBlock, "multi-block filled": &p.multiBlockFilled, "multi-block copied": &p.multiBlockCopied,
			"multi-block rows": &p.multiBlockRows, "mixed": &p.mixed, "crypt whole": &p.cryptWhole, "crypt tail": &p.cryptTail,
			"read blocks": &p.readBlocks, "read each": &p.readEach, "write rows": &p.writeRows, "mixed alike": &p.mixedAlike, "mixed sorted": &p.mixedSorted,
		}
	case "avx2":
		staged["fused"] = &p.fused
	case "arm64":
	default:
		return mixed
	}
	staged["gather"], staged["gather copied"], staged["write tail"] = &p.gather, &p.gatherCopied, &p.writeTail
	return staged
}

// oneBlockOps returns the operations on one-block values. It is one function since they share their
// values and keys.
func oneBlockOps(t *testing.T) (ops []*structured.Op) {
	c, to := testCipher(t, 3), testCipher(t, 7)
	values := []structured.Shape{
		structured.Digits(1), structured.Digits(15), structured.Digits(16), structured.Digits(40),
		structured.ShapeOf("empty", structured.Same("")),
		structured.ShapeOf("other letters", structured.Same("Zoë Ångström")),
		structured.ShapeOf("cut letters", structured.Same("Zo\xc3")),
		structured.ShapeOf("controls", func(i int) string { return "0123456\x1f"[i:] }),
		structured.ShapeOf("deletes", structured.Same("01234567890\x7f")),
	}
	borders := []int{0, 64, 512, 1024}
	for i, f := range allForms {
		frame := framings[i%4]
		w := textform.NewWriter(f, 3+i, frame[0], frame[1])
		twin := func(v []byte) ([]byte, bool) {
			rows, n := c.sealRowsGeneric(w, make([]byte, 0, w.Stride()), v, []uint32{0, uint32(len(v))}, make([]uint32, 2))
			if n == 0 {
				return nil, false
			}
			return rows[len(w.Pre()):][:w.Chars()], true
		}
		ops = append(ops, &structured.Op{
			Name: "SealRows " + f.String(), Base: structured.Digits(13), Changes: values, Borders: borders, Twin: twin,
			Run: func(a *structured.Arena, r *structured.Results) {
				r.Pre, r.Post, r.Framed = w.Pre(), w.Post(), true
				r.Tight(a, w.Stride())
				r.Stepwise(a, func(spans, out []uint32) (n int) {
					r.Dst, n = c.SealRows(w, r.Dst, a.Src, spans, out)
					return n
				})
			},
		}, &structured.Op{
			Name: "SealAt " + f.String(), Base: structured.Digits(13), Changes: values, Borders: borders, Twin: twin,
			Run: func(a *structured.Arena, r *structured.Results) {
				n := len(a.Spans) / 2
				r.Framed, r.Dst = false, slices.Grow(r.Dst[:0], n*(w.Chars()+3))[:n*(w.Chars()+3)]
				at := make([]uint32, n)
				for i := range at {
					at[i] = uint32((n - 1 - i) * (w.Chars() + 3))
					r.Out[2*i], r.Out[2*i+1] = at[i], uint32(w.Chars())
				}
				r.Stepwise(a, func(spans, _ []uint32) int {
					return c.SealAt(w, r.Dst, at[n-len(spans)/2:], a.Src, spans)
				})
			},
		})
		seal := func(gen int, v structured.Shape, change func(x []byte) []byte) structured.Shape {
			w := textform.NewWriter(f, gen, "", "")
			s := structured.Shape{Name: fmt.Sprint("pseudonyms of ", v.Name, " of generation ", gen)}
			for i, v := range v.Values {
				s.Values[i], _ = c.sealRowsGeneric(w, make([]byte, 0, w.Stride()), v, []uint32{0, uint32(len(v))}, make([]uint32, 2))
				if change != nil {
					s.Values[i] = change(s.Values[i])
					s.Name += " changed"
				}
			}
			return s
		}
		gen := w.Gen()
		texts := []structured.Shape{
			seal(gen, structured.Digits(1), nil), seal(gen, structured.Digits(15), nil), seal(gen+1, structured.Digits(13), nil), seal(gen, values[5], nil),
			seal(gen, structured.Digits(13), func(x []byte) []byte { return x[:len(x)-2] }),
			seal(gen, structured.Digits(13), func(x []byte) []byte { return append(x, x...) }),
			seal(gen, structured.Digits(13), func(x []byte) []byte { x[len(x)-1] = '_'; return x }),
			seal(gen, structured.Digits(13), func(x []byte) []byte { x[1], x[3] = x[3], x[1]; return x }),
			values[4], structured.Digits(13), structured.Digits(w.Chars()),
		}
		if f != textform.Hex {
			x := structured.Shape{Name: "pseudonyms in hex"}
			hex := textform.NewWriter(textform.Hex, 0, "", "")
			for i, v := range structured.Digits(13).Values {
				x.Values[i], _ = c.sealRowsGeneric(hex, make([]byte, 0, 32), v, []uint32{0, 13}, make([]uint32, 2))
			}
			texts = append(texts, x)
		}
		frame = framings[(2*i+2)%5]
		r := textform.NewReader(f, gen)
		target := textform.NewWriter(allForms[(i*2+1)%5], 2, frame[1], "")
		one := func(x []byte) ([]byte, bool) {
			rows, n := c.openRowsGeneric(r, "", "", nil, x, []uint32{0, uint32(len(x))}, make([]uint32, 2))
			return rows, n == 1
		}
		ops = append(ops, &structured.Op{
			Name: "OpenRows " + f.String(), Base: seal(gen, structured.Digits(13), nil), Changes: texts, Borders: borders, Twin: one,
			Run: func(a *structured.Arena, res *structured.Results) {
				res.Pre, res.Post, res.Framed = frame[0], frame[1], true
				res.Tight(a, 15+len(frame[0])+len(frame[1]))
				res.Stepwise(a, func(spans, out []uint32) (n int) {
					res.Dst, n = c.OpenRows(r, frame[0], frame[1], res.Dst, a.Src, spans, out)
					return n
				})
			},
		}, &structured.Op{
			Name: "TranslateRows " + f.String() + target.Form().String(), Base: seal(gen, structured.Digits(13), nil), Changes: texts, Borders: borders,
			Twin: func(x []byte) ([]byte, bool) {
				rows, n := c.translateRowsGeneric(r, to, target, make([]byte, 0, target.Stride()), x, []uint32{0, uint32(len(x))}, make([]uint32, 2))
				if n == 0 {
					return nil, false
				}
				return rows[len(target.Pre()):][:target.Chars()], true
			},
			Run: func(a *structured.Arena, res *structured.Results) {
				res.Pre, res.Post, res.Framed = target.Pre(), target.Post(), true
				res.Tight(a, target.Stride())
				res.Stepwise(a, func(spans, out []uint32) (n int) {
					res.Dst, n = c.TranslateRows(r, to, target, res.Dst, a.Src, spans, out)
					return n
				})
			},
		})
	}
	return ops
}

func multiBlockOps(t *testing.T) (ops []*structured.Op) {
	c := testCipher(t, 5, 1, 2, 16)
	twin := func(w *textform.Writer) func(v []byte) ([]byte, bool) {
		return func(v []byte) ([]byte, bool) {
			m := len(v)/16 + 1
			if m > maxBlocks {
				return nil, false
			}
			if len(v) == 0 {
				return nil, true
			}
			if m == 1 && !textform.IsText(v) {
				return nil, false
			}
			x := make([]byte, w.Form().EncodedLen(16*m))
			c.sealBlocksAtGeneric(w, m, x, []uint32{0}, v, []uint32{0, uint32(len(v))})
			return x, true
		}
	}
	letters := func(n int) structured.Shape {
		return structured.ShapeOf(fmt.Sprint(n, " letters"), func(i int) string { return strings.Repeat("Ångström "[i%3:], n/5)[:n-i%3] })
	}
	for i, m := range []int{2, 3, 9, 17} {
		w := textform.NewWriter([]textform.Form{textform.Pair62, textform.Hex}[i%2], i, framings[i][0], framings[i][1])
		others := []structured.Shape{structured.Digits(16*m - 1), structured.Digits(16 * m), structured.Digits(16*m - 17), structured.Digits(1), structured.ShapeOf("empty", structured.Same("")), letters(16*m - 10)}
		ops = append(ops, &structured.Op{
			Name: fmt.Sprint("SealBlocksRows ", m), Base: structured.Digits(16*m - 16), Changes: others, Borders: []int{0, 64, 512}, Lazy: true, Twin: twin(w),
			Run: func(a *structured.Arena, r *structured.Results) {
				r.Pre, r.Post, r.Framed = w.Pre(), w.Post(), true
				at := make([]uint32, len(a.Spans)/2)
				r.Stepwise(a, func(spans, out []uint32) (n int) {
					var plain bool
					r.Dst, n, plain = c.SealBlocksRows(w, m, r.Dst, a.Src, spans, out, at)
					for i := 0; plain && i < n; i++ {
						if !isASCIIText(a.Src[spans[2*i]:][:spans[2*i+1]]) {
							t.Fatalf("SealBlocksRows reports letters beyond ASCII as plain")
						}
					}
					return n
				})
			},
		})
		for _, f := range []textform.Form{w.Form(), textform.B32} {
			w := textform.NewWriter(f, i, "", "")
			ops = append(ops, &structured.Op{
				Name: fmt.Sprint("SealBlocksAt ", m, f), Base: structured.Digits(16*m - 16), Changes: []structured.Shape{others[0], letters(16*m - 10)}, Borders: []int{0, 64}, Twin: twin(w),
				Run: func(a *structured.Arena, r *structured.Results) {
					n, chars := len(a.Spans)/2, f.EncodedLen(16*m)
					r.Framed, r.Dst = false, slices.Grow(r.Dst[:0], n*chars)[:n*chars]
					at := make([]uint32, n)
					texts := true
					for i := range at {
						at[i] = uint32((n - 1 - i) * chars)
						r.Out[2*i], r.Out[2*i+1] = at[i], uint32(chars)
						texts = texts && a.Value(i)[0] < 0x80 && textform.IsText(a.Value(i)) && len(bytes.Trim(a.Value(i), "0123456789")) == 0
					}
					if c.SealBlocksAt(w, m, r.Dst, at, a.Src, a.Spans) && !texts {
						t.Fatalf("SealBlocksAt reports letters beyond ASCII as plain")
					}
				},
			})
		}
		ops = append(ops, mixedOp(t, c, w, twin(w), structured.Digits(16*m-16), append(others, structured.Digits(270), structured.Digits(272), structured.ShapeOf("controls", structured.Same("a\x01")))))
	}
	return append(ops, mixedOp(t, c, textform.NewWriter(textform.Pair62, 2, `"`, `",`), twin(textform.NewWriter(textform.Pair62, 2, "", "")), structured.Digits(13),
		[]structured.Shape{structured.Digits(15), structured.Digits(16), structured.ShapeOf("empty", structured.Same("")), structured.Digits(271), letters(13), structured.ShapeOf("controls", structured.Same("a\x01"))}))
}

// mixedOp returns the operation SealMixedRows, which processes all values or none.
func mixedOp(t *testing.T, c *Cipher, w *textform.Writer, twin func(v []byte) ([]byte, bool), base structured.Shape, changes []structured.Shape) *structured.Op {
	changes = append(changes, structured.ShapeOf("controls behind a block", structured.Same("twenty characters...\x01")))
	return &structured.Op{
		Name: "SealMixedRows, most of " + base.Name, Base: base, Changes: changes, Borders: []int{0, 64, 512, 1024}, Lazy: true, Twin: twin,
		Run: func(a *structured.Arena, r *structured.Results) {
			r.Pre, r.Post, r.Framed = w.Pre(), w.Post(), true
			n := len(a.Spans) / 2
			for from := 0; from < n; from += MixedMost {
				to := min(n, from+MixedMost)
				inGo := paths.mixedAlike.Taken() + paths.mixedSorted.Taken()
				rows, ok := c.SealMixedRows(w, r.Dst, a.Src, a.Spans[2*from:2*to], r.Out[2*from:2*to])
				if ok {
					r.Dst = rows
				}
				takes := true
				for i := from; i < to; i++ {
					v := a.Value(i)
					r.Left[i] = !ok
					takes = takes && len(v) < 16*maxBlocks && textform.IsText(v)
				}
				if ok != takes {
					t.Fatalf("SealMixedRows of %d values: %v, want %v", to-from, ok, takes)
				}
				inGo = paths.mixedAlike.Taken() + paths.mixedSorted.Taken() - inGo
				if wide := simd.Kernel() == "avx512" && to-from >= 16 && cap(a.Src)-len(a.Src) >= 16; ok && inGo == 0 != wide && !(inGo == 0 && cap(a.Src)-len(a.Src) < 16) {
					t.Fatalf("SealMixedRows of %d values: laid out in Go %d times", to-from, inGo)
				}
			}
		},
	}
}

func isASCIIText(v []byte) bool {
	return !slices.ContainsFunc(v, func(b byte) bool { return b >= 0x80 }) && textform.IsText(v)
}

// structuredBlocks checks CryptBlocks for one message and up to more than a round processes.
func structuredBlocks(t *testing.T, step int) {
	c := testCipher(t, 9, 1, 1, 8)
	for m := 1; m <= maxBlocks; m += 1 + step/2 {
		for n := 1; n <= 70; n++ {
			msgs := make([]byte, 16*m*n)
			for i := range msgs {
				msgs[i] = byte(i*7 + i/255)
			}
			want := bytes.Clone(msgs)
			c.cryptBlocksGeneric(m, want, false)
			got := bytes.Clone(msgs)
			if c.CryptBlocks(m, got, false); !bytes.Equal(got, want) {
				t.Fatalf("%d messages of %d blocks: wrong ciphertexts", n, m)
			}
			if c.CryptBlocks(m, got, true); !bytes.Equal(got, msgs) {
				t.Fatalf("%d messages of %d blocks: wrong plaintexts", n, m)
			}
		}
	}
}
