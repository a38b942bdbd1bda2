package bulk

import (
	"bytes"
	"context"
	"errors"

	"github.com/velonym/velonym/engine/suite"
)

// The general path of a chunk: value by value, with quoting, escaping, failures and mapping.

// slow transforms into the batches' own buffers and then writes the output value by value.
func (s *splicer) slow(ctx context.Context, c *chunk) {
	s.fastPaths.slow.Add(1)
	plain := s.transformAll(ctx, c)
	if c.fail != nil {
		return
	}
	s.faults(c)
	if c.err != nil {
		return
	}
	if c.err = s.unwritable(plain); c.err != nil {
		return
	}
	if s.mapping && !s.dry {
		s.pairs(c)
	}
	if !s.dry {
		s.writeValues(c, plain)
	}
}

// transformAll transforms every group's batch and collects the failed values in order. plain
// reports that no result needs encoding.
func (s *splicer) transformAll(ctx context.Context, c *chunk) (plain bool) {
	plain = !s.bare
	for gi, g := range s.groups {
		b := &g.batch
		g.next = 0
		b.At, b.Pre, b.Post, b.Dst = nil, "", "", b.Dst[:0]
		if err := g.transform(ctx, s.onError != Fail || s.dry); err != nil {
			var re *remoteError
			if c.fail = err; errors.As(err, &re) && !errors.Is(err, ErrInterrupted) {
				v := s.valueOf(gi, re.First)
				line := 1 + int64(bytes.Count(s.data[:s.spans[2*v]], lf))
				c.fail = &serverError{line: line, err: err}
			}
			return false
		}
		plain = plain && s.plain(b.Dst)
		for k, bad := range b.Bad {
			v := s.valueOf(gi, bad.Index)
			s.bad = append(s.bad, badValue{v, s.column(v), bad.Code, g.cause(bad, k == 0)})
		}
	}
	for _, v := range s.forced {
		s.bad = append(s.bad, badValue{v, s.column(v), suite.NotAString, ""})
	}
	if len(s.groups) > 1 || len(s.forced) > 0 {
		sortFailed(s.bad)
	}
	return plain
}

// unwritable returns the error for the first result that needs quotes in a file without
// them, or nil. plain means that none needs any.
func (s *splicer) unwritable(plain bool) *Error {
	t, ok := s.text.(csvText)
	if !ok || t.quote != noQuote || plain && len(s.bad) == 0 {
		return nil
	}
	next := make([]int, len(s.groups))
	bad := s.bad
	for v := 0; v < len(s.spans)/2; v++ {
		k := 0
		if len(s.groups) > 1 {
			k = s.owner[s.column(v)]
		}
		b, i := &s.groups[k].batch, next[k]
		next[k]++
		off, n := int(s.spans[2*v]), int(s.spans[2*v+1])
		var err error
		switch {
		case len(bad) > 0 && bad[0].value == v:
			bad = bad[1:]
			if s.onError == Null && t.alone(s.data, off, n) {
				err = errEmptyLine
			}
		case b.Spans[2*i+1] != 0 && t.d.NeedsQuotes(b.Dst[b.Out[2*i]:][:b.Out[2*i+1]]):
			err = errUnquoted
		}
		if err != nil {
			return &Error{Line: 1 + int64(bytes.Count(s.data[:off], lf)), Column: s.names[s.column(v)], Err: err}
		}
	}
	return nil
}

// writeValues writes the rows with results in place of values and moves rejected rows to
// c.rejects. plain means that no result needs encoding.
func (s *splicer) writeValues(c *chunk, plain bool) {
	drop := s.ext[:0]
	if len(s.bad) > 0 && s.onError == Keep {
		drop = s.dropped()
		s.ext = drop
	}
	out := c.out[:0]
	p := 0
	bad := s.bad
	for v := 0; v < len(s.spans)/2; v++ {
		g := s.groups[0]
		if len(s.groups) > 1 {
			g = s.groups[s.owner[s.column(v)]]
		}
		i := g.next
		g.next++
		off, n := int(s.spans[2*v]), int(s.spans[2*v+1])
		for len(drop) > 0 && off >= drop[1] {
			drop = drop[2:]
		}
		if len(drop) > 0 && off >= drop[0] {
			if p <= drop[0] { // the first value of the row
				out = append(out, s.data[p:drop[0]]...)
				c.rejects = append(c.rejects, s.data[drop[0]:drop[1]]...)
				if s.data[drop[1]-1] != '\n' {
					c.rejects = append(c.rejects, '\n') // rows of the next input may follow
				}
				c.tally.Rejected++
				p = drop[1]
			}
			continue
		}
		if len(bad) > 0 && bad[0].value == v {
			bad = bad[1:]
			out = append(out, s.data[p:off]...)
			more := 0
			out, more = s.appendNull(out, s.data, off, n)
			p = off + n + more
			continue
		}
		if g.batch.Spans[2*i+1] == 0 {
			continue // empty or a null marker
		}
		res := g.batch.Dst[g.batch.Out[2*i]:][:g.batch.Out[2*i+1]]
		out = appendShort(out, s.data[p:off])
		if plain && len(res) > 0 {
			out = appendShort(out, res)
		} else {
			out = s.appendValue(out, res, s.data, off, n)
		}
		p = off + n
	}
	c.out = append(out, s.data[p:]...)
}

// appendShort is append(dst, v...) without a function call for most texts of up to 16 bytes,
// such as identifiers and the text between them.
func appendShort(dst, v []byte) []byte {
	if n := len(dst); len(v) <= 16 && cap(v) >= 16 && cap(dst)-n >= 16 {
		*(*[16]byte)(dst[n : n+16]) = *(*[16]byte)(v[:16])
		return dst[:n+len(v)]
	}
	return append(dst, v...)
}

// valueOf returns the index in the chunk of the i-th value of a group.
func (s *splicer) valueOf(group, i int) int {
	if len(s.groups) == 1 {
		return i
	}
	if s.path == nil { // every row has the same columns, and so many of the group
		var cols []int
		for c, o := range s.owner {
			if o == group {
				cols = append(cols, c)
			}
		}
		return i/len(cols)*len(s.owner) + cols[i%len(cols)]
	}
	for v, p := range s.path {
		if s.owner[p] == group {
			if i == 0 {
				return v
			}
			i--
		}
	}
	panic("bulk: a batch has more values than its group")
}

// sortFailed sorts by value. An insertion sort suffices: each group's part is sorted already,
// and there are few.
func sortFailed(b []badValue) {
	for i := 1; i < len(b); i++ {
		for j := i; j > 0 && b[j].value < b[j-1].value; j-- {
			b[j], b[j-1] = b[j-1], b[j]
		}
	}
}

// faults counts the failed values. It records the first ones, or makes the first the chunk's
// error.
func (s *splicer) faults(c *chunk) {
	c.tally.Errors += int64(len(s.bad))
	line, at := int64(1), 0
	for i, b := range s.bad {
		if i == maxFailures {
			break
		}
		off := int(s.spans[2*b.value])
		line += int64(bytes.Count(s.data[at:off], lf))
		at = off
		if s.onError == Fail && !s.dry {
			c.err = &Error{Line: line, Column: s.names[b.column], Code: b.code, Why: b.why, at: off}
			return
		}
		c.faults = append(c.faults, fault{line, s.names[b.column], b.code.String()})
	}
}

// dropped returns the extents of the records that hold a failed value.
func (s *splicer) dropped() []int {
	s.skip = s.skip[:0]
	for _, b := range s.bad {
		r := s.recordOf(b.value)
		if k := len(s.skip); k == 0 || s.skip[k-1] != r {
			s.skip = append(s.skip, r)
		}
	}
	return s.records(s.ext[:0], s.data, s.skip)
}

// pairs appends rows of the mapping file to c.pairs.
func (s *splicer) pairs(c *chunk) {
	for _, g := range s.groups {
		b := &g.batch
		for i := 0; i < len(b.Spans)/2; i++ {
			if b.Out[2*i+1] == 0 {
				continue
			}
			c.pairs = mapDialect.AppendField(c.pairs, b.Src[b.Spans[2*i]:][:b.Spans[2*i+1]], false)
			c.pairs = append(c.pairs, ',')
			c.pairs = mapDialect.AppendField(c.pairs, b.Dst[b.Out[2*i]:][:b.Out[2*i+1]], false)
			c.pairs = append(c.pairs, '\n')
		}
	}
}
