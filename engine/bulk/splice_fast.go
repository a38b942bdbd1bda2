package bulk

import (
	"bytes"

	"github.com/velonym/velonym/engine/bulk/internal/copybetween"
)

// The fast paths of a chunk, for results whose offsets are known before the transform.

// canWriteRows reports whether the output may consist of nothing but results and line feeds.
func (s *splicer) canWriteRows() bool {
	g := s.groups[0]
	return s.clear && s.sameSpans && g.plan != nil && g.batch.Doc == nil
}

// tryFast writes the output without examining each result and reports whether it could. It
// can if the results are the rows, or if the length of a result follows from its value's.
func (s *splicer) tryFast(c *chunk) bool {
	if s.canWriteRows() && s.tryRows(c) {
		s.fastPaths.rows.Add(1)
		return true
	}
	for _, g := range s.groups {
		if !g.fixed {
			return false
		}
	}
	for _, g := range s.groups {
		g.next = 0
		g.at = g.at[:0]
	}
	// The layout copies the text between the values and decides where each result goes.
	need := len(s.data) + 64
	for _, g := range s.groups {
		sp := g.batch.Spans
		for i := 1; i < len(sp); i += 2 {
			need += int(g.resultLen(sp[i]))
		}
	}
	if cap(c.out) < need {
		c.out = make([]byte, need+need/8)
	}
	if s.sameSpans {
		c.out = s.layoutSingle(c.out[:need])
	} else {
		c.out = s.layout(c.out[:need])
	}
	for _, g := range s.groups {
		b := &g.batch
		if g.scatter {
			own := b.Dst
			b.At, b.Dst = g.at, c.out
			g.plan.Transform(b)
			b.At, b.Dst = nil, own
		} else {
			b.Dst = b.Dst[:0]
			g.plan.Transform(b)
		}
		if len(b.Bad) > 0 {
			return false
		}
		if g.scatter {
			s.fastPaths.scattered.Add(1)
		} else {
			s.fastPaths.copied.Add(1)
			g.copyResults(c.out)
		}
	}
	return true
}

// tryRows has the transform write the results as rows. It reports false if one fails or
// needs quotes.
func (s *splicer) tryRows(c *chunk) bool {
	g := s.groups[0]
	b := &g.batch
	own := b.Dst
	b.Post, b.Dst = "\n", c.out[:0]
	g.plan.Transform(b)
	out := b.Dst
	b.Post, b.Dst = "", own
	if len(b.Bad) > 0 {
		return false
	}
	if !g.fixed {
		for i := 1; i < len(b.Out); i += 2 {
			if b.Out[i] == 0 { // the row would be an empty line
				return false
			}
		}
		for _, special := range s.special {
			if bytes.IndexByte(out, special) >= 0 {
				return false
			}
		}
		if bytes.IndexByte(out, '\r') >= 0 || bytes.Count(out, lf) != len(b.Out)/2 {
			return false
		}
	}
	if s.data[len(s.data)-1] != '\n' {
		out = out[:len(out)-1]
	}
	c.out = out
	return true
}

// layoutSingle copies the text between the values of a single group to out and stores the
// offsets of the results in g.at. out is 64 bytes longer than the output, since kernels write
// whole blocks.
func (s *splicer) layoutSingle(out []byte) []byte {
	g := s.groups[0]
	n := len(s.spans) / 2
	if cap(g.at) < n {
		g.at = make([]uint32, n+n/4)
	}
	g.at = g.at[:n]
	p, o := 0, 0
	for v := 0; ; v++ {
		var done int
		done, p, o = copybetween.Text(out, s.data, s.spans[2*v:], g.at[v:], &g.outLen, p, o)
		if v += done; v == n {
			break
		}
		off, vn := int(s.spans[2*v]), s.spans[2*v+1]
		o += copy(out[o:], s.data[p:off])
		g.at[v] = uint32(o)
		o += int(g.resultLen(vn))
		p = off + int(vn)
	}
	o += copy(out[o:], s.data[p:])
	return out[:o]
}

// layout is layoutSingle for several groups and for values that were decoded.
func (s *splicer) layout(out []byte) []byte {
	p, o := 0, 0
	for v := 0; v < len(s.spans)/2; v++ {
		g := s.groups[0]
		if len(s.groups) > 1 {
			g = s.groups[s.owner[s.column(v)]]
		}
		vn := g.batch.Spans[2*g.next+1]
		g.next++
		if vn == 0 { // empty or a null marker: passes unchanged
			g.at = append(g.at, uint32(o))
			continue
		}
		off, n := int(s.spans[2*v]), int(s.spans[2*v+1])
		o += copy(out[o:], s.data[p:off])
		g.at = append(g.at, uint32(o))
		o += int(g.resultLen(vn))
		p = off + n
	}
	o += copy(out[o:], s.data[p:])
	return out[:o]
}
