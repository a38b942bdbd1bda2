package parquet

import (
	"encoding/binary"

	"github.com/parquet-go/parquet-go/format"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
)

// allowsEncoding reports whether the values of a leaf may be in an encoding, other than
// indexes of a dictionary.
func (l *leaf) allowsEncoding(e format.Encoding) bool {
	switch e {
	case format.Plain:
		return true
	case format.DeltaLengthByteArray:
		return l.kind == format.ByteArray
	case format.DeltaByteArray:
		return l.kind == format.ByteArray || l.kind == format.FixedLenByteArray
	case format.DeltaBinaryPacked:
		return l.kind == format.Int32 || l.kind == format.Int64
	case format.ByteStreamSplit:
		return l.layout != nil && l.layout.Width > 0
	}
	return false
}

// nextTexts returns the texts of the next values of a page whose values are not text.
func (v *pageValues) nextTexts() (arena []byte, spans []uint32, err error) {
	width := int64(v.layout.Width)
	n := min(v.left, max(1, min(batchValues, batchBytes/(3*width+20))))
	var raw []byte
	switch {
	case v.kind == format.ByteArray || v.encoding == format.DeltaByteArray:
		return v.nextConverted()
	case v.encoding == format.Plain:
		if n*width > int64(len(v.b)-v.at) {
			return nil, nil, thrift.ErrShort
		}
		raw = v.b[v.at:][:n*width]
	case v.encoding == format.ByteStreamSplit:
		if v.total*width > int64(len(v.b)) {
			return nil, nil, thrift.ErrShort
		}
		raw = v.joinStreams(n)
	default:
		if raw, err = v.decodeDelta(n); err != nil {
			return nil, nil, err
		}
	}
	v.at += int(n * width)
	v.left -= n
	v.arena, v.spans, err = v.layout.AppendTexts(v.arena[:0], v.spans[:0], raw)
	return v.arena, v.spans, err
}

// nextConverted returns the texts of values that are stored as byte arrays: decimals of
// varying length, and fixed-length values in an encoding of byte arrays.
func (v *pageValues) nextConverted() (arena []byte, spans []uint32, err error) {
	stored, at, err := v.nextStored()
	if err != nil {
		return nil, nil, err
	}
	v.raw, v.texts = v.raw[:0], v.texts[:0]
	for i := 0; i < len(at); i += 2 {
		value := stored[at[i]:][:at[i+1]]
		if w := v.layout.Width; w > 0 && len(value) != w {
			return nil, nil, thrift.ErrDamaged
		}
		begin := len(v.raw)
		if v.raw, err = v.layout.AppendText(v.raw, value); err != nil {
			return nil, nil, err
		}
		v.texts = append(v.texts, uint32(begin), uint32(len(v.raw)-begin))
	}
	return v.raw, v.texts, nil
}

// joinStreams joins the next n values of a page in BYTE_STREAM_SPLIT, in which the first bytes
// of all values come first, then the second bytes, and so on.
func (v *pageValues) joinStreams(n int64) []byte {
	width := v.layout.Width
	v.raw = resized(v.raw, int(n)*width)
	first := v.at / width
	for k := range width {
		stream := v.b[int(v.total)*k+first:][:n]
		for i, c := range stream {
			v.raw[i*width+k] = c
		}
	}
	return v.raw
}

// decodeDelta decodes the next n integers and returns their PLAIN encoding.
func (v *pageValues) decodeDelta(n int64) ([]byte, error) {
	width := v.layout.Width
	v.raw = resized(v.raw, int(n)*width)
	for i := range int(n) {
		x, err := v.lengths.next()
		if err != nil {
			return nil, err
		}
		if width == 4 {
			binary.LittleEndian.PutUint32(v.raw[4*i:], uint32(x))
		} else {
			binary.LittleEndian.PutUint64(v.raw[8*i:], uint64(x))
		}
	}
	return v.raw, nil
}

// resized returns a slice of length n, in the memory of b if that is large enough.
func resized(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// dictionaryTexts returns the texts of the n values of a dictionary.
func (f *reader) dictionaryTexts(c *columnChunk, raw []byte, n int64) (texts []byte, spans []uint32, err error) {
	l := c.leaf.layout
	if l.Width == 0 {
		return f.dictionaryDecimals(c, raw, n)
	}
	if n > int64(len(raw)/l.Width) {
		return nil, nil, c.bad("a dictionary of %d values in %d bytes is damaged", n, len(raw))
	}
	if err := f.fits(int64(len(raw))*4+n*48, c.leaf.name(), "a dictionary"); err != nil {
		return nil, nil, err
	}
	texts, spans, err = l.AppendTexts(nil, nil, raw[:n*int64(l.Width)])
	if err != nil {
		return nil, nil, c.bad("a dictionary holds %w", err)
	}
	return texts, spans, nil
}

// dictionaryDecimals is dictionaryTexts for decimals of varying length.
func (f *reader) dictionaryDecimals(c *columnChunk, raw []byte, n int64) (texts []byte, spans []uint32, err error) {
	v := pageValues{encoding: format.Plain, b: raw, left: n, layout: c.leaf.layout, kind: c.leaf.kind}
	for v.left > 0 {
		some, at, err := v.next()
		if err != nil {
			return nil, nil, c.bad("a dictionary is damaged: %w", err)
		}
		begin := uint32(len(texts))
		texts = append(texts, some...)
		for i := 0; i < len(at); i += 2 {
			spans = append(spans, begin+at[i], at[i+1])
		}
	}
	return texts, spans, nil
}
