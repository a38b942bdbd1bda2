package arrow

import (
	"encoding/binary"
	"math"
)

// A view has 16 bytes: the length, then the text itself if it has at most 12 bytes, else its
// first four bytes, the number of a buffer of text, and an offset in that buffer.
const (
	viewSize   = 16
	viewInline = 12
)

// loadViews sets c.viewed, the buffers of text that the views of a part of a batch refer to.
func (s *Stream) loadViews(c *column, b *batch, p part) (err error) {
	if int64(len(c.from))/viewSize < b.nodes[p.node].length {
		return s.damaged(c.field, errBatch)
	}
	n := int(b.variadic[p.variadic])
	c.viewed = make([][]byte, n)
	for i := range n {
		var own []byte
		if c.viewed[i], err = s.buffer(b, p.buffer+2+i, &own); err != nil {
			return err
		}
	}
	return nil
}

// gatherViews is gather for views, whose texts it copies.
func (s *Stream) gatherViews(c *column, from, n int64) (to int64, err error) {
	c.spans, c.arena = c.spans[:0], c.arena[:0]
	for to = from; to < min(n, from+mostValues); to++ {
		if !c.valid.has(to) || !c.seen.has(to) {
			c.spans = append(c.spans, uint32(len(c.arena)), 0)
			continue
		}
		v := c.from[viewSize*to:][:viewSize]
		size := int64(int32(binary.LittleEndian.Uint32(v)))
		var text []byte
		switch {
		case size < 0:
			return 0, s.damagedAt(c, to, errOffsets)
		case size <= viewInline:
			text = v[4:][:size]
		default:
			k, off := int64(int32(binary.LittleEndian.Uint32(v[8:]))), int64(int32(binary.LittleEndian.Uint32(v[12:])))
			if k < 0 || k >= int64(len(c.viewed)) || off < 0 || off > int64(len(c.viewed[k]))-size {
				return 0, s.damagedAt(c, to, errOffsets)
			}
			text = c.viewed[k][off:][:size]
		}
		if to > from && len(c.arena)+len(text) > mostBytes {
			break
		}
		if err := s.growArena(c, len(text)); err != nil {
			return 0, err
		}
		c.spans = append(c.spans, uint32(len(c.arena)), uint32(len(text)))
		c.arena = append(c.arena, text...)
	}
	c.setArena()
	return to, nil
}

// takeViews is take for a column of views. All their text is in one buffer of the output.
func (s *Stream) takeViews(c *column, r Results, n int64) error {
	for i := range len(r.Spans) / 2 {
		text, missing := c.result(&r, i)
		if missing {
			c.miss(c.batch.first+int64(i), n)
		}
		c.to = binary.LittleEndian.AppendUint32(c.to, uint32(len(text)))
		if len(text) <= viewInline {
			c.to = append(c.to, text...)
			c.to = append(c.to, zeros[:viewInline-len(text)]...)
			continue
		}
		c.to = append(c.to, text[:4]...)
		c.to = binary.LittleEndian.AppendUint32(c.to, 0)
		c.to = binary.LittleEndian.AppendUint32(c.to, uint32(len(c.results)))
		c.results = append(c.results, text...)
		if err := s.fits(c, min(s.memory, math.MaxInt32)); err != nil {
			return err
		}
	}
	return nil
}
