package bulk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/velonym/velonym/engine/bulk/arrow"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// ArrowRewriter replaces the values of chosen columns of an Arrow stream that is completely in
// memory. It reads and writes as Run does, so that a body and a file with the same content give
// the same columns and are refused for the same reasons. NewArrowRewriter finds the columns,
// Scan checks the stream and counts the values, and Append replaces them. Only one goroutine
// may call its methods at a time.
type ArrowRewriter struct {
	o       ArrowOptions
	stream  *arrow.Stream
	columns []*rewrittenColumn
	doc     *suite.Document
	buffers ArrowBuffers
	// shortest is the length of the shortest result of a value that is not empty; 0 if it is
	// unknown.
	shortest int
	blanks   bool // a value that is not empty may have an empty result

	text        int64 // bytes of the values scanned
	spare       int64 // bytes that a transform needs after the last results but does not use
	largestCall int64 // greatest memory of one transform, in bytes
	bad         []ArrowBadValue
	badCount    int
	cause       string
}

// ArrowOptions are the options of NewArrowRewriter.
type ArrowOptions struct {
	// Columns are the columns to replace. Plan transforms them; their own plans are ignored.
	// If there are none, the only column of strings is replaced.
	Columns []Column
	Plan    *suite.Plan
	Workers int
	// Memory and Reserve are those of arrow.Options.
	Memory  int64
	Reserve func(n int64) error
	// MaxText is the greatest number of bytes of all values together. They can have more than
	// the stream, since rows may share an entry of a dictionary or a part of a view's buffer.
	MaxText int64
	// Observe, if not nil, is called with the values of each column before they are replaced.
	Observe func(arena []byte, spans []uint32)
	// MaxBad is the greatest number of values without a result that Bad lists.
	MaxBad int
}

// ValuesAtOnce is a good number of values per call of a worker: few enough for the caches,
// many enough for the vector registers.
const ValuesAtOnce = 16 << 10

// ErrTooMuchText is returned for a stream whose values have more than ArrowOptions.MaxText
// bytes.
var ErrTooMuchText = errors.New("the values of the columns have too many bytes")

// ArrowBuffers is the memory that Append uses.
type ArrowBuffers struct {
	Batch *suite.Batch
	// Grow and Spans are those of arrow.AppendOptions.
	Grow  func(b []byte, n int) ([]byte, error)
	Spans []uint32
}

// StringColumnsError reports an Arrow stream that has no column of strings or several of
// them, while the request names no column.
type StringColumnsError struct {
	File    string
	Strings []string // columns of strings
	Others  []string // columns of other types that can be replaced
}

func (e *StringColumnsError) Error() string {
	switch {
	case len(e.Strings) > 0:
		return fmt.Sprintf("%s: has %d columns of strings: name one or more of %s", e.File, len(e.Strings), listNames(e.Strings))
	case len(e.Others) > 0:
		return fmt.Sprintf("%s: has no column of strings: name one or more of %s", e.File, listNames(e.Others))
	}
	return e.File + ": has no column whose values can be replaced"
}

// NewArrowRewriter reads the schema and finds the columns. name is the body's name in errors.
// The body must not change while the rewriter is used, and kernels may read up to its
// capacity.
func NewArrowRewriter(o ArrowOptions, name string, body []byte) (*ArrowRewriter, error) {
	s, err := arrow.OpenBytes(body, arrow.Options{Name: name, Memory: o.Memory, Reserve: o.Reserve})
	if err != nil {
		return nil, err
	}
	t := &ArrowRewriter{o: o, stream: s, doc: o.Plan.NewDocument(), blanks: o.Plan.Blank([]byte(" "), []uint32{0, 1}) > 0}
	if o.Plan.Op() == spec.Pseudonymise && o.Plan.KnowsLength() && !o.Plan.KeepsLength() {
		t.shortest = o.Plan.OutLen(1)
	}
	all := s.Columns()
	chosen, err := chooseArrow(name, o.Columns, all)
	if err != nil {
		return nil, err
	}
	for i, at := range chosen {
		c := all[at]
		if slices.Contains(chosen[:i], at) {
			return nil, usagef("%s: column %s (#%d) is given twice", name, quoteName(c.Name), at+1)
		}
		if c.Refused != nil {
			return nil, damagedf(name, "column %s %w", quoteName(c.Name), c.Refused)
		}
		r := &rewrittenColumn{t: t, label: c.Name, text: c.Text, badEntry: map[int64]suite.Code{}}
		if _, err := s.Replace(at, r, changeOf(o.Plan.Op())); err != nil {
			return nil, err
		}
		t.columns = append(t.columns, r)
	}
	return t, nil
}

// changeOf returns the change of a column's type: a reverse restores the original one.
func changeOf(op spec.Op) arrow.Change {
	switch op {
	case spec.Secondary:
		return arrow.Translate
	case spec.Reverse:
		return arrow.Restore
	}
	return arrow.Pseudonymise
}

// chooseArrow returns the indexes in all of the columns to replace.
func chooseArrow(name string, asked []Column, all []arrow.Column) (chosen []int, err error) {
	names := make([]string, len(all))
	none := &StringColumnsError{File: name}
	text := 0
	for i, c := range all {
		names[i] = c.Name
		switch {
		case c.Refused != nil:
		case c.Text:
			none.Strings, text = append(none.Strings, c.Name), i
		default:
			none.Others = append(none.Others, c.Name)
		}
	}
	if len(asked) == 0 {
		if len(none.Strings) != 1 {
			return nil, none
		}
		return []int{text}, nil
	}
	for _, c := range asked {
		at, err := new(run).findColumn(name, c, names)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, at)
	}
	return chosen, nil
}

// Scan checks the whole stream and counts its values. A null counts as an empty value. A value
// in a dictionary counts once for each row that refers to it, and once if none does.
func (t *ArrowRewriter) Scan(ctx context.Context) (values, empty int64, err error) {
	for _, c := range t.columns {
		c.scanning = true
	}
	err = t.stream.Scan(ctx)
	for _, c := range t.columns {
		c.scanning = false
		values, empty = values+c.values+c.unused, empty+c.empty
	}
	return values, empty, err
}

// Memory returns the greatest memory, in bytes, that Append needs after Scan, in addition to
// its buffers and the output.
func (t *ArrowRewriter) Memory() int64 {
	n := t.largestCall
	for _, c := range t.columns {
		n += c.largest
	}
	return n
}

// Grows returns an estimate of how much longer than the scanned stream the output is. With so
// much capacity Append need not call ArrowBuffers.Grow.
func (t *ArrowRewriter) Grows() (n int64) {
	for _, c := range t.columns {
		n += c.grows
	}
	return n + t.spare
}

// Append appends the stream to dst with the columns replaced. A value without a result
// becomes null, or empty in a column without nulls and in a dictionary; Bad lists such
// values. On an error it returns dst with what was appended.
func (t *ArrowRewriter) Append(ctx context.Context, dst []byte, b ArrowBuffers) ([]byte, error) {
	t.bad, t.badCount, t.cause, t.buffers = t.bad[:0], 0, "", b
	dst, err := t.stream.Append(ctx, dst, arrow.AppendOptions{Grow: b.Grow, Spans: b.Spans})
	slices.SortStableFunc(t.bad, func(a, b ArrowBadValue) int { return cmp.Compare(a.Row, b.Row) })
	return dst, err
}

// ArrowBadValue is a value without a result.
type ArrowBadValue struct {
	Row    int64 // from 0
	Column string
	Code   suite.Code
}

// Bad returns the first values without a result, the number of all of them, and cause and
// remedy for the first whose cause is known.
func (t *ArrowRewriter) Bad() (first []ArrowBadValue, count int, cause string) {
	return t.bad, t.badCount, t.cause
}

// rewrittenColumn is a column of an ArrowRewriter: an arrow.RowReplacer.
type rewrittenColumn struct {
	t        *ArrowRewriter
	label    string
	text     bool // its results have to be UTF-8
	scanning bool

	values, empty int64
	unused        int64 // values of dictionaries that no row has referred to yet
	someEmpty     int   // empty values of the whole stream
	batch         int   // current record batch
	held          int64 // memory for the current record batch so far, in bytes
	largest       int64 // greatest memory for a record batch, in bytes
	grows         int64

	spans     []uint32
	missing   []int
	badEntry  map[int64]suite.Code // by entry of a dictionary
	notString []suite.ValueError
}

// Once reports whether equal values get equal results.
func (c *rewrittenColumn) Once() bool { return c.t.doc == nil && c.t.o.Plan.Deterministic() }

// Use counts rows that refer to a dictionary.
func (c *rewrittenColumn) Use(_ context.Context, values, empty, missing int64) error {
	if c.scanning {
		c.values += values + empty + missing
		c.empty += empty
		c.unused = max(0, c.unused-values-missing)
	}
	return nil
}

// MissingAt records a row whose value has no result.
func (c *rewrittenColumn) MissingAt(row, entry int64) { c.addBad(row-1, c.badEntry[entry]) }

func (c *rewrittenColumn) addBad(row int64, code suite.Code) {
	if c.t.badCount++; len(c.t.bad) < c.t.o.MaxBad {
		c.t.bad = append(c.t.bad, ArrowBadValue{row, c.label, code})
	}
}

// Replace counts values, or transforms them.
func (c *rewrittenColumn) Replace(_ context.Context, b *arrow.Batch) (arrow.Results, error) {
	if c.scanning {
		if c.t.text += int64(len(b.Arena)); c.t.text > c.t.o.MaxText {
			return arrow.Results{}, ErrTooMuchText
		}
		return c.scan(b), nil
	}
	s := c.transform(b, c.t.buffers.Batch.Dst[:0])
	if b.Entry == 1 {
		clear(c.badEntry)
	}
	c.missing = c.missing[:0]
	for _, bad := range s.Bad {
		c.missing = append(c.missing, bad.Index)
		if c.t.cause == "" && len(c.t.bad) < c.t.o.MaxBad {
			c.t.cause = c.t.o.Plan.Cause(b.Arena[b.Spans[2*bad.Index]:][:b.Spans[2*bad.Index+1]], bad.Code)
		}
		if b.Entry > 0 {
			c.badEntry[b.Entry+int64(bad.Index)] = bad.Code
		} else {
			c.addBad(b.Row(bad.Index)-1, bad.Code)
		}
	}
	return arrow.Results{Arena: s.Dst, Spans: s.Out, Values: b.Spans, Missing: c.missing}, nil
}

// transform transforms a batch and appends the results to dst.
func (c *rewrittenColumn) transform(b *arrow.Batch, dst []byte) *suite.Batch {
	o := &c.t.o
	if o.Observe != nil {
		o.Observe(b.Arena, b.Spans)
	}
	s := c.t.buffers.Batch
	s.Src, s.Spans, s.Pre, s.Post, s.Dst, s.Doc, s.At = b.Arena, b.Spans, "", "", dst, c.t.doc, nil
	o.Plan.TransformParallel(s, o.Workers)
	if c.text && o.Plan.Op() == spec.Reverse {
		s.Bad = c.refuseNotText(s, len(dst))
	}
	return s
}

// AppendResults transforms a batch and appends the results to dst.
func (c *rewrittenColumn) AppendResults(_ context.Context, b *arrow.Batch, dst []byte) ([]byte, []uint32, bool, error) {
	if c.t.doc != nil { // repeating a batch would count its values twice
		return dst, nil, false, nil
	}
	n := len(b.Spans) / 2
	dst, err := c.t.buffers.Grow(dst, c.t.o.Plan.MaxOut(n, len(b.Arena))+padding)
	if err != nil {
		return dst, nil, false, err
	}
	s := c.transform(b, dst)
	out := s.Dst
	s.Dst = nil
	switch {
	case len(s.Bad) > 0:
		return dst, nil, false, nil
	case cap(out) != cap(dst): // dst was too small
		fresh := out[len(dst):]
		if dst, err = c.t.buffers.Grow(dst, len(fresh)); err != nil {
			return dst, nil, false, err
		}
		out = append(dst, fresh...)
	}
	if shortest := c.t.shortest; shortest > 0 && c.someEmpty == 0 && len(out)-len(dst) == n*shortest {
		return out, nil, true, nil // all results have the shortest length
	}
	return out, s.Out, true, nil
}

// Count counts the values of a column in a record batch.
func (c *rewrittenColumn) Count(batch, n, empty int, size int64) bool {
	if c.t.blanks || c.t.doc != nil {
		return false
	}
	c.count(batch, n, empty, int(size))
	c.someEmpty += empty
	c.values += int64(n)
	c.empty += int64(empty)
	return true
}

// refuseNotText returns the bad values of a batch, including those whose results are not UTF-8,
// which a project with a tag can give.
func (c *rewrittenColumn) refuseNotText(s *suite.Batch, begin int) []suite.ValueError {
	whole := utf8.Valid(s.Dst[begin:])
	for i := 0; whole && i < len(s.Out); i += 2 {
		whole = s.Out[i+1] == 0 || utf8.RuneStart(s.Dst[s.Out[i]])
	}
	if whole {
		return s.Bad
	}
	c.notString = c.notString[:0]
	bad := s.Bad
	for i := 0; i < len(s.Out)/2; i++ {
		switch {
		case len(bad) > 0 && bad[0].Index == i:
			c.notString, bad = append(c.notString, bad[0]), bad[1:]
		case !utf8.Valid(s.Result(i)):
			c.notString = append(c.notString, suite.ValueError{Index: i, Code: suite.ValueNotText})
		}
	}
	return c.notString
}

// scan counts the values of a batch and the memory that they need.
func (c *rewrittenColumn) scan(b *arrow.Batch) arrow.Results {
	plan := c.t.o.Plan
	n, size, empty := len(b.Spans)/2, 0, 0
	for i := 1; i < len(b.Spans); i += 2 {
		size += int(b.Spans[i])
		if b.Spans[i] == 0 {
			empty++
		}
	}
	blank := plan.Blank(b.Arena, b.Spans)
	c.someEmpty += empty + blank
	if b.Entry > 0 {
		c.held = 0
	}
	c.count(b.Batch, n, empty, size)
	r := arrow.Results{Arena: b.Arena, Spans: b.Spans, Values: b.Spans}
	if b.Entry == 0 {
		c.values += int64(n)
		c.empty += int64(empty + blank)
		return r
	}
	c.unused += int64(n - empty - blank)
	if blank > 0 {
		c.spans = append(c.spans[:0], b.Spans...)
		for i := 0; i < len(c.spans); i += 2 {
			if plan.Blank(b.Arena, c.spans[i:i+2]) > 0 {
				c.spans[i+1] = 0
			}
		}
		r.Spans = c.spans
	}
	return r
}

// count adds the memory for n values of a record batch, of which some are empty.
func (c *rewrittenColumn) count(batch, n, empty, size int) {
	plan := c.t.o.Plan
	out := plan.MaxOut(n, size)
	c.t.largestCall = max(c.t.largestCall, int64(16*n+out+plan.ParallelScratch(n, size, c.t.o.Workers)))
	if part := min(n, ValuesAtOnce*c.t.o.Workers); part > 0 {
		c.t.spare = max(c.t.spare, int64(plan.MaxOut(part, size/n*part+part)))
	}
	if batch != c.batch {
		c.batch, c.held = batch, 0
	}
	c.held += 3 * int64(8*n+8+out) // buffers, their growth, and their compressed form
	c.largest = max(c.largest, c.held)
	if n > empty {
		if each := plan.OutLen(size / (n - empty)); each > 0 {
			out = (n - empty) * each
		}
	}
	c.grows += int64(out-size) + 256
	if c.t.doc != nil {
		c.t.largestCall += int64(size) + 96*int64(n) // counters hold one copy of every distinct value
	}
}
