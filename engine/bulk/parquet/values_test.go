package parquet

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/format"

	"github.com/velonym/velonym/engine/bulk/internal/typed"
)

// TestDeltaAgainstLibrary checks that both delta encodings of byte arrays decode to what the
// library encoded, in batches too.
func TestDeltaAgainstLibrary(t *testing.T) {
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
			if err := v.begin(&leaf{kind: format.ByteArray}, e, b, int64(len(offsets)-1)); err != nil {
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

// FuzzPages decodes arbitrary bytes as a page's values and levels, which ends with an error
// or with as many values as were asked for.
func FuzzPages(f *testing.F) {
	f.Add([]byte{3, 0x88, 0xc6, 0xfa}, uint8(0), int16(8))
	f.Add([]byte{0x80, 1, 4, 9, 2, 2, 0, 0, 0, 0}, uint8(2), int16(9))
	f.Add([]byte{1, 0, 0, 0, 'a', 0, 0, 0, 0}, uint8(1), int16(2))
	f.Add([]byte{0x80, 1, 4, 9, 2, 2, 0, 0, 0, 0}, uint8(10), int16(9))
	f.Add(make([]byte, 40), uint8(17), int16(5))
	f.Add(make([]byte, 40), uint8(19), int16(8))
	f.Add([]byte{1, 0, 0, 0, 0x80, 0, 0, 0, 0}, uint8(25), int16(1))
	f.Fuzz(func(t *testing.T, b []byte, kind uint8, n int16) {
		count := max(int64(n), 0)
		v := pageValues{dict: []byte("abc"), dictSpans: []uint32{0, 1, 1, 2, 3, 0}}
		encodings := []format.Encoding{format.RLEDictionary, format.Plain, format.DeltaLengthByteArray, format.DeltaByteArray, format.DeltaBinaryPacked, format.ByteStreamSplit}
		e := encodings[int(kind)%len(encodings)]
		leaves := []leaf{
			{kind: format.ByteArray},
			{kind: format.Int32, layout: &typed.Layout{Type: typed.Type{Kind: typed.Int, Size: 4}, Width: 4}},
			{kind: format.Int64, layout: &typed.Layout{Type: typed.Type{Kind: typed.Uint, Size: 8}, Width: 8}},
			{kind: format.FixedLenByteArray, layout: &typed.Layout{Type: typed.Type{Kind: typed.Fixed, Size: 5}, Width: 5}},
			{kind: format.ByteArray, layout: &typed.Layout{Type: typed.Type{Kind: typed.Decimal, Precision: 76}, BigEndian: true}},
		}
		l := &leaves[int(kind)/len(encodings)%len(leaves)]
		if e != format.RLEDictionary && !l.allowsEncoding(e) {
			return
		}
		got := int64(0)
		err := v.begin(l, e, b, count)
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

// TestTypedBatches checks that a page of more integers than a batch takes decodes to the same
// texts in every encoding.
func TestTypedBatches(t *testing.T) {
	const n = batchValues + 1000
	l := &leaf{kind: format.Int32, layout: &typed.Layout{Type: typed.Type{Kind: typed.Int, Size: 4}, Width: 4}}
	var plain []byte
	values := make([]int32, n)
	split := make([]byte, 4*n)
	for i := range values {
		values[i] = int32(i*2654435761 ^ i)
		plain = binary.LittleEndian.AppendUint32(plain, uint32(values[i]))
		for k := range 4 {
			split[k*n+i] = plain[4*i+k]
		}
	}
	packed, err := new(delta.BinaryPackedEncoding).EncodeInt32(nil, values)
	if err != nil {
		t.Fatal(err)
	}
	for e, b := range map[format.Encoding][]byte{format.Plain: plain, format.ByteStreamSplit: split, format.DeltaBinaryPacked: packed} {
		var v pageValues
		if err := v.begin(l, e, b, n); err != nil {
			t.Fatalf("%v: %v", e, err)
		}
		at, batches := 0, 0
		for ; v.left > 0; batches++ {
			arena, spans, err := v.next()
			if err != nil {
				t.Fatalf("%v: %v", e, err)
			}
			for i := 0; i < len(spans); i += 2 {
				if got := string(arena[spans[i]:][:spans[i+1]]); got != strconv.Itoa(int(values[at])) {
					t.Fatalf("%v: value %d is %s, want %d", e, at, got, values[at])
				}
				at++
			}
		}
		if at != n || batches < 2 {
			t.Errorf("%v: %d values in %d batches, want %d in at least 2", e, at, batches, n)
		}
	}
}
