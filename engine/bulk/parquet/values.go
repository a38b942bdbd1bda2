package parquet

import (
	"encoding/binary"

	"github.com/parquet-go/parquet-go/format"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
	"github.com/velonym/velonym/engine/bulk/internal/typed"
)

// pageValues decodes the values of a page in batches, so that a short run that expands to
// many values does not need memory for all of them.
type pageValues struct {
	encoding format.Encoding
	b        []byte // PLAIN: the values; delta: the bytes of the remaining values
	at       int    // offset in b
	left     int64

	dict      []byte
	dictSpans []uint32
	rle       rleDecoder
	run       int64 // how often value is still to come in the current run
	value     uint32
	group     []uint32

	lengths, prefixes deltaDecoder
	last              []byte
	decoded           int64

	arena []byte
	spans []uint32

	layout *typed.Layout // of the values; nil: they are text
	kind   format.Type
	total  int64    // values of the page
	raw    []byte   // scratch: stored values
	texts  []uint32 // scratch: spans of their texts in arena
}

// Limits of a batch: its number of values, and the bytes of values that are joined from
// prefix and suffix.
const (
	batchValues = 128 << 10
	batchBytes  = 8 << 20
)

// begin starts decoding the n values of a page of l in b. The dictionary stays as it is.
func (v *pageValues) begin(l *leaf, e format.Encoding, b []byte, n int64) (err error) {
	*v = pageValues{encoding: e, b: b, left: n, total: n, layout: l.layout, kind: l.kind, dict: v.dict, dictSpans: v.dictSpans,
		arena: v.arena, spans: v.spans, last: v.last[:0], raw: v.raw, texts: v.texts}
	if n == 0 {
		return nil // some writers leave meaningless bytes
	}
	switch e {
	case format.RLEDictionary, plainDictionary:
		if len(b) == 0 {
			return thrift.ErrShort
		}
		v.rle, err = newRLE(b[1:], int(b[0]), n)
	case format.DeltaLengthByteArray:
		v.lengths, v.b, err = newDelta(b, n, 32)
	case format.DeltaByteArray:
		if v.prefixes, v.b, err = newDelta(b, n, 32); err == nil {
			v.lengths, v.b, err = newDelta(v.b, n, 32)
		}
	case format.DeltaBinaryPacked:
		v.lengths, _, err = newDelta(b, n, 8*l.layout.Width)
	}
	return err
}

// next returns the next batch, valid until the following call.
func (v *pageValues) next() (arena []byte, spans []uint32, err error) {
	if v.layout != nil && v.encoding != format.RLEDictionary && v.encoding != plainDictionary {
		return v.nextTexts()
	}
	return v.nextStored()
}

// nextStored is next without conversion: the values are text, or bytes that nextConverted
// converts.
func (v *pageValues) nextStored() (arena []byte, spans []uint32, err error) {
	if v.spans == nil {
		v.spans = make([]uint32, 0, 2*min(v.left, batchValues))
	}
	v.spans = v.spans[:0]
	n := min(v.left, batchValues)
	switch v.encoding {
	case format.Plain:
		arena, err = v.b, v.plain(n)
	case format.RLEDictionary, plainDictionary:
		arena, err = v.dict, v.indexed(n)
	case format.DeltaLengthByteArray:
		arena, err = v.b, v.lengthFirst(n)
	default:
		err = v.prefixed(n)
		arena = v.arena
	}
	v.left -= int64(len(v.spans) / 2)
	return arena, v.spans, err
}

func (v *pageValues) plain(n int64) error {
	b, at := v.b, v.at
	for range n {
		if len(b)-at < 4 {
			return thrift.ErrShort
		}
		size := binary.LittleEndian.Uint32(b[at:])
		at += 4
		if uint64(size) > uint64(len(b)-at) {
			return thrift.ErrShort
		}
		v.spans = append(v.spans, uint32(at), size)
		at += int(size)
	}
	v.at = at
	return nil
}

func (v *pageValues) indexed(n int64) error {
	entries := uint64(len(v.dictSpans) / 2)
	for n > 0 {
		if v.run == 0 && len(v.group) == 0 {
			var err error
			if v.value, v.run, v.group, err = v.rle.next(); err != nil {
				return err
			}
			if v.run == 0 && len(v.group) == 0 {
				return thrift.ErrShort
			}
		}
		if v.run > 0 {
			if uint64(v.value) >= entries {
				return thrift.ErrDamaged
			}
			off, size := v.dictSpans[2*v.value], v.dictSpans[2*v.value+1]
			k := min(v.run, n)
			for range k {
				v.spans = append(v.spans, off, size)
			}
			v.run, n = v.run-k, n-k
			continue
		}
		k := min(int64(len(v.group)), n)
		for _, i := range v.group[:k] {
			if uint64(i) >= entries {
				return thrift.ErrDamaged
			}
			v.spans = append(v.spans, v.dictSpans[2*i], v.dictSpans[2*i+1])
		}
		v.group, n = v.group[k:], n-k
	}
	return nil
}

func (v *pageValues) lengthFirst(n int64) error {
	for range n {
		length, err := v.lengths.next()
		if err != nil {
			return err
		}
		size := int32(length)
		if size < 0 || int64(size) > int64(len(v.b)-v.at) {
			return thrift.ErrDamaged
		}
		v.spans = append(v.spans, uint32(v.at), uint32(size))
		v.at += int(size)
	}
	return nil
}

func (v *pageValues) prefixed(n int64) error {
	v.arena = v.arena[:0]
	for range n {
		prefix, err := v.prefixes.next()
		if err != nil {
			return err
		}
		length, err := v.lengths.next()
		if err != nil {
			return err
		}
		shared, size := int32(prefix), int32(length)
		if shared < 0 || int(shared) > len(v.last) || size < 0 || int64(size) > int64(len(v.b)-v.at) {
			return thrift.ErrDamaged
		}
		if v.decoded += int64(shared) + int64(size); v.decoded > maxPage {
			return thrift.ErrDamaged
		}
		at := len(v.arena)
		v.arena = append(v.arena, v.last[:shared]...)
		v.arena = append(v.arena, v.b[v.at:v.at+int(size)]...)
		v.at += int(size)
		v.last = append(v.last[:0], v.arena[at:]...)
		v.spans = append(v.spans, uint32(at), uint32(len(v.arena)-at))
		if len(v.arena) >= batchBytes {
			break
		}
	}
	return nil
}
