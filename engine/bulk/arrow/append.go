package arrow

import (
	"context"
	"encoding/binary"
	"math"
)

// Appender is a [Replacer] whose results Append writes straight into the output.
type Appender interface {
	Replacer
	// AppendResults replaces the values of b and appends the results to dst, one after
	// another, growing it with AppendOptions.Grow. lengths holds two elements per result, of
	// which the second is its length and the first is ignored; it is nil if all results have
	// one length. If ok is false, because a value has no result or for another reason, what
	// was appended is dropped and Replace is called for the whole record batch.
	AppendResults(ctx context.Context, b *Batch, dst []byte) (out []byte, lengths []uint32, ok bool, err error)
	// Count is called by Scan instead of Replace with the number of values that a column has
	// in a record batch, the number of empty ones among them, and their bytes. If it returns
	// false, Scan calls Replace with the values.
	Count(batch int, values, empty int, size int64) bool
}

// AppendOptions are the options of [Stream.Append].
type AppendOptions struct {
	// Grow returns b with room for n more bytes.
	Grow func(b []byte, n int) ([]byte, error)
	// Spans is memory for the spans of the values passed to an [Appender] at a time, two
	// elements for each.
	Spans []uint32
}

// Append is Write for a stream of [OpenBytes]; it appends to dst. On an error it returns dst
// with what is written so far.
func (s *Stream) Append(ctx context.Context, dst []byte, o AppendOptions) ([]byte, error) {
	defer s.packers.close()
	s.dst, s.appending = dst, o
	begin := len(dst)
	err := s.writeStream(ctx)
	s.written = int64(len(s.dst) - begin)
	return s.dst, err
}

// direct returns the Appender of a column at the top level whose values are stored alike in
// the batch and in the output, one after another. It returns nil for other columns.
func (s *Stream) direct(c *column, b *batch) Appender {
	f := c.field
	a, _ := c.replacer.(Appender)
	if a == nil || b.codec != codecNone || f.parent != nil || f.dictionary || f.layout != nil || b.nodes[f.index].length == 0 {
		return nil
	}
	if c.out.layout != nil || c.out.kind != f.kind || !c.out.narrow() && !c.out.wide() {
		return nil
	}
	return a
}

// appendBatch appends a record batch whose columns are all direct. It returns false if
// they are not, or if a value has no result, with nothing appended.
func (s *Stream) appendBatch(ctx context.Context, m *message, b *batch) (done bool, err error) {
	if cap(s.appending.Spans) < 2 || len(s.columns) == 0 {
		return false, nil
	}
	for _, c := range s.columns {
		if s.direct(c, b) == nil {
			return false, nil
		}
	}
	mark := len(s.dst)
	defer func() {
		if !done {
			s.dst = s.dst[:mark]
		}
	}()
	// The length of the metadata does not depend on the offsets of the buffers.
	n := len(s.encode(m, b, b.buffers, s.variadics(m, b), 1))
	n += -n & (alignment - 1)
	if err := s.room(8 + n); err != nil {
		return false, err
	}
	s.dst = s.dst[:mark+8+n]
	body := len(s.dst)
	s.spans = s.spans[:0]
	for i := range b.buffers {
		at := len(s.dst)
		if done, err := s.appendBuffer(ctx, b, i); !done || err != nil {
			return false, err
		}
		s.spans = append(s.spans, span{int64(at - body), int64(len(s.dst) - at)})
		if err := s.put(zeros[:-(len(s.dst)-body)&(alignment-1)]); err != nil {
			return false, err
		}
	}
	head := s.dst[mark:body]
	clear(head)
	binary.LittleEndian.PutUint32(head, continuation)
	binary.LittleEndian.PutUint32(head[4:], uint32(n))
	if copy(head[8:], s.encode(m, b, s.spans, s.variadics(m, b), int64(len(s.dst)-body))) > n {
		return false, s.bad("its metadata does not fit")
	}
	return true, nil
}

// appendBuffer appends buffer i of a batch, or its results if it belongs to a replaced
// column. It reserves space for offsets, which appendValues sets.
func (s *Stream) appendBuffer(ctx context.Context, b *batch, i int) (done bool, err error) {
	for _, c := range s.columns {
		switch i - b.start[c.field.index] {
		case 1:
			n := b.nodes[c.field.index].length
			c.toAt = len(s.dst)
			size := c.out.width() * (int(n) + 1)
			if err := s.room(size); err != nil {
				return false, err
			}
			s.dst = s.dst[:len(s.dst)+size]
			return true, nil
		case 2:
			return s.appendValues(ctx, c, b)
		}
	}
	v := b.buffers[i]
	return true, s.put(s.body[v.off:][:v.n])
}

// appendValues appends the results of a column and sets their offsets.
func (s *Stream) appendValues(ctx context.Context, c *column, b *batch) (done bool, err error) {
	f := c.field
	a := s.direct(c, b)
	first := b.start[f.index]
	n := int(b.nodes[f.index].length)
	raw := func(i int) []byte { v := b.buffers[first+i]; return s.body[v.off:][:v.n] }
	offsets, data := raw(1), raw(2)
	if _, err := s.begin(c, b); err != nil {
		return false, err
	}
	width := c.out.width()
	if len(offsets)/width < n+1 {
		return false, nil
	}
	begin := len(s.dst)
	to := c.toAt
	clear(s.dst[to : to+width])
	to += width
	for from := 0; from < n; {
		k := min(n-from, cap(s.appending.Spans)/2)
		spans := s.appending.Spans[:2*k]
		gather := gatherNarrow
		if width == 8 {
			gather = gatherWide
		}
		low, high, ok := gather(spans, offsets[width*from:], uint64(len(data)))
		if !ok {
			return false, nil
		}
		if c.valid != nil {
			for i := range k {
				if !c.valid.has(int64(from + i)) {
					spans[2*i+1] = 0
				}
			}
		}
		c.batch.Arena, c.batch.Spans = data[low:high], spans
		c.batch.s, c.batch.c, c.batch.Batch, c.batch.first = s, c, s.batch, int64(from)
		before := len(s.dst)
		out, lengths, ok, err := a.AppendResults(ctx, &c.batch, s.dst)
		if s.dst = out; !ok || err != nil {
			return false, err
		}
		if width == 4 && len(s.dst)-begin > math.MaxInt32 {
			return false, nil // Replace returns the error
		}
		place := s.dst[to : to+width*k]
		var end uint64
		switch {
		case width == 8:
			end = setWide(place, uint64(before-begin), lengths, (len(s.dst)-before)/k)
		case lengths == nil:
			end = setEqual(place, uint32(before-begin), uint32((len(s.dst)-before)/k))
		default:
			end = setNarrow(place, uint32(before-begin), lengths)
		}
		if end != uint64(len(s.dst)-begin) {
			return false, nil
		}
		to += width * k
		from += k
	}
	return true, nil
}

// countDirect counts the values of a direct column in a Scan. It returns false if Replace has
// to be called.
func (s *Stream) countDirect(c *column, b *batch) bool {
	f := c.field
	a := s.direct(c, b)
	if a == nil || b.nodes[f.index].nulls > 0 {
		return false
	}
	at, n := b.start[f.index], int(b.nodes[f.index].length)
	o, d := b.buffers[at+1], b.buffers[at+2]
	offsets := s.body[o.off:][:o.n]
	if len(offsets)/c.out.width() < n+1 {
		return false // Replace returns the error
	}
	count := countNarrow
	if c.out.width() == 8 {
		count = countWide
	}
	empty, size, ok := count(offsets[:c.out.width()*(n+1)], uint64(d.n))
	return ok && a.Count(s.batch, n, empty, size)
}

// width returns the size of an offset in bytes.
func (t storage) width() int {
	if t.wide() {
		return 8
	}
	return 4
}

// room makes room for n more bytes of the output.
func (s *Stream) room(n int) (err error) {
	if cap(s.dst)-len(s.dst) < n {
		s.dst, err = s.appending.Grow(s.dst, n)
	}
	return err
}
