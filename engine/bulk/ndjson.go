package bulk

import (
	"bytes"
	"context"
	"sync/atomic"

	"github.com/velonym/velonym/csvfast/jsonfast"

	"github.com/velonym/velonym/engine/suite"
)

// lineCutter is a cutter for rows that end at every LF.
type lineCutter struct{}

func (lineCutter) Parity([]byte) bool { return false }

func (lineCutter) FirstRowEnd(buf []byte, _ bool) int {
	if i := bytes.IndexByte(buf, '\n'); i >= 0 {
		return i + 1
	}
	return -1
}

func (lineCutter) LastRowEnd(buf []byte, _ bool) int {
	if i := bytes.LastIndexByte(buf, '\n'); i >= 0 {
		return i + 1
	}
	return -1
}

// jsonText writes values as the inside of JSON strings.
type jsonText struct{}

func (jsonText) decode(dst, raw []byte) []byte { return jsonfast.Unescape(dst, raw) }

// plain reports whether v needs no escape. Bytes from 0x80 on are checked elsewhere,
// since a result may hold bytes that are not UTF-8.
func (jsonText) plain(v []byte) bool {
	for _, b := range v {
		if b < 0x20 || b == '"' || b == '\\' || b >= 0x80 {
			return false
		}
	}
	return true
}

// appendValue puts quotes around the result of a number, which had none.
func (jsonText) appendValue(dst, v, data []byte, off, _ int) []byte {
	if off > 0 && data[off-1] == '"' {
		return jsonfast.AppendEscaped(dst, v)
	}
	return append(jsonfast.AppendEscaped(append(dst, '"'), v), '"')
}

func (jsonText) appendNull(dst, data []byte, off, _ int) ([]byte, int) {
	if off == 0 || data[off-1] != '"' { // not a string: see ndjsonWorker.mergeNonStrings
		return append(dst, "null"...), 0
	}
	return append(dst[:len(dst)-1], "null"...), 1 // the quotes are replaced too
}

func (jsonText) records(dst []int, data []byte, numbers []int) []int {
	at, line := 0, 0
	for _, want := range numbers {
		for {
			end := lineCutter{}.FirstRowEnd(data[at:], false)
			if end < 0 {
				end = len(data) - at
			}
			start := at
			at += end
			line++
			if line-1 == want {
				dst = append(dst, start, at)
				break
			}
		}
	}
	return dst
}

// ndjsonWorker finds the strings at the paths of JSON rows and replaces them.
type ndjsonWorker struct {
	splicer
	doc      *jsonDocument // nil: lines
	pass     bool          // values that are not strings pass unchanged
	numbers  bool          // numbers are values: their text as it stands
	finder   *jsonfast.PathFinder
	lines    []uint32
	own      mergedValues
	byShape  *atomic.Int64 // if not nil: counts the rows that were read by a known shape
	reported int64         // rows already added to byShape

	met pathSet // paths in this chunk and in earlier ones of the worker
}

func (w *ndjsonWorker) work(ctx context.Context, c *chunk) {
	if w.find(c) {
		w.splice(ctx, c)
	}
}

func (w *ndjsonWorker) find(c *chunk) bool {
	w.data = c.rows()
	f := w.finder
	if err := w.scan(c); err != nil {
		c.err = w.syntaxError(err)
		return false
	}
	c.tally.Rows, c.tally.Lines = int64(f.Rows), int64(f.Lines)
	if w.byShape != nil {
		w.byShape.Add(int64(f.RowsByShape()) - w.reported)
		w.reported = int64(f.RowsByShape())
	}
	w.observePaths(c)
	w.count(c)
	w.spans, w.encoded, w.path, w.record = f.Spans, f.Escaped, f.Path, nil
	if !w.mergeNonStrings(c) {
		return false
	}
	if len(w.spans) == 0 {
		c.out = append(c.out[:0], w.data...)
		if w.dry {
			c.out = c.out[:0]
		}
		return false
	}
	if w.onError == Keep {
		w.lines = w.lines[:0]
		line, at := uint32(0), uint32(0)
		for i := 0; i < len(w.spans); i += 2 {
			line += uint32(bytes.Count(w.data[at:w.spans[i]], lf))
			at = w.spans[i]
			w.lines = append(w.lines, line)
		}
		w.record = w.lines
	}
	w.gather()
	return true
}

// observePaths records the paths that the chunk has, until the worker has seen all of them.
func (w *ndjsonWorker) observePaths(c *chunk) {
	if w.met.full(len(w.names)) {
		return
	}
	for _, p := range w.finder.Path {
		w.met.add(int(p))
	}
	for _, ns := range w.finder.NotString {
		if !ns.Short {
			w.met.add(int(ns.Path))
		}
	}
	w.met.addAll(w.finder.Hollow)
	c.tally.Paths = w.met // may include paths of earlier chunks
}

// mergedValues lists, in the order of the input, the strings that the finder found and
// the other values at the paths.
type mergedValues struct {
	spans, encoded []uint32
	path           []uint8
}

// isValue reports whether a value that is not a string is transformed: a number, with
// NumbersText.
func (w *ndjsonWorker) isValue(ns jsonfast.NotString) bool {
	return w.numbers && ns.Kind == '0' && !ns.Short
}

// mergeNonStrings handles values at a path that are not strings, and values on the way to
// it that are not objects. A null passes unchanged, and with w.pass so do the others; with
// w.numbers the text of a number is transformed; else they are values that cannot be
// transformed. It returns false if one of them ends the run.
func (w *ndjsonWorker) mergeNonStrings(c *chunk) bool {
	f := w.finder
	w.forced, w.bare = w.forced[:0], false
	clear := 0 // values to merge with the strings
	for _, ns := range f.NotString {
		if ns.Kind == 'n' {
			c.tally.Empty += int64(len(f.PathsAt(ns)))
			continue
		}
		if w.isValue(ns) {
			w.bare = true
			clear++
			continue
		}
		if w.pass {
			continue
		}
		if clear++; w.onError == Fail && !w.dry {
			c.err = &Error{Line: 1 + int64(bytes.Count(w.data[:ns.Offset], lf)), Column: w.names[ns.Path], Code: suite.NotAString, at: int(ns.Offset)}
			w.explainFault(c)
			break // an earlier string may fail too, and is then the first error
		}
	}
	if clear == 0 || c.err != nil {
		return c.err == nil || len(w.spans) > 0
	}
	o := &w.own
	o.spans, o.encoded, o.path = o.spans[:0], o.encoded[:0], o.path[:0]
	odd, enc := f.NotString, f.Escaped
	for i := 0; i <= len(f.Path); i++ {
		for len(odd) > 0 && (i == len(f.Path) || odd[0].Offset < f.Spans[2*i]) {
			if value := w.isValue(odd[0]); value || odd[0].Kind != 'n' && !w.pass {
				if !value {
					w.forced = append(w.forced, len(o.path))
				}
				off := odd[0].Offset
				o.spans = append(o.spans, off, uint32(jsonEnd(w.data[off:])))
				o.path = append(o.path, odd[0].Path)
			}
			odd = odd[1:]
		}
		if i == len(f.Path) {
			break
		}
		if len(enc) > 0 && enc[0] == uint32(i) {
			o.encoded = append(o.encoded, uint32(len(o.path)))
			enc = enc[1:]
		}
		o.spans = append(o.spans, f.Spans[2*i], f.Spans[2*i+1])
		o.path = append(o.path, f.Path[i])
	}
	w.spans, w.encoded, w.path = o.spans, o.encoded, o.path
	return true
}

// jsonEnd returns the length of the number, true, false or object that the valid
// JSON text b starts with.
func jsonEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		case c == '{' || c == '[':
			depth++
		case (c == '}' || c == ']') && depth > 0:
			if depth--; depth == 0 {
				return i + 1
			}
		case depth == 0 && (c == ',' || c == '}' || c == ']' || c <= ' '):
			return i
		}
	}
	return len(b)
}

// ndjsonFormat returns the row format of NDJSON with the paths of the job.
func (r *run) ndjsonFormat(name string, head []byte, all bool) (*rowFormat, error) {
	if !all && len(head) < 512 {
		return nil, errMore
	}
	if err := refuseUTF16(name, head); err != nil {
		return nil, err
	}
	rf := &rowFormat{cut: lineCutter{}, data: true, paths: true, format: NDJSON}
	if bytes.HasPrefix(head, bom) {
		rf.prefix = len(bom)
	}
	for i, c := range r.Columns {
		if c.Name == "" || c.Number != 0 {
			return nil, usagef("column %d: JSON has no column numbers; name a path, as patient.id", c.Number)
		}
		rf.order = append(rf.order, i)
		rf.names = append(rf.names, c.Name)
	}
	if n := len(rf.names); n > jsonfast.MaxPaths {
		return nil, usagef("%d columns of JSON: a run takes up to %d; do the others in a second run, over the output of the first", n, jsonfast.MaxPaths)
	}
	if err := refuseOverlap(rf.names); err != nil {
		return nil, err
	}
	if _, err := jsonfast.NewPathFinder(rf.names); err != nil {
		return nil, usagef("%v", err)
	}
	rf.worker = func(s splicer) (finder, error) {
		f, err := jsonfast.NewPathFinder(rf.names)
		if err != nil {
			return nil, err
		}
		s.text = jsonText{}
		return &ndjsonWorker{splicer: s, finder: f, doc: rf.doc, pass: r.AllowOther, numbers: r.Numbers == NumbersText, byShape: r.byShape}, nil
	}
	return rf, nil
}
