package arrow

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestOffsets compares the loops over offsets of both widths with loops that handle one value
// per iteration, with every number of values up to 40, and with one offset out of order.
func TestOffsets(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	for n := range 41 {
		for range 50 {
			at := []uint32{uint32(rng.IntN(5))}
			for range n {
				at = append(at, at[len(at)-1]+uint32(rng.IntN(3)))
			}
			size := uint64(at[n]) + uint64(rng.IntN(2))
			valid := true
			switch rng.IntN(4) {
			case 0:
				at[rng.IntN(n+1)] = []uint32{0, 1 << 31, 1<<32 - 1, 1<<31 - 1}[rng.IntN(4)]
			case 1:
				size = uint64(rng.IntN(int(size) + 1))
			}
			empty := 0
			var want []uint32
			for i, o := range at {
				valid = valid && int32(o) >= 0 && uint64(o) <= size && (i == 0 || o >= at[i-1])
				if i > 0 {
					want = append(want, at[i-1]-at[0], o-at[i-1])
					if o == at[i-1] {
						empty++
					}
				}
			}
			var narrow, wide []byte
			for _, o := range at {
				narrow = binary.LittleEndian.AppendUint32(narrow, o)
				wide = binary.LittleEndian.AppendUint64(wide, uint64(int64(int32(o))))
			}
			for _, w := range []struct {
				name    string
				offsets []byte
				gather  func([]uint32, []byte, uint64) (uint64, uint64, bool)
				count   func([]byte, uint64) (int, int64, bool)
			}{{"narrow", narrow, gatherNarrow, countNarrow}, {"wide", wide, gatherWide, countWide}} {
				spans := make([]uint32, 2*n)
				low, high, ok := w.gather(spans, w.offsets, size)
				none, bytes, counted := w.count(w.offsets, size)
				if ok != valid || counted != valid {
					t.Fatalf("%s %v of %d bytes: gather returns %t, count %t, want %t", w.name, at, size, ok, counted, valid)
				}
				if valid && (low != uint64(at[0]) || high != uint64(at[n]) || !slices.Equal(spans, want) || none != empty || bytes != int64(at[n]-at[0])) {
					t.Fatalf("%s %v: gather returns %d %d %v, count %d %d; want spans %v and %d empty", w.name, at, low, high, spans, none, bytes, want, empty)
				}
			}
			if !valid {
				continue
			}
			to := make([]byte, 4*n)
			if end := setNarrow(to, at[0], want); end != uint64(at[n]) || !slices.Equal(to, narrow[4:]) {
				t.Fatalf("setNarrow to %v ends at %d with %v", at, end, to)
			}
			for i := range n {
				want[2*i+1] = 7
			}
			setNarrow(to, 3, want)
			equal := make([]byte, 4*n)
			if end := setEqual(equal, 3, 7); end != uint64(3+7*n) || !slices.Equal(to, equal) {
				t.Fatalf("setEqual of %d results ends at %d with %v, want %d and %v", n, end, equal, 3+7*n, to)
			}
			for i := range n {
				want[2*i+1] = at[i+1] - at[i]
			}
			to = make([]byte, 8*n)
			if end := setWide(to, uint64(at[0]), want, 0); end != uint64(at[n]) || !slices.Equal(to, wide[8:]) {
				t.Fatalf("setWide to %v ends at %d with %v", at, end, to)
			}
		}
	}
}

// TestHighest holds highest against numbers read one by one.
func TestHighest(t *testing.T) {
	rng := rand.New(rand.NewPCG(10, 11))
	for _, width := range []int{1, 2, 4, 8} {
		for n := range 40 {
			b := make([]byte, n*width)
			var most uint64
			for i := range n {
				v := rng.Uint64() >> rng.IntN(64) & (1<<(8*width) - 1)
				var all [8]byte
				binary.LittleEndian.PutUint64(all[:], v)
				copy(b[i*width:], all[:width])
				most = max(most, v)
			}
			if got := highest(b, width); got != most {
				t.Fatalf("%d numbers of %d bytes: %d, want %d", n, width, got, most)
			}
		}
	}
}

// BenchmarkOffsets measures the time per value of the loops over offsets.
func BenchmarkOffsets(b *testing.B) {
	const n = 16 << 10
	var offsets []byte
	for i := range n + 1 {
		offsets = binary.LittleEndian.AppendUint32(offsets, uint32(13*i))
	}
	spans, to := make([]uint32, 2*n), make([]byte, 4*n)
	for name, f := range map[string]func(){
		"gather": func() { gatherNarrow(spans, offsets, 13*n) },
		"count":  func() { countNarrow(offsets, 13*n) },
		"equal":  func() { setEqual(to, 0, 32) },
		"set":    func() { setNarrow(to, 0, spans) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/value")
		})
	}
}
