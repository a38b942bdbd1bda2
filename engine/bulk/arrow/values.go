package arrow

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sort"
)

// column is a column that is replaced.
type column struct {
	field    *field
	replacer Replacer
	levels   []level // of the lists above it, the outermost first

	batch    Batch
	spans    []uint32
	valid    bits // of the batch's values themselves
	offsets  []byte
	data     []byte
	unpacked [2][]byte
	validity []byte  // new
	states   []state // of the entries of its dictionary
	arena    []byte  // of values that lie in several buffers
	nulls    int64
}

// level is a list above a column: where the items of each value begin, and which values
// are seen.
type level struct {
	offsets func(i int64) int64
	n       int64
}

// bits is a bitmap of Arrow; nil has every bit set.
type bits []byte

func (b bits) has(i int64) bool { return b == nil || b[i>>3]>>(i&7)&1 == 1 }

// Batch is values to replace: some of those of a column in a record batch. A null is an
// empty value.
type Batch struct {
	Arena []byte
	Spans []uint32 // offset and length of each value in Arena
	Batch int      // record batch, from 1
	// Entry is 0, or of values of a dictionary the number of the first, from 1.
	Entry int64

	s     *Stream
	c     *column
	first int64 // values of the column in the record batch before
}

// Row returns the row of value i, from 1, counted over the whole input; 0 for an entry of
// a dictionary.
func (b *Batch) Row(i int) int64 {
	if b.Entry > 0 {
		return 0
	}
	return b.s.rows + b.c.row(b.first+int64(i)) + 1
}

// row returns the row in the record batch of a value of the column.
func (c *column) row(i int64) int64 {
	for k := len(c.levels) - 1; k >= 0; k-- {
		l := c.levels[k]
		i = int64(sort.Search(int(l.n), func(j int) bool { return l.offsets(int64(j)+1) > i }))
	}
	return i
}

// Values and bytes that a Replacer is given at a time.
const (
	mostValues = 1 << 18
	mostBytes  = 64 << 20
)

// buffer returns what buffer i of the batch holds, unpacked.
func (s *Stream) buffer(b *batch, i int, into *[]byte) ([]byte, error) {
	raw := s.body[b.buffers[i].off:][:b.buffers[i].n]
	if b.codec == codecNone {
		return raw, nil
	}
	if s.reserve != nil && len(raw) >= 8 {
		if n := int64(binary.LittleEndian.Uint64(raw)) - int64(cap(*into)); n > 0 && n <= s.memory {
			if err := s.reserve(n + n/4 + padding); err != nil {
				return nil, err
			}
		}
	}
	out, err := s.packers.unpack((*into)[:0], b.codec, raw, s.memory)
	*into = out
	if err != nil {
		return nil, s.bad("%w", err)
	}
	return out, nil
}

// bitmap returns the validity of a field; nil if all its values are valid.
func (s *Stream) bitmap(b *batch, f *field) (bits, error) {
	n := b.nodes[f.index]
	if n.nulls == 0 {
		return nil, nil
	}
	var own []byte
	raw, err := s.buffer(b, b.start[f.index], &own)
	if err != nil {
		return nil, err
	}
	if int64(len(raw)) < (n.length+7)/8 {
		return nil, s.damaged(f, errBatch)
	}
	return bits(raw), nil
}

func (s *Stream) damaged(f *field, err error) error {
	return &Error{File: s.name, Batch: s.batch, Column: f.path(), Err: err}
}

// seen returns which values of a field a row refers to, leaving the field's own nulls
// aside, and the lists above it; nil means all.
func (s *Stream) seen(b *batch, f *field, levels []level) (bits, []level, error) {
	p := f.parent
	if p == nil {
		return nil, levels, nil
	}
	above, levels, err := s.seen(b, p, levels)
	if err != nil {
		return nil, nil, err
	}
	valid, err := s.bitmap(b, p)
	if err != nil {
		return nil, nil, err
	}
	n, own := b.nodes[p.index].length, b.nodes[f.index].length
	out := make(bits, (own+7)/8)
	if p.kind == kindStruct {
		if own < n {
			return nil, nil, s.damaged(f, errBatch)
		}
		if valid == nil && above == nil && own == n {
			return nil, levels, nil
		}
		for i := range n {
			if valid.has(i) && above.has(i) {
				out[i>>3] |= 1 << (i & 7)
			}
		}
		return out, levels, nil
	}
	offset, err := s.listOffsets(b, p)
	if err != nil {
		return nil, nil, err
	}
	if n > 0 && (offset(0) < 0 || offset(n) > own) {
		return nil, nil, s.damaged(p, errOffsets)
	}
	for i := range n {
		from, to := offset(i), offset(i+1)
		if to < from || from < 0 || to > own {
			return nil, nil, s.damaged(p, errOffsets)
		}
		if valid.has(i) && above.has(i) {
			for k := from; k < to; k++ {
				out[k>>3] |= 1 << (k & 7)
			}
		}
	}
	return out, append(levels, level{offset, n}), nil
}

// listOffsets returns where the items of each list begin.
func (s *Stream) listOffsets(b *batch, f *field) (func(i int64) int64, error) {
	n := b.nodes[f.index].length
	if f.kind == kindFixedSizeList {
		if f.size < 0 || n > 0 && f.size > math.MaxInt64/(n+1) {
			return nil, s.damaged(f, errBatch)
		}
		return func(i int64) int64 { return i * f.size }, nil
	}
	var own []byte
	raw, err := s.buffer(b, b.start[f.index]+1, &own)
	if err != nil {
		return nil, err
	}
	width := int64(4)
	if f.kind == kindLargeList {
		width = 8
	}
	if n > 0 && int64(len(raw))/width < n+1 {
		return nil, s.damaged(f, errOffsets)
	}
	return func(i int64) int64 { return readOffset(raw, width == 8, i) }, nil
}

func readOffset(raw []byte, wide bool, i int64) int64 {
	if wide {
		return int64(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return int64(int32(binary.LittleEndian.Uint32(raw[4*i:])))
}

// begin makes a batch the column's. It returns the column's first buffer there, how many
// values it has and which of them a row refers to.
func (s *Stream) begin(c *column, b *batch) (at int, n int64, seen bits, err error) {
	f := c.field
	at, n, c.nulls = b.start[f.index], b.nodes[f.index].length, b.nodes[f.index].nulls
	if err := s.plausible(b, f); err != nil {
		return 0, 0, nil, err
	}
	if c.valid, err = s.bitmap(b, f); err != nil {
		return 0, 0, nil, err
	}
	seen, c.levels, err = s.seen(b, f, c.levels[:0])
	return at, n, seen, err
}

// replaceValidity makes the new validity that of the column, if values became null.
func (s *Stream) replaceValidity(c *column, b *batch, at int) {
	if len(c.validity) > 0 {
		s.results[at] = c.validity
		b.nodes[c.field.index].nulls = c.nulls
	}
}

// replace replaces the values of a column in a batch and leaves its new buffers in
// s.results.
func (s *Stream) replace(ctx context.Context, c *column, b *batch) error {
	at, n, seen, err := s.begin(c, b)
	if err != nil {
		return err
	}
	if err := s.rewrite(ctx, c, b, at, n, seen); err != nil {
		return err
	}
	s.replaceValidity(c, b, at)
	return nil
}

// rewrite replaces n values whose first buffer is the given one.
func (s *Stream) rewrite(ctx context.Context, c *column, b *batch, at int, n int64, seen bits) error {
	offsets, err := s.buffer(b, at+1, &c.unpacked[0])
	if err != nil {
		return err
	}
	data, err := s.buffer(b, at+2, &c.unpacked[1])
	if err != nil {
		return err
	}
	width := int64(4)
	if c.field.wide() {
		width = 8
	}
	if n > 0 && int64(len(offsets))/width < n+1 {
		return s.damaged(c.field, errOffsets)
	}
	c.offsets, c.data, c.validity = c.offsets[:0], c.data[:0], c.validity[:0]
	if n > 0 && !s.scanning {
		c.offsets = slices.Grow(c.offsets, int(width*(n+1)))
		c.putOffset()
	}
	for from := int64(0); from < n; {
		to, err := s.gather(c, from, n, offsets, data, seen)
		if err != nil {
			return err
		}
		r, err := s.call(ctx, c, from)
		if err != nil {
			return err
		}
		if err := s.take(c, r, n); err != nil {
			return err
		}
		from = to
	}
	s.results[at+1], s.results[at+2] = c.offsets, c.data
	return nil
}

// call has the gathered values, the first of which is the given one, replaced.
func (s *Stream) call(ctx context.Context, c *column, from int64) (Results, error) {
	c.batch.s, c.batch.c, c.batch.Batch, c.batch.Spans, c.batch.first = s, c, s.batch, c.spans, from
	return c.replacer.Replace(ctx, &c.batch)
}

// gather sets the spans of the next values, from the given one on, and returns which
// value follows them.
func (s *Stream) gather(c *column, from, n int64, offsets, data []byte, seen bits) (to int64, err error) {
	c.spans = c.spans[:0]
	wide := c.field.wide()
	base := readOffset(offsets, wide, from)
	if base < 0 || base > int64(len(data)) {
		return 0, s.damagedAt(c, from)
	}
	end, to := base, from
	last := min(n, from+mostValues)
	plain := c.valid == nil && seen == nil
	for to < last {
		next := readOffset(offsets, wide, to+1)
		if next < end || next > int64(len(data)) {
			return 0, s.damagedAt(c, to)
		}
		if next-base > mostBytes && to > from {
			break
		}
		if next-base > math.MaxUint32 {
			return 0, s.damaged(c.field, &MemoryError{"a value", next - base, math.MaxUint32})
		}
		length := uint32(next - end)
		if !plain && !(c.valid.has(to) && seen.has(to)) {
			length = 0
		}
		c.spans = append(c.spans, uint32(end-base), length)
		end = next
		to++
	}
	c.batch.Arena = data[base:end]
	return to, nil
}

func (s *Stream) damagedAt(c *column, i int64) error {
	return &Error{File: s.name, Batch: s.batch, Row: s.rows + c.row(i) + 1, Column: c.field.path(), Err: errOffsets}
}

// plausible bounds the lengths of a column and of those that it lies in, before memory is
// taken and loops run by them.
func (s *Stream) plausible(b *batch, f *field) error {
	for ; f != nil; f = f.parent {
		n := b.nodes[f.index].length
		if n > s.memory {
			return s.damaged(f, &MemoryError{"a batch", n, s.memory})
		}
		if p := f.parent; p != nil && p.kind == kindStruct && b.nodes[p.index].length > n {
			return s.damaged(f, errBatch)
		}
	}
	return nil
}

func (c *column) putOffset() {
	if c.field.wide() {
		c.offsets = binary.LittleEndian.AppendUint64(c.offsets, uint64(len(c.data)))
	} else {
		c.offsets = binary.LittleEndian.AppendUint32(c.offsets, uint32(len(c.data)))
	}
}

// take appends results to the column's new buffers.
func (s *Stream) take(c *column, r Results, n int64) error {
	values := c.batch.Spans
	if c.batch.Entry > 0 {
		c.note(r)
	}
	if s.scanning {
		return nil
	}
	if !c.takeWhole(r) {
		missing := r.Missing
		for i := 0; i < len(values); i += 2 {
			switch {
			case len(missing) > 0 && missing[0] == i/2:
				missing = missing[1:]
				c.miss(c.batch.first+int64(i/2), n)
			case r.Values[i+1] == 0:
				c.data = append(c.data, c.batch.Arena[values[i]:][:values[i+1]]...)
			default:
				c.data = append(c.data, r.Arena[r.Spans[i]:][:r.Spans[i+1]]...)
			}
			c.putOffset()
		}
	}
	if !c.field.wide() && len(c.data) > math.MaxInt32 {
		return s.damaged(c.field, fmt.Errorf("its results need more than 2 GiB in a batch; write the input anew in smaller batches"))
	}
	if int64(len(c.data)) > s.memory {
		return s.damaged(c.field, &MemoryError{"the column with its results", int64(len(c.data)), s.memory})
	}
	return nil
}

// takeWhole takes results that follow each other in their arena at once, and reports
// whether they did.
func (c *column) takeWhole(r Results) bool {
	values := c.batch.Spans
	if len(r.Missing) > 0 || len(values) == 0 {
		return false
	}
	mark := len(c.offsets)
	first, shift := r.Spans[0], len(c.data)
	next := first
	wide := c.field.wide()
	for i := 0; i < len(values); i += 2 {
		switch {
		case values[i+1] == 0: // stays empty
		case r.Spans[i] != next || r.Values[i+1] == 0:
			c.offsets = c.offsets[:mark]
			return false
		default:
			next += r.Spans[i+1]
		}
		if end := shift + int(next-first); wide {
			c.offsets = binary.LittleEndian.AppendUint64(c.offsets, uint64(end))
		} else {
			c.offsets = binary.LittleEndian.AppendUint32(c.offsets, uint32(end))
		}
	}
	c.data = append(c.data, r.Arena[first:next]...)
	return true
}

// miss makes value i of n null, if the column may hold nulls.
func (c *column) miss(i, n int64) {
	if !c.field.nullable || c.batch.Entry > 0 {
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
