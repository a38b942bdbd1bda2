package kernel

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd"
)

// The operations that TestStructured runs.

func oneBlockOps(t *testing.T) (ops []*structured) {
	c, to := testCipher(t, 3), testCipher(t, 7)
	values := []shapes{
		digits(1), digits(15), digits(16), digits(40),
		shapeOf("empty", same("")),
		shapeOf("other letters", same("Zoë Ångström")),
		shapeOf("cut letters", same("Zo\xc3")),
		shapeOf("controls", func(i int) string { return "0123456\x1f"[i:] }),
		shapeOf("deletes", same("01234567890\x7f")),
	}
	borders := []int{0, 64, 512, 1024}
	for i, f := range allForms {
		frame := framings[i%4]
		w := NewWriter(f, 3+i, frame[0], frame[1])
		twin := func(v []byte) ([]byte, bool) {
			rows, n := c.sealRowsGeneric(w, make([]byte, 0, w.stride), v, []uint32{0, uint32(len(v))}, make([]uint32, 2))
			if n == 0 {
				return nil, false
			}
			return rows[len(w.pre):][:w.chars], true
		}
		ops = append(ops, &structured{
			name: "SealRows " + f.String(), base: digits(13), changes: values, borders: borders, twin: twin,
			run: func(a *arena, r *results) {
				r.pre, r.post, r.framed = w.pre, w.post, true
				r.tight(a, w.stride)
				r.stepwise(a, func(spans, out []uint32) (n int) {
					r.dst, n = c.SealRows(w, r.dst, a.src, spans, out)
					return n
				})
			},
		}, &structured{
			name: "SealAt " + f.String(), base: digits(13), changes: values, borders: borders, twin: twin,
			run: func(a *arena, r *results) {
				n := len(a.spans) / 2
				r.framed, r.dst = false, slices.Grow(r.dst[:0], n*(w.chars+3))[:n*(w.chars+3)]
				at := make([]uint32, n)
				for i := range at {
					at[i] = uint32((n - 1 - i) * (w.chars + 3))
					r.out[2*i], r.out[2*i+1] = at[i], uint32(w.chars)
				}
				r.stepwise(a, func(spans, _ []uint32) int {
					return c.SealAt(w, r.dst, at[n-len(spans)/2:], a.src, spans)
				})
			},
		})
		seal := func(gen int, v shapes, change func(x []byte) []byte) shapes {
			w := NewWriter(f, gen, "", "")
			s := shapes{name: fmt.Sprint("pseudonyms of ", v.name, " of generation ", gen)}
			for i, v := range v.values {
				s.values[i], _ = c.sealRowsGeneric(w, make([]byte, 0, w.stride), v, []uint32{0, uint32(len(v))}, make([]uint32, 2))
				if change != nil {
					s.values[i] = change(s.values[i])
					s.name += " changed"
				}
			}
			return s
		}
		gen := w.gen
		texts := []shapes{
			seal(gen, digits(1), nil), seal(gen, digits(15), nil), seal(gen+1, digits(13), nil), seal(gen, values[5], nil),
			seal(gen, digits(13), func(x []byte) []byte { return x[:len(x)-2] }),
			seal(gen, digits(13), func(x []byte) []byte { return append(x, x...) }),
			seal(gen, digits(13), func(x []byte) []byte { x[len(x)-1] = '_'; return x }),
			seal(gen, digits(13), func(x []byte) []byte { x[1], x[3] = x[3], x[1]; return x }),
			values[4], digits(13), digits(w.chars),
		}
		if f != Hex {
			x := shapes{name: "pseudonyms in hex"}
			hex := NewWriter(Hex, 0, "", "")
			for i, v := range digits(13).values {
				x.values[i], _ = c.sealRowsGeneric(hex, make([]byte, 0, 32), v, []uint32{0, 13}, make([]uint32, 2))
			}
			texts = append(texts, x)
		}
		frame = framings[(2*i+2)%5]
		r := NewReader(f, gen)
		target := NewWriter(allForms[(i*2+1)%5], 2, frame[1], "")
		one := func(x []byte) ([]byte, bool) {
			rows, n := c.openRowsGeneric(r, "", "", nil, x, []uint32{0, uint32(len(x))}, make([]uint32, 2))
			return rows, n == 1
		}
		ops = append(ops, &structured{
			name: "OpenRows " + f.String(), base: seal(gen, digits(13), nil), changes: texts, borders: borders, twin: one,
			run: func(a *arena, res *results) {
				res.pre, res.post, res.framed = frame[0], frame[1], true
				res.tight(a, 15+len(frame[0])+len(frame[1]))
				res.stepwise(a, func(spans, out []uint32) (n int) {
					res.dst, n = c.OpenRows(r, frame[0], frame[1], res.dst, a.src, spans, out)
					return n
				})
			},
		}, &structured{
			name: "TranslateRows " + f.String() + target.form.String(), base: seal(gen, digits(13), nil), changes: texts, borders: borders,
			twin: func(x []byte) ([]byte, bool) {
				rows, n := c.translateRowsGeneric(r, to, target, make([]byte, 0, target.stride), x, []uint32{0, uint32(len(x))}, make([]uint32, 2))
				if n == 0 {
					return nil, false
				}
				return rows[len(target.pre):][:target.chars], true
			},
			run: func(a *arena, res *results) {
				res.pre, res.post, res.framed = target.pre, target.post, true
				res.tight(a, target.stride)
				res.stepwise(a, func(spans, out []uint32) (n int) {
					res.dst, n = c.TranslateRows(r, to, target, res.dst, a.src, spans, out)
					return n
				})
			},
		})
	}
	return ops
}

func longOps(t *testing.T) (ops []*structured) {
	c := testCipher(t, 5, 1, 2, 16)
	twin := func(w *Writer) func(v []byte) ([]byte, bool) {
		return func(v []byte) ([]byte, bool) {
			m := len(v)/16 + 1
			if m > maxBlocks {
				return nil, false
			}
			if len(v) == 0 {
				return nil, true
			}
			if m == 1 && !IsText(v) {
				return nil, false
			}
			x := make([]byte, w.form.EncodedLen(16*m))
			c.sealBlocksAtGeneric(w, m, x, []uint32{0}, v, []uint32{0, uint32(len(v))})
			return x, true
		}
	}
	letters := func(n int) shapes {
		return shapeOf(fmt.Sprint(n, " letters"), func(i int) string { return strings.Repeat("Ångström "[i%3:], n/5)[:n-i%3] })
	}
	for i, m := range []int{2, 3, 9, 17} {
		w := NewWriter([]Form{Pair62, Hex}[i%2], i, framings[i][0], framings[i][1])
		others := []shapes{digits(16*m - 1), digits(16 * m), digits(16*m - 17), digits(1), shapeOf("empty", same("")), letters(16*m - 10)}
		ops = append(ops, &structured{
			name: fmt.Sprint("SealBlocksRows ", m), base: digits(16*m - 16), changes: others, borders: []int{0, 64, 512}, lazy: true, twin: twin(w),
			run: func(a *arena, r *results) {
				r.pre, r.post, r.framed = w.pre, w.post, true
				at := make([]uint32, len(a.spans)/2)
				r.stepwise(a, func(spans, out []uint32) (n int) {
					var plain bool
					r.dst, n, plain = c.SealBlocksRows(w, m, r.dst, a.src, spans, out, at)
					for i := 0; plain && i < n; i++ {
						if !isASCIIText(a.src[spans[2*i]:][:spans[2*i+1]]) {
							t.Fatalf("SealBlocksRows: other letters are said to be plain")
						}
					}
					return n
				})
			},
		})
		for _, f := range []Form{w.form, B32} {
			w := NewWriter(f, i, "", "")
			ops = append(ops, &structured{
				name: fmt.Sprint("SealBlocksAt ", m, f), base: digits(16*m - 16), changes: []shapes{others[0], letters(16*m - 10)}, borders: []int{0, 64}, twin: twin(w),
				run: func(a *arena, r *results) {
					n, chars := len(a.spans)/2, f.EncodedLen(16*m)
					r.framed, r.dst = false, slices.Grow(r.dst[:0], n*chars)[:n*chars]
					at := make([]uint32, n)
					texts := true
					for i := range at {
						at[i] = uint32((n - 1 - i) * chars)
						r.out[2*i], r.out[2*i+1] = at[i], uint32(chars)
						texts = texts && a.value(i)[0] < 0x80 && IsText(a.value(i)) && len(bytes.Trim(a.value(i), "0123456789")) == 0
					}
					if c.SealBlocksAt(w, m, r.dst, at, a.src, a.spans) && !texts {
						t.Fatalf("SealBlocksAt: other letters are said to be plain")
					}
				},
			})
		}
		ops = append(ops, mixedOp(t, c, w, twin(w), digits(16*m-16), append(others, digits(270), digits(272), shapeOf("controls", same("a\x01")))))
	}
	return append(ops, mixedOp(t, c, NewWriter(Pair62, 2, `"`, `",`), twin(NewWriter(Pair62, 2, "", "")), digits(13),
		[]shapes{digits(15), digits(16), shapeOf("empty", same("")), digits(271), letters(13), shapeOf("controls", same("a\x01"))}))
}

// mixedOp is SealMixedRows, which takes all values or none.
func mixedOp(t *testing.T, c *Cipher, w *Writer, twin func(v []byte) ([]byte, bool), base shapes, changes []shapes) *structured {
	return &structured{
		name: "SealMixedRows, most of " + base.name, base: base, changes: changes, borders: []int{0, 64, 512, 1024}, lazy: true, twin: twin,
		run: func(a *arena, r *results) {
			r.pre, r.post, r.framed = w.pre, w.post, true
			n := len(a.spans) / 2
			for from := 0; from < n; from += MixedMost {
				to := min(n, from+MixedMost)
				rows, other, ok := c.SealMixedRows(w, r.dst, a.src, a.spans[2*from:2*to], r.out[2*from:2*to])
				if ok {
					r.dst = rows
				}
				takes, strange := true, uint32(0)
				for i := from; i < to; i++ {
					v := a.value(i)
					r.left[i] = !ok
					m := len(v)/16 + 1
					takes = takes && m <= maxBlocks && (m > 1 || len(v) == 0 || IsText(v))
					if ok && m > 1 && !isASCIIText(v) {
						strange |= 1 << m
					}
				}
				if wide := simd.Kernel() == "avx512" && to-from >= 16 && takes; ok != wide && !(wide && cap(a.src)-len(a.src) < 16) {
					t.Fatalf("SealMixedRows of %d values: %v, want %v", to-from, ok, wide)
				}
				if strange&^other != 0 {
					t.Fatalf("SealMixedRows: other letters are said to be plain: %b of %b", other, strange)
				}
			}
		},
	}
}

func isASCIIText(v []byte) bool {
	return !slices.ContainsFunc(v, func(b byte) bool { return b >= 0x80 }) && IsText(v)
}

func otherOps(t *testing.T) (ops []*structured) {
	h, err := NewHMAC(&[32]byte{4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Release)
	borders := []int{0, 64, 512, 1024}
	w := NewWriter(Pair62, 4, "", "\n")
	for _, base := range []shapes{digits(13), digits(20)} {
		ops = append(ops, &structured{
			name: "SumRows", base: base, borders: borders,
			changes: []shapes{digits(15), digits(16), digits(54), digits(55), digits(56), digits(119), digits(120), digits(700), shapeOf("empty", same("")), shapeOf("bytes", same("\xff\x00"))},
			twin: func(v []byte) ([]byte, bool) {
				if len(v) == 0 {
					return nil, false
				}
				var sum [16]byte
				hmacGeneric(h.k, sum[:], v, []uint32{0, uint32(len(v))}, nil)
				x := make([]byte, 32)
				Pair62.Encode(x, sum[:], 4)
				return x, true
			},
			run: func(a *arena, r *results) {
				r.pre, r.post, r.framed = w.pre, w.post, true
				r.stepwise(a, func(spans, out []uint32) (n int) {
					r.dst, n = h.SumRows(w, r.dst, a.src, spans, nil, out)
					return n
				})
			},
		})
	}
	for _, alphabet := range []string{"0123456789", alphabet62} {
		f, err := NewFF1(&[32]byte{6}, alphabet)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.Release)
		for _, dec := range []bool{false, true} {
			call := f.EncryptRows
			if dec {
				call = f.DecryptRows
			}
			ops = append(ops, &structured{
				name: fmt.Sprint("FF1 of ", len(alphabet), dec), base: digits(13), borders: borders,
				changes: []shapes{digits(12), digits(5), digits(2), digits(16), digits(17), digits(33), digits(40), digits(70), digits(257), shapeOf("empty", same("")),
					shapeOf("70 with another", same(strings.Repeat("0123456789", 6)+"012345678-")),
					shapeOf("13 with another", func(i int) string { return "0123456789012"[:i] + "-" + "0123456789012"[i+1:] })},
				twin: func(v []byte) ([]byte, bool) {
					if len(v) == 0 {
						return nil, true
					}
					x := make([]byte, len(v))
					bad := f.generic(x, []uint32{0}, v, []uint32{0, uint32(len(v))}, nil, dec)
					return x, len(bad) == 0
				},
				run: func(a *arena, r *results) {
					var bad []FF1Error
					r.framed, r.dst = false, r.dst[:0]
					r.dst, bad = call(`"`, `",`, r.dst, a.src, a.spans, r.out, nil)
					for _, e := range bad {
						r.left[e.Index] = true
					}
					// Rows of those that are refused are framing alone.
					end := 0
					for i := range r.left {
						off, n := int(r.out[2*i]), int(r.out[2*i+1])
						if off != end+1 || r.dst[end] != '"' || string(r.dst[off+n:off+n+2]) != `",` || r.left[i] && n != 0 {
							t.Fatalf("FF1 rows: value %d of %d bytes stands at %d", i, n, off)
						}
						end = off + n + 2
					}
					if end != len(r.dst) {
						t.Fatalf("FF1 rows: %d bytes, want %d", len(r.dst), end)
					}
				},
			})
		}
	}
	return ops
}

// structuredBlocks: messages of one number of blocks, and texts of many, from one to
// more than a round takes.
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
				t.Fatalf("%d messages of %d blocks: enciphered to others", n, m)
			}
			if c.CryptBlocks(m, got, true); !bytes.Equal(got, msgs) {
				t.Fatalf("%d messages of %d blocks: deciphered to others", n, m)
			}
		}
	}
	for _, f := range []Form{Pair62, Hex} {
		w := NewWriter(f, 5, "", "\n")
		for n := 1; n <= 300; n += 1 + step/3 {
			blocks := make([]byte, 16*n)
			for i := range blocks {
				blocks[i] = byte(i*11 + i/250)
			}
			text := make([]byte, 32*n)
			f.Encode(text, blocks, 5)
			back := make([]byte, 16*n)
			if g, ok := f.Decode(back, text); !ok || f == Pair62 && g != 5 || !bytes.Equal(back, blocks) {
				t.Fatalf("%s: a text of %d blocks is read as another", f, n)
			}
			out, at := make([]uint32, 2*n), make([]uint32, n)
			rows := w.Rows(nil, blocks, out)
			places := make([]byte, 33*n)
			for i := range at {
				at[i] = uint32(33 * (n - 1 - i))
			}
			w.EncodeAt(places, at, blocks)
			for i := range n {
				var x [32]byte
				f.Encode(x[:], blocks[16*i:16*i+16], 5)
				if string(rows[33*i:33*i+33]) != string(x[:])+"\n" || out[2*i] != uint32(33*i) || string(places[at[i]:][:32]) != string(x[:]) {
					t.Fatalf("%s: row %d of %d is another", f, i, n)
				}
			}
		}
	}
}
