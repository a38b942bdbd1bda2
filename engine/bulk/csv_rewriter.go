package bulk

import (
	"context"
	"errors"
	"hash/maphash"

	"github.com/velonym/velonym/engine/suite"
)

// CSVRewriter replaces the values of the chosen columns of a CSV that is in memory as a
// whole. It is the code of Run, so that a body and a file become the same bytes and are
// refused for the same reasons. NewCSVRewriter finds the columns, Scan the values, and
// each CSVWriter writes parts.
//
// One goroutine at a time calls its methods, but writers run concurrently after Scan.
type CSVRewriter struct {
	name    string
	run     *run
	format  *rowFormat
	body    []byte
	parts   []csvPart
	spans   []uint32 // of all parts, each relative to its part
	encoded []uint32 // indexes of values with doubled quotes, each within its part
	rows    int
	lines   int64
}

// csvPart is whole rows of the body.
type csvPart struct {
	from, to       int // offsets in the body
	spans, encoded int // where those of this part end in CSVRewriter.spans and encoded
	row            int // number of the first row, from 0
	plain          bool
}

// CSVOptions says what to replace and how the CSV is written.
type CSVOptions struct {
	Columns []Column // each with a Plan
	// Header and NoHeader state that the first row is the header, or data. Without either
	// it counts as the header if that is beyond doubt.
	Header, NoHeader bool
	Comma            byte // 0: ','
}

// ErrHeaderUnclear means that the first row may be the header or data: the columns are
// chosen by number and the options do not state which it is.
var ErrHeaderUnclear = errors.New("the first row may be the header or data")

// NewCSVRewriter reads the text before the rows of body (byte order mark, line sep=, header)
// and finds the columns. Errors call the body name. The body must not change while the
// rewriter is used, and kernels may read up to its capacity.
func NewCSVRewriter(o CSVOptions, name string, body []byte) (*CSVRewriter, error) {
	job := &Job{Format: CSV, Columns: o.Columns, Header: o.Header, NoHeader: o.NoHeader, ShowColumns: o.Header, Comma: o.Comma,
		OnError: Null, Again: true}
	r := &run{Job: job, seed: maphash.MakeSeed()}
	if err := job.setDefaults(); err != nil {
		return nil, err
	}
	if err := r.groupColumns(); err != nil {
		return nil, err
	}
	for size := defaultChunk; ; size *= 2 {
		head := body[:min(size, len(body))]
		all := len(head) == len(body)
		err := refuseKind(name, head, all)
		var rf *rowFormat
		if err == nil {
			rf, err = r.detectFormat(name, CSV, head, all)
		}
		switch {
		case err == errMore && !all:
			continue
		case err != nil:
			return nil, err
		case rf.note != nil:
			return nil, ErrHeaderUnclear
		}
		return &CSVRewriter{name: name, run: r, format: rf, body: body}, nil
	}
}

// Columns returns how many columns were found.
func (t *CSVRewriter) Columns() int { return len(t.format.order) }

// Label returns the name of column i of the options in the header, or its number.
func (t *CSVRewriter) Label(i int) string {
	for k, c := range t.format.order {
		if c == i {
			return t.format.names[k]
		}
	}
	return ""
}

// Head returns the text before the rows, which is not changed.
func (t *CSVRewriter) Head() []byte { return t.body[:t.format.prefix] }

// Scan checks all rows and finds their values. It appends their spans to spans, which the
// rewriter then owns; Spans returns them. An error is an *Error with its line.
func (t *CSVRewriter) Scan(spans []uint32) error {
	t.spans, t.encoded, t.parts, t.rows, t.lines = spans[:0], t.encoded[:0], t.parts[:0], 0, t.format.lines
	if !t.format.data {
		return nil
	}
	w, err := t.worker()
	if err != nil {
		return err
	}
	size := t.run.chunk
	for at := t.format.prefix; at < len(t.body); {
		end := min(at+size, len(t.body))
		if end < len(t.body) {
			n := t.format.cut.LastRowEnd(t.body[at:end], false)
			if n < 0 {
				size *= 2 // a row is longer than the part
				continue
			}
			end = at + n
		}
		if err := t.scanPart(w, at, end); err != nil {
			return err
		}
		at, size = end, t.run.chunk
	}
	return nil
}

// scanPart finds the values of the rows body[from:to].
func (t *CSVRewriter) scanPart(w *csvWorker, from, to int) error {
	c := chunk{buf: t.body, start: from, end: to}
	n := len(t.spans)
	w.sel.Spans = t.spans[n:n]
	w.scan(&c)
	if c.err != nil {
		e := *c.err
		e.File = t.name
		e.Line += t.lines
		return &e
	}
	t.spans = appendInPlace(t.spans, w.spans)
	t.encoded = append(t.encoded, w.encoded...)
	t.parts = append(t.parts, csvPart{from: from, to: to, spans: len(t.spans), encoded: len(t.encoded), row: t.rows, plain: w.clear})
	t.rows += int(c.tally.Rows)
	t.lines += c.tally.Lines
	return nil
}

// worker returns a new worker, which scans or writes parts.
func (t *CSVRewriter) worker() (*csvWorker, error) {
	f, err := t.format.worker(t.run.splicer(t.format, nil))
	if err != nil {
		return nil, err
	}
	w, ok := f.(*csvWorker)
	if !ok {
		return nil, errors.New("bulk: a CSV is read by another worker")
	}
	return w, nil
}

// Spans returns the spans of all values, relative to their parts: the buffer that was
// given to Scan, or a larger one.
func (t *CSVRewriter) Spans() []uint32 { return t.spans }

// Parts returns the number of parts that Scan made.
func (t *CSVRewriter) Parts() int { return len(t.parts) }

// Part returns the text of part i and the spans of its values, row by row, in ascending
// order of the columns. Doubled quotes in a value are not decoded.
func (t *CSVRewriter) Part(i int) (text []byte, spans []uint32) {
	p := &t.parts[i]
	from := 0
	if i > 0 {
		from = t.parts[i-1].spans
	}
	return t.body[p.from:p.to], t.spans[from:p.spans]
}

// Ordered reports whether the parts must be written in order by one writer, as policy
// document needs.
func (t *CSVRewriter) Ordered() bool { return t.run.documents() }

// CSVWriter writes parts of a CSVRewriter. One goroutine at a time uses it.
type CSVWriter struct {
	t       *CSVRewriter
	w       *csvWorker
	scratch []byte
	bad     []BadField
}

// BadField is a value without a result.
type BadField struct {
	Row    int // from 0, the header not counted
	Column int // index in CSVOptions.Columns
	Code   suite.Code
	Why    string // the cause and the remedy, if known in more detail than Code; only for the first of a part
}

// Writer returns a writer.
func (t *CSVRewriter) Writer() (*CSVWriter, error) {
	w, err := t.worker()
	if err != nil {
		return nil, err
	}
	return &CSVWriter{t: t, w: w}, nil
}

// Append appends part i to dst with the results in place of its values. The field of a
// value without a result becomes empty; Bad lists such values until the next call.
func (w *CSVWriter) Append(dst []byte, i int) []byte {
	t, s := w.t, &w.w.splicer
	p := &t.parts[i]
	first := 0
	if i > 0 {
		first = t.parts[i-1].encoded
	}
	text, spans := t.Part(i)
	s.spans, s.encoded, s.clear, s.passed = spans, t.encoded[first:p.encoded], p.plain, 0
	s.data, s.bad, w.bad = text, s.bad[:0], w.bad[:0]
	if len(s.encoded) > 0 || len(s.groups) > 1 {
		// The decoded values are appended to the text.
		w.scratch = append(w.scratch[:0], text...)
		s.data = w.scratch
	}
	if len(spans) == 0 {
		return append(dst, text...)
	}
	s.gather()
	n := len(dst)
	c := chunk{buf: s.data, end: len(s.data), out: dst[n:n]}
	if !s.tryFast(&c) {
		s.slow(context.Background(), &c)
	}
	for _, b := range s.bad {
		w.bad = append(w.bad, BadField{Row: p.row + s.recordOf(b.value), Column: t.format.order[b.column], Code: b.code, Why: b.why})
	}
	return appendInPlace(dst, c.out)
}

// appendInPlace appends tail to dst. It copies nothing if tail already lies directly after
// dst in the same array, as after an append to dst[len(dst):len(dst)] that did not grow.
func appendInPlace[T any](dst, tail []T) []T {
	n := len(dst)
	if k := n + len(tail); k <= cap(dst) && (len(tail) == 0 || &tail[0] == &dst[:n+1][n]) {
		return dst[:k]
	}
	return append(dst, tail...)
}

// Bad returns the values of the last part that have no result, in ascending order.
func (w *CSVWriter) Bad() []BadField { return w.bad }
