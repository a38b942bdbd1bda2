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
	out      storage // of the output's values
	becomes  string  // original type that it gets back
	decoded  bool    // it has a dictionary that the output omits
	levels   []level // lists above it, the outermost first

	inDictionary bool // the current part is its dictionary

	batch    Batch
	valid    bits // values of the batch that are not null
	seen     bits // values that a row refers to; nil means all
	nulls    int64
	unpacked [2][]byte

	from     []byte   // input: offsets, views, values of a fixed length or indexes
	data     []byte   // input: text that the offsets refer to
	viewed   [][]byte // input: text that the views refer to
	arena    []byte   // texts that the input stores in another form
	spans    []uint32 // offset and length of the values in the batch's arena
	to       []byte   // output: offsets, views or values of a fixed length
	results  []byte   // output: text that the offsets or views refer to
	toAt     int      // offset in Stream.dst of the output's offsets
	texts    int64    // number of buffers that views of the output refer to: 0 or 1
	validity []byte   // of the output; empty if it is that of the input

	states  []state  // of the entries of its dictionary
	entries []byte   // texts of the entries, if the output omits the dictionary
	entryAt []uint32 // offset in entries of each, and the end of the last
}

// part is the position of a column's values in a batch.
type part struct {
	node     int
	buffer   int // the first buffer, that of the validity
	variadic int // for a column of views: its index in batch.variadic
}

// level is a list above a column: the offset of each list's first item, and the number of
// lists.
type level struct {
	offsets func(i int64) int64
	n       int64
}

// bits is a bitmap of Arrow. In nil every bit is set.
type bits []byte

func (b bits) has(i int64) bool { return b == nil || b[i>>3]>>(i&7)&1 == 1 }

// Batch holds values to replace: some or all values of a column in a record batch. A null is
// an empty value here.
type Batch struct {
	Arena []byte
	Spans []uint32 // offset and length of each value in Arena
	Batch int      // record batch, from 1
	// Entry is the number, from 1, of the first value in the dictionary, or 0 if the values
	// are not those of a dictionary.
	Entry int64

	s     *Stream
	c     *column
	first int64 // index of the first value in the record batch
}

// Row returns the row of value i, counted from 1 over the whole input; 0 for an entry of a
// dictionary.
func (b *Batch) Row(i int) int64 {
	if b.Entry > 0 {
		return 0
	}
	return b.s.rows + b.c.row(b.first+int64(i)) + 1
}

// row returns the row, within the record batch, of value i of the column.
func (c *column) row(i int64) int64 {
	for k := len(c.levels) - 1; k >= 0; k-- {
		l := c.levels[k]
		i = int64(sort.Search(int(l.n), func(j int) bool { return l.offsets(int64(j)+1) > i }))
	}
	return i
}

// Greatest number of values and bytes in one call of a Replacer.
const (
	mostValues = 1 << 18
	mostBytes  = 64 << 20
)

// buffer returns the content of buffer i of the batch, decompressed.
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

// refersTo returns which values of a field some row refers to, nil for all, and the lists
// above the field. The field's own nulls do not count.
func (s *Stream) refersTo(b *batch, f *field, levels []level) (bits, []level, error) {
	p := f.parent
	if p == nil {
		return nil, levels, nil
	}
	above, levels, err := s.refersTo(b, p, levels)
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

// listOffsets returns a function that gives the offset of a list's first item.
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

// begin prepares the column for a record batch: it finds which values are valid and which of
// them some row refers to.
func (s *Stream) begin(c *column, b *batch) (p part, err error) {
	f := c.field
	p = part{node: f.index, buffer: b.start[f.index]}
	for _, other := range s.schema.fields[:f.index] {
		if other.view() && !other.dictionary {
			p.variadic++
		}
	}
	c.inDictionary, c.nulls = false, b.nodes[f.index].nulls
	if err := s.plausible(b, f); err != nil {
		return p, err
	}
	if c.valid, err = s.bitmap(b, f); err != nil {
		return p, err
	}
	c.seen, c.levels, err = s.refersTo(b, f, c.levels[:0])
	return p, err
}

// replaceValidity replaces the column's validity buffer if values became null.
func (s *Stream) replaceValidity(c *column, b *batch, p part) {
	if len(c.validity) > 0 {
		s.results[p.buffer] = c.validity
		b.nodes[p.node].nulls = c.nulls
	}
}

// replace replaces the values of a column in a record batch.
func (s *Stream) replace(ctx context.Context, c *column, b *batch) error {
	p, err := s.begin(c, b)
	if err != nil {
		return err
	}
	if c.field.dictionary && !c.decoded {
		return s.uses(ctx, c, b, p)
	}
	return s.rewrite(ctx, c, b, p)
}

// rewrite replaces the values of a part of a batch and puts the new buffers into s.results,
// s.added and s.dropped.
func (s *Stream) rewrite(ctx context.Context, c *column, b *batch, p part) error {
	n := b.nodes[p.node].length
	c.to, c.results, c.validity, c.texts = c.to[:0], c.results[:0], c.validity[:0], 0
	var err error
	if c.indexed() {
		c.from, err = s.indexes(c, b, p)
	} else {
		err = s.load(c, b, p)
	}
	if err != nil {
		return err
	}
	if n > 0 && c.out.layout == nil && !c.out.view() && !s.scanning {
		c.to = slices.Grow(c.to, int(8*(n+1)))
		c.putOffset()
	}
	for from := int64(0); from < n; {
		to, err := s.gather(c, from, n)
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
	s.setBuffers(c, b, p)
	return nil
}

// load sets c's input buffers to those of a part of a batch.
func (s *Stream) load(c *column, b *batch, p part) (err error) {
	n := b.nodes[p.node].length
	if c.from, err = s.buffer(b, p.buffer+1, &c.unpacked[0]); err != nil {
		return err
	}
	f := c.field
	switch {
	case f.layout != nil:
		if int64(len(c.from))/int64(f.layout.Width) < n {
			return s.damaged(f, errBatch)
		}
	case f.view():
		return s.loadViews(c, b, p)
	default:
		if c.data, err = s.buffer(b, p.buffer+2, &c.unpacked[1]); err != nil {
			return err
		}
		width := int64(4)
		if f.wide() {
			width = 8
		}
		if n > 0 && int64(len(c.from))/width < n+1 {
			return s.damaged(f, errOffsets)
		}
	}
	return nil
}

// setBuffers replaces the buffers of a part of a batch by the new ones of the column.
func (s *Stream) setBuffers(c *column, b *batch, p part) {
	now := [][]byte{c.to}
	switch {
	case c.out.view():
		if len(c.results) > 0 {
			now, c.texts = append(now, c.results), 1
		}
	case c.out.layout == nil:
		now = append(now, c.results)
	}
	was := 1
	switch f := c.field; {
	case c.indexed() || f.layout != nil:
	case f.view():
		was += int(b.variadic[p.variadic])
	default:
		was++
	}
	for i := range was {
		if i < len(now) {
			s.results[p.buffer+1+i] = now[i]
		} else {
			s.dropped[p.buffer+1+i] = true
		}
	}
	if len(now) > was {
		s.added[p.buffer+was] = now[was]
	}
	s.replaceValidity(c, b, p)
}

// call calls the Replacer for the gathered values, the first of which is value from.
func (s *Stream) call(ctx context.Context, c *column, from int64) (Results, error) {
	c.batch.s, c.batch.c, c.batch.Batch, c.batch.Spans, c.batch.first = s, c, s.batch, c.spans, from
	return c.replacer.Replace(ctx, &c.batch)
}

// gather sets c.batch.Arena and c.spans to the texts of the next values, beginning at from, and
// returns the index of the value after them.
func (s *Stream) gather(c *column, from, n int64) (to int64, err error) {
	switch f := c.field; {
	case c.indexed():
		return s.gatherEntries(c, from, n)
	case f.layout != nil:
		return s.gatherFixed(c, from, n)
	case f.view():
		return s.gatherViews(c, from, n)
	}
	return s.gatherTexts(c, from, n)
}

// gatherTexts is gather for text with offsets, which it does not copy.
func (s *Stream) gatherTexts(c *column, from, n int64) (to int64, err error) {
	c.spans = c.spans[:0]
	wide := c.field.wide()
	base := readOffset(c.from, wide, from)
	if base < 0 || base > int64(len(c.data)) {
		return 0, s.damagedAt(c, from, errOffsets)
	}
	end, to := base, from
	last := min(n, from+mostValues)
	plain := c.valid == nil && c.seen == nil
	for to < last {
		next := readOffset(c.from, wide, to+1)
		if next < end || next > int64(len(c.data)) {
			return 0, s.damagedAt(c, to, errOffsets)
		}
		if next-base > mostBytes && to > from {
			break
		}
		if next-base > math.MaxUint32 {
			return 0, s.damaged(c.field, &MemoryError{"a value", next - base, math.MaxUint32})
		}
		length := uint32(next - end)
		if !plain && !(c.valid.has(to) && c.seen.has(to)) {
			length = 0
		}
		c.spans = append(c.spans, uint32(end-base), length)
		end = next
		to++
	}
	c.batch.Arena = c.data[base:end]
	return to, nil
}

// gatherFixed is gather for values of a fixed length: their canonical texts.
func (s *Stream) gatherFixed(c *column, from, n int64) (to int64, err error) {
	l := c.field.layout
	width := int64(l.Width)
	to = min(n, from+min(mostValues, max(1, mostBytes/(2*width+80))))
	raw := c.from[from*width : to*width]
	c.arena, c.spans = c.arena[:0], c.spans[:0]
	if c.valid == nil && c.seen == nil {
		c.arena, c.spans, err = l.AppendTexts(c.arena, c.spans, raw)
	} else {
		for i := from; i < to && err == nil; i++ {
			at := len(c.arena)
			if c.valid.has(i) && c.seen.has(i) {
				c.arena, err = l.AppendText(c.arena, raw[(i-from)*width:][:width])
			}
			if err == nil {
				c.spans = append(c.spans, uint32(at), uint32(len(c.arena)-at))
			}
		}
	}
	if err != nil {
		return 0, s.damagedAt(c, from+int64(len(c.spans)/2), fmt.Errorf("holds %w", err))
	}
	c.setArena()
	return to, nil
}

// setArena makes c.arena the arena of the batch.
func (c *column) setArena() {
	c.arena = slices.Grow(c.arena, padding)
	c.batch.Arena = c.arena
}

// indexed reports whether the part's values are indexes of the column's dictionary.
func (c *column) indexed() bool { return c.field.dictionary && !c.inDictionary }

// damagedAt returns the error for value i of the column in the current batch, or for an entry
// of its dictionary.
func (s *Stream) damagedAt(c *column, i int64, err error) error {
	e := &Error{File: s.name, Batch: s.batch, Column: c.field.path(), Err: err}
	if !c.inDictionary {
		e.Row = s.rows + c.row(i) + 1
	}
	return e
}

// plausible checks the lengths of a column and of those above it, before memory is allocated
// and loops run according to them.
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
