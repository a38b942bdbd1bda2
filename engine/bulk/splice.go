package bulk

import (
	"bytes"
	"context"
	"errors"
	"math"

	"github.com/velonym/velonym/engine/bulk/internal/copybetween"
	"github.com/velonym/velonym/engine/bulk/internal/hyperloglog"
	"github.com/velonym/velonym/engine/suite"
)

// text is how a format writes values: CSV fields or JSON strings.
type text interface {
	// decode appends the value whose text, between its quotes, is raw.
	decode(dst, raw []byte) []byte
	// needs says whether v cannot stand between quotes, or without, as it is.
	plain(v []byte) bool
	// appendValue appends the text of v in place of data[off:off+n] to dst, which
	// holds what stands before it.
	appendValue(dst, v, data []byte, off, n int) []byte
	// appendNull does that for a value that cannot be transformed. It returns how
	// many bytes of data behind the value it replaces as well.
	appendNull(dst, data []byte, off, n int) ([]byte, int)
	// records returns, for the ascending record numbers, the extents of the records
	// in data, off, end pairs.
	records(dst []int, data []byte, numbers []int) []int
}

// splicer replaces values in a chunk. The format's worker finds them.
type splicer struct {
	text
	groups []*group
	owner  []int    // column → index of its group
	names  []string // column → its name, for messages
	null   map[string]struct{}

	special []byte // bytes that a row's value cannot hold unquoted, line ends aside

	onError OnError
	dry     bool
	mapping bool
	seen    *hyperloglog.Counter
	ways    *ways

	// Of the chunk, set by the format's worker.
	data    []byte   // the rows, with slack behind them
	spans   []uint32 // off, len of every value between its quotes
	encoded []uint32 // indexes of values whose text is not the value
	path    []uint8  // column of each value; nil: they take turns
	forced  []int    // indexes of values that are none to transform: faults
	again   bool     // values that are pseudonyms already are meant
	sample  []uint32 // scratch of columnSample
	passed  int      // values that are not replaced, with a length of 0 in spans: those of headers that came again
	clear   bool     // the rows are known to be nothing but values, each before an LF
	record  []uint32 // record of each value, where records differ in their number of values; nil: they do not

	arena     []byte
	sameSpans bool // the only group's batch uses spans as they are
	bad       []badValue
	skip      []int
	ext       []int
}

// badValue is a value without a result.
type badValue struct {
	value, column int
	code          suite.Code
	why           string // of the first of a group: Error.Why
}

// column returns the column of value v.
func (s *splicer) column(v int) int {
	if s.path != nil {
		return int(s.path[v])
	}
	return v % len(s.owner)
}

// recordOf returns the record of value v.
func (s *splicer) recordOf(v int) int {
	if s.record != nil {
		return int(s.record[v])
	}
	return v / len(s.owner)
}

// gather puts the values into the batches of their groups.
func (s *splicer) gather() {
	s.arena = s.data
	g := s.groups[0]
	s.sameSpans = len(s.groups) == 1 && len(s.encoded) == 0 && len(s.null) == 0 && len(s.forced) == 0
	if s.sameSpans {
		s.ways.sameSpans.Add(1)
		g.batch.Src, g.batch.Spans = s.data, s.spans
		return
	}
	for _, g := range s.groups {
		g.spans = g.spans[:0]
	}
	next := uint32(math.MaxUint32)
	enc, forced := s.encoded, s.forced
	if len(enc) > 0 {
		next = enc[0]
	}
	for v := 0; v < len(s.spans)/2; v++ {
		off, n := s.spans[2*v], s.spans[2*v+1]
		if uint32(v) == next {
			at := len(s.arena)
			s.arena = s.decode(s.arena, s.arena[off:off+n])
			off, n = uint32(at), uint32(len(s.arena)-at)
			enc = enc[1:]
			next = math.MaxUint32
			if len(enc) > 0 {
				next = enc[0]
			}
		}
		if len(s.null) > 0 {
			if _, ok := s.null[string(s.arena[off:off+n])]; ok {
				n = 0
			}
		}
		if len(forced) > 0 && forced[0] == v {
			n, forced = 0, forced[1:]
		}
		g := s.groups[0]
		if len(s.groups) > 1 {
			g = s.groups[s.owner[s.column(v)]]
		}
		g.spans = append(g.spans, off, n)
	}
	for _, g := range s.groups {
		g.batch.Src, g.batch.Spans = s.arena, g.spans
	}
}

// rows reports whether results that are written row by row are the whole output.
func (s *splicer) rows() bool {
	g := s.groups[0]
	return s.clear && s.sameSpans && g.plan != nil && g.batch.Doc == nil
}

// splice transforms the gathered values and writes the chunk with the results
// into c.out.
func (s *splicer) splice(ctx context.Context, c *chunk) {
	n := len(s.spans) / 2
	s.bad = s.bad[:0]
	if c.err == nil && !s.pseudonymised(c) {
		return
	}
	if !s.dry {
		for _, g := range s.groups {
			if c.fail = g.leave(ctx); c.fail != nil {
				return
			}
		}
	}
	if c.err != nil || s.mapping || s.dry || len(s.forced) > 0 || !s.fast(c) {
		s.slow(ctx, c)
	}
	if c.fail != nil || c.err != nil {
		return
	}
	empty := -len(s.forced)
	for _, g := range s.groups {
		empty += s.seen.Add(g.batch.Src, g.batch.Spans, g.pseudonyms) + g.blank()
	}
	c.tally.Values += int64(n - empty - len(s.bad))
	c.tally.Empty += int64(empty - s.passed)
	s.countValues(c, n, empty)
	s.passed = 0
}

// fast writes the output without looking at each result: they are the rows, or
// their lengths are known before. It reports whether it could.
func (s *splicer) fast(c *chunk) bool {
	if s.rows() && s.asRows(c) {
		s.ways.rows.Add(1)
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
	// Where every result goes; the text between is written on the way.
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
		if g.places {
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
		if g.places {
			s.ways.placed.Add(1)
		} else {
			s.ways.copied.Add(1)
			g.put(c.out)
		}
	}
	return true
}

// asRows writes results as rows. It fails where one cannot stand as it is.
func (s *splicer) asRows(c *chunk) bool {
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
			if b.Out[i] == 0 { // or the row would be an empty line
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

// layoutSingle writes the text between the values of a single group to out, which has
// slack at its end, and notes where the results go.
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

// layout is layoutSingle for several groups, and for values that are not what their
// text is.
func (s *splicer) layout(out []byte) []byte {
	p, o := 0, 0
	for v := 0; v < len(s.spans)/2; v++ {
		g := s.groups[0]
		if len(s.groups) > 1 {
			g = s.groups[s.owner[s.column(v)]]
		}
		vn := g.batch.Spans[2*g.next+1]
		g.next++
		if vn == 0 { // empty, or a placeholder, which is passed through
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

// slow transforms into the batches' own buffers and then writes value by value, with
// whatever quoting, escaping and errors there are.
func (s *splicer) slow(ctx context.Context, c *chunk) {
	s.ways.slow.Add(1)
	plain := s.transformAll(ctx, c)
	if c.fail != nil {
		return
	}
	s.faults(c)
	if c.err != nil {
		return
	}
	if s.mapping && !s.dry {
		s.pairs(c)
	}
	if !s.dry {
		s.writeValues(c, plain)
	}
}

// transformAll transforms every group's batch and collects the values without a result,
// in order. plain says that every result can stand as it is.
func (s *splicer) transformAll(ctx context.Context, c *chunk) (plain bool) {
	plain = true
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
		sortBad(s.bad)
	}
	return plain
}

// writeValues writes the chunk with the results in the place of their values, and keeps
// the rows out that are to be. plain says that every result can stand as it is.
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
					c.rejects = append(c.rejects, '\n') // those of the next input may follow
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
			continue // empty, or a placeholder
		}
		res := g.batch.Dst[g.batch.Out[2*i]:][:g.batch.Out[2*i+1]]
		out = append(out, s.data[p:off]...)
		if plain && len(res) > 0 {
			out = append(out, res...)
		} else {
			out = s.appendValue(out, res, s.data, off, n)
		}
		p = off + n
	}
	c.out = append(out, s.data[p:]...)
}

// valueOf returns the value that is the i-th of a group.
func (s *splicer) valueOf(group, i int) int {
	if len(s.groups) == 1 {
		return i
	}
	if s.path == nil { // values take turns: so many of the group in every row
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

// sortBad sorts by value: each group's part is sorted already, and there are few.
func sortBad(b []badValue) {
	for i := 1; i < len(b); i++ {
		for j := i; j > 0 && b[j].value < b[j-1].value; j-- {
			b[j], b[j-1] = b[j-1], b[j]
		}
	}
}

// faults counts what could not be transformed, notes the first ones, or makes
// the first the chunk's error.
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

// dropped returns the extents of the records that hold a bad value.
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

// pairs writes rows of the mapping file.
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
