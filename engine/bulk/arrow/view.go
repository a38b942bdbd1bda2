package arrow

import (
	"context"
	"encoding/binary"
	"math"
)

// A view is 16 bytes: the length, then the text if it is of up to 12 bytes, else its first
// four bytes, the number of a data buffer and an offset in that.
const (
	viewSize   = 16
	viewInline = 12
)

// replaceViews replaces the values of a column of views. All its new text is in one data
// buffer.
func (s *Stream) replaceViews(ctx context.Context, c *column, b *batch) error {
	f := c.field
	at, n, seen, err := s.begin(c, b)
	if err != nil {
		return err
	}
	views, err := s.buffer(b, at+1, &c.unpacked[0])
	if err != nil {
		return err
	}
	if int64(len(views))/viewSize < n {
		return s.damaged(f, errBatch)
	}
	variadic := 0 // its place among those of the batch
	for _, other := range s.schema.fields[:f.index] {
		if other.view() && !other.dictionary {
			variadic++
		}
	}
	texts := make([][]byte, b.variadic[variadic])
	for i := range texts {
		var own []byte
		if texts[i], err = s.buffer(b, at+2+i, &own); err != nil {
			return err
		}
	}
	c.offsets, c.data, c.validity = c.offsets[:0], c.data[:0], c.validity[:0]
	for from := int64(0); from < n; {
		to, err := s.gatherViews(c, from, n, views, texts, seen)
		if err != nil {
			return err
		}
		r, err := s.call(ctx, c, from)
		if err != nil {
			return err
		}
		if err := s.takeViews(c, r, n); err != nil {
			return err
		}
		from = to
	}
	s.results[at+1] = c.offsets
	for i := range texts {
		s.dropped[at+2+i] = true
	}
	b.variadic[variadic] = 0
	if len(c.data) > 0 {
		b.variadic[variadic] = 1
		s.added[at+1+len(texts)] = c.data
	}
	s.replaceValidity(c, b, at)
	return nil
}

// gatherViews copies the next values into the column's arena.
func (s *Stream) gatherViews(c *column, from, n int64, views []byte, texts [][]byte, seen bits) (to int64, err error) {
	c.spans, c.arena = c.spans[:0], c.arena[:0]
	for to = from; to < min(n, from+mostValues); to++ {
		if !c.valid.has(to) || !seen.has(to) {
			c.spans = append(c.spans, uint32(len(c.arena)), 0)
			continue
		}
		v := views[viewSize*to:][:viewSize]
		size := int64(int32(binary.LittleEndian.Uint32(v)))
		var text []byte
		switch {
		case size < 0:
			return 0, s.damagedAt(c, to)
		case size <= viewInline:
			text = v[4:][:size]
		default:
			k, off := int64(int32(binary.LittleEndian.Uint32(v[8:]))), int64(int32(binary.LittleEndian.Uint32(v[12:])))
			if k < 0 || k >= int64(len(texts)) || off < 0 || off > int64(len(texts[k]))-size {
				return 0, s.damagedAt(c, to)
			}
			text = texts[k][off:][:size]
		}
		if to > from && len(c.arena)+len(text) > mostBytes {
			break
		}
		c.spans = append(c.spans, uint32(len(c.arena)), uint32(len(text)))
		c.arena = append(c.arena, text...)
	}
	c.batch.Arena = c.arena
	return to, nil
}

// takeViews appends results to the column's new buffers.
func (s *Stream) takeViews(c *column, r Results, n int64) error {
	if s.scanning {
		return nil
	}
	values, missing := c.batch.Spans, r.Missing
	for i := 0; i < len(values); i += 2 {
		var text []byte
		switch {
		case len(missing) > 0 && missing[0] == i/2:
			missing = missing[1:]
			c.miss(c.batch.first+int64(i/2), n)
		case r.Values[i+1] == 0:
			text = c.batch.Arena[values[i]:][:values[i+1]]
		default:
			text = r.Arena[r.Spans[i]:][:r.Spans[i+1]]
		}
		c.offsets = binary.LittleEndian.AppendUint32(c.offsets, uint32(len(text)))
		if len(text) <= viewInline {
			c.offsets = append(c.offsets, text...)
			c.offsets = append(c.offsets, zeros[:viewInline-len(text)]...)
			continue
		}
		c.offsets = append(c.offsets, text[:4]...)
		c.offsets = binary.LittleEndian.AppendUint32(c.offsets, 0)
		c.offsets = binary.LittleEndian.AppendUint32(c.offsets, uint32(len(c.data)))
		c.data = append(c.data, text...)
		if int64(len(c.data)) > min(s.memory, math.MaxInt32) {
			return s.damaged(c.field, &MemoryError{"the column with its results", int64(len(c.data)), min(s.memory, math.MaxInt32)})
		}
	}
	return nil
}
