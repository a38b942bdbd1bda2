package parquet

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/format"
)

// TestDelta: both delta encodings give what the library packed, in batches too.
func TestDelta(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 2))
	for i := range 400 {
		var all []byte
		offsets := []uint32{0}
		for range rng.IntN(700) {
			piece := strings.Repeat("prefix", rng.IntN(3)) + strings.Repeat("x", rng.IntN(1+i))
			all = append(all, piece...)
			offsets = append(offsets, uint32(len(all)))
		}
		var one delta.LengthByteArrayEncoding
		var two delta.ByteArrayEncoding
		for _, e := range []format.Encoding{format.DeltaLengthByteArray, format.DeltaByteArray} {
			var b []byte
			var err error
			if e == format.DeltaByteArray {
				b, err = two.EncodeByteArray(nil, all, offsets)
			} else {
				b, err = one.EncodeByteArray(nil, all, offsets)
			}
			if err != nil {
				t.Fatal(err)
			}
			var v pageValues
			if err := v.begin(e, b, int64(len(offsets)-1)); err != nil {
				t.Fatal(err)
			}
			at := 0
			for v.left > 0 {
				arena, spans, err := v.next()
				if err != nil {
					t.Fatalf("%v, round %d: %v", e, i, err)
				}
				for k := 0; k < len(spans); k += 2 {
					if got, want := arena[spans[k]:][:spans[k+1]], all[offsets[at]:offsets[at+1]]; !bytes.Equal(got, want) {
						t.Fatalf("%v, round %d, value %d: %q, want %q", e, i, at, got, want)
					}
					at++
				}
			}
		}
	}
}

// FuzzPages: whatever stands in a page's values and levels, decoding ends,
// with an error or with as many values as were asked for.
func FuzzPages(f *testing.F) {
	f.Add([]byte{3, 0x88, 0xc6, 0xfa}, uint8(0), int16(8))
	f.Add([]byte{0x80, 1, 4, 9, 2, 2, 0, 0, 0, 0}, uint8(2), int16(9))
	f.Add([]byte{1, 0, 0, 0, 'a', 0, 0, 0, 0}, uint8(1), int16(2))
	f.Fuzz(func(t *testing.T, b []byte, kind uint8, n int16) {
		count := max(int64(n), 0)
		v := pageValues{dict: []byte("abc"), dictSpans: []uint32{0, 1, 1, 2, 3, 0}}
		e := []format.Encoding{format.RLEDictionary, format.Plain, format.DeltaLengthByteArray, format.DeltaByteArray}[kind%4]
		got := int64(0)
		err := v.begin(e, b, count)
		for err == nil && v.left > 0 {
			var arena []byte
			var spans []uint32
			if arena, spans, err = v.next(); err != nil {
				break
			}
			got += int64(len(spans) / 2)
			for i := 0; i < len(spans); i += 2 {
				_ = arena[spans[i]:][:spans[i+1]]
			}
			if len(spans) == 0 {
				t.Fatal("no value, no error")
			}
		}
		if err == nil && got != count {
			t.Fatalf("%d values, not %d", got, count)
		}
		if full, below, zero, err := countLevels(b, int(kind%4), count); err == nil && (full > count || below > count || zero > count) {
			t.Fatalf("%d, %d, %d levels of %d", full, below, zero, count)
		}
	})
}
