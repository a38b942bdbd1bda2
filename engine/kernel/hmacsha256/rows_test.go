package hmacsha256

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestSumRows compares rows of every form, framing and generation with the standard library's HMAC
// and the portable encoder, and checks that it stops before an empty or too long value.
func TestSumRows(t *testing.T) {
	key := bytes.Repeat([]byte{3, 9}, 16)
	h, err := New((*[32]byte)(key))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	long := make([]byte, 70000)
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 4))
		for k, n := range []int{0, 1, 3, 4, 15, 16, 17, 64, 65, 200, 511, 512, 513, 1100} {
			for _, form := range []textform.Form{textform.Pair62, textform.Hex, textform.B64u, textform.B32, textform.UUID} {
				frame := [][2]string{{"", "\n"}, {`"`, `",`}, {"", ""}, {"<<< ", " >>>"}}[(k+int(form))%4]
				w := textform.NewWriter(form, k%textform.Generations, frame[0], frame[1])
				base, spans, counters := batch(r, n, 40)
				for i := range n {
					spans[2*i+1] = max(spans[2*i+1], 1)
				}
				base = append(base, 0)
				stop := n
				if n > 2 && k%2 == 0 {
					stop = r.IntN(n)
					spans[2*stop+1] = 0
					if k%4 == 0 {
						spans[2*stop], spans[2*stop+1] = uint32(len(base)), 1<<16
						base = append(base, long...)
					}
				}
				if k%3 == 0 {
					counters = nil
				}
				want, pairs := []byte("head"), []uint32{}
				for i := range stop {
					var c []byte
					if counters != nil {
						c = binary.BigEndian.AppendUint64(nil, counters[i])
					}
					want = append(want, frame[0]...)
					text := make([]byte, form.EncodedLen(16))
					form.Encode(text, oracle(key, c, base[spans[2*i]:][:spans[2*i+1]]), k%textform.Generations)
					pairs = append(pairs, uint32(len(want)), uint32(len(text)))
					want = append(append(want, text...), frame[1]...)
				}
				out := make([]uint32, 2*n+2)
				got, done := h.SumRows(w, []byte("head"), base, spans, counters, out)
				if done != stop || !bytes.Equal(got, want) || !slices.Equal(out[:2*stop], pairs) || out[2*n] != 0 {
					t.Fatalf("%v, %d values: did %d of %d, rows right: %v", form, n, done, stop, bytes.Equal(got, want))
				}
			}
		}
	})
}

func BenchmarkSumRows(b *testing.B) {
	defer simd.Force("auto")
	h, err := New(&[32]byte{1})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Release()
	w := textform.NewWriter(textform.Pair62, 0, "", "\n")
	base, spans, _ := batch(rand.New(rand.NewPCG(1, 2)), 1024, 0)
	base = append(base, make([]byte, 1024*12)...)
	for i := range 1024 {
		spans[2*i], spans[2*i+1] = uint32(12*i), 12
	}
	out := make([]uint32, 2048)
	dst := make([]byte, 0, 40*1024)
	for _, name := range simd.Kernels() {
		b.Run(fmt.Sprintf("%s/12B", name), func(b *testing.B) {
			if err := simd.Force(name); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				dst, _ = h.SumRows(w, dst[:0], base, spans, nil, out)
			}
			b.ReportMetric(1024*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mvalues/s")
		})
	}
}
