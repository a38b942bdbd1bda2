package bulk

import (
	"context"
	"math"

	"github.com/velonym/velonym/engine/bulk/internal/hyperloglog"
	"github.com/velonym/velonym/engine/suite"
)

// text encodes and decodes values of a format: CSV fields or JSON strings.
type text interface {
	// decode appends to dst the value that raw, the text between the quotes, encodes.
	decode(dst, raw []byte) []byte
	// plain reports whether v needs no encoding, whether the value it replaces was quoted or not.
	plain(v []byte) bool
	// appendValue appends to dst the text of v, which replaces data[off:off+n]. dst holds
	// the output before it.
	appendValue(dst, v, data []byte, off, n int) []byte
	// appendNull is appendValue for a value that cannot be transformed. It returns how many
	// bytes of data after the value it replaces too.
	appendNull(dst, data []byte, off, n int) ([]byte, int)
	// records returns, for the ascending record numbers, the extents of the records
	// in data, off, end pairs.
	records(dst []int, data []byte, numbers []int) []int
}

// splicer replaces the values of a chunk by their results. The worker of the format finds
// the values. One goroutine uses it at a time.
type splicer struct {
	text
	groups []*group
	owner  []int    // column → index of its group
	names  []string // column → its name, for messages
	null   map[string]struct{}

	special []byte // bytes other than line ends that a value cannot hold without quotes

	onError   OnError
	dry       bool
	mapping   bool
	seen      *hyperloglog.Counter
	fastPaths *fastPaths

	// Of the chunk, set by the format's worker.
	data    []byte   // the rows, with padding of capacity behind them
	spans   []uint32 // off, len of every value between its quotes
	encoded []uint32 // indexes of values that must be decoded
	path    []uint8  // column of each value; nil: value v is of column v modulo their number
	forced  []int    // indexes of values that fail without being transformed
	bare    bool     // some values stand without quotes where their results need them
	again   bool     // values that are pseudonyms already are transformed again
	sample  []uint32 // scratch of columnSample
	passed  int      // values of repeated headers, which are not replaced and have length 0 in spans
	clear   bool     // the rows hold nothing but values, each followed by an LF
	record  []uint32 // record of each value; nil: every record has one value of each column

	arena     []byte
	sameSpans bool // the batch of the only group shares spans
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

// gather assigns the values to the batches of their groups and decodes those that need it.
func (s *splicer) gather() {
	s.arena = s.data
	g := s.groups[0]
	s.sameSpans = len(s.groups) == 1 && len(s.encoded) == 0 && len(s.null) == 0 && len(s.forced) == 0
	if s.sameSpans {
		s.fastPaths.sameSpans.Add(1)
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

// splice transforms the gathered values and writes the rows with the results to c.out.
func (s *splicer) splice(ctx context.Context, c *chunk) {
	n := len(s.spans) / 2
	s.bad = s.bad[:0]
	if c.err == nil && !s.pseudonymised(c) {
		return
	}
	if !s.dry {
		for _, g := range s.groups {
			if c.fail = g.spendBatch(ctx); c.fail != nil {
				return
			}
		}
	}
	if c.err != nil || s.mapping || s.dry || s.bare || len(s.forced) > 0 || !s.tryFast(c) {
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
