package arrow

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/velonym/velonym/engine/bulk/internal/typed"
)

// take appends results to the column's new buffers. n is the number of values of the part.
func (s *Stream) take(c *column, r Results, n int64) error {
	if c.batch.Entry > 0 {
		c.note(r)
	}
	if s.scanning {
		return nil
	}
	switch {
	case c.out.layout != nil:
		return s.takeFixed(c, r, n)
	case c.out.view():
		return s.takeViews(c, r, n)
	}
	if !c.takeWhole(r) {
		for i := range len(r.Spans) / 2 {
			result, missing := c.result(&r, i)
			if missing {
				c.miss(c.batch.first+int64(i), n)
			}
			c.results = append(c.results, result...)
			c.putOffset()
		}
	}
	if !c.out.wide() && len(c.results) > math.MaxInt32 {
		return s.damaged(c.field, errors.New("its results need more than 2 GiB in a batch; write the input anew in smaller batches"))
	}
	return s.fits(c, s.memory)
}

// fits returns an error if the column's results need more than limit bytes.
func (s *Stream) fits(c *column, limit int64) error {
	if need := int64(len(c.results)); need > limit {
		return s.damaged(c.field, &MemoryError{"the column with its results", need, limit})
	}
	return nil
}

// result returns the result of value i of the batch. If it has none, missing is true and i is
// removed from r.Missing.
func (c *column) result(r *Results, i int) (text []byte, missing bool) {
	switch {
	case len(r.Missing) > 0 && r.Missing[0] == i:
		r.Missing = r.Missing[1:]
		return nil, true
	case r.Values[2*i+1] == 0:
		return c.batch.Arena[c.batch.Spans[2*i]:][:c.batch.Spans[2*i+1]], false
	}
	return r.Arena[r.Spans[2*i]:][:r.Spans[2*i+1]], false
}

func (c *column) putOffset() {
	if c.out.wide() {
		c.to = binary.LittleEndian.AppendUint64(c.to, uint64(len(c.results)))
	} else {
		c.to = binary.LittleEndian.AppendUint32(c.to, uint32(len(c.results)))
	}
}

// takeWhole appends all results with one copy if they are adjacent in their arena, and reports
// whether they are.
func (c *column) takeWhole(r Results) bool {
	values := c.batch.Spans
	if len(r.Missing) > 0 || len(values) == 0 {
		return false
	}
	mark := len(c.to)
	first, shift := r.Spans[0], len(c.results)
	next := first
	wide := c.out.wide()
	for i := 0; i < len(values); i += 2 {
		switch {
		case values[i+1] == 0: // stays empty
		case r.Spans[i] != next || r.Values[i+1] == 0:
			c.to = c.to[:mark]
			return false
		default:
			next += r.Spans[i+1]
		}
		if end := shift + int(next-first); wide {
			c.to = binary.LittleEndian.AppendUint64(c.to, uint64(end))
		} else {
			c.to = binary.LittleEndian.AppendUint32(c.to, uint32(end))
		}
	}
	c.results = append(c.results, r.Arena[first:next]...)
	return true
}

// takeFixed is take for a column that gets its original type back.
func (s *Stream) takeFixed(c *column, r Results, n int64) error {
	l := c.out.layout
	c.to = slices.Grow(c.to, len(r.Spans)/2*l.Width)
	for i := range len(r.Spans) / 2 {
		at := c.batch.first + int64(i)
		result, missing := c.result(&r, i)
		null := !c.valid.has(at) || !c.seen.has(at) || len(c.validity) > 0 && !bits(c.validity).has(at)
		if missing && c.field.nullable {
			c.miss(at, n)
			null = true
		}
		if null {
			c.to = l.AppendNothing(c.to)
			continue
		}
		var err error
		if c.to, err = l.AppendValue(c.to, result); err != nil {
			return s.notRestored(c, i, len(result) == 0, err)
		}
	}
	if int64(len(c.to)) > s.memory {
		return s.damaged(c.field, &MemoryError{"the column with its results", int64(len(c.to)), s.memory})
	}
	return nil
}

// notRestored returns the error for result i of a batch, with its row or entry.
func (s *Stream) notRestored(c *column, i int, empty bool, err error) error {
	if empty {
		err = typed.ErrEmpty
	}
	e := &RestoreError{Type: c.becomes, Err: err}
	if c.inDictionary {
		first := int64(len(c.states) - len(c.batch.Spans)/2)
		e.Entry = first + int64(i) + 1
	}
	return s.damagedAt(c, c.batch.first+int64(i), e)
}

// miss makes value i of n null, if it is the value of a row and the column may hold nulls.
func (c *column) miss(i, n int64) {
	if !c.field.nullable || c.inDictionary {
		return
	}
	if len(c.validity) == 0 {
		if c.valid != nil {
			c.validity = append(c.validity, c.valid[:(n+7)/8]...)
		} else {
			for range (n + 7) / 8 {
				c.validity = append(c.validity, 0xff)
			}
		}
	}
	c.validity[i>>3] &^= 1 << (i & 7)
	c.nulls++
}
