package bulk

import (
	"bytes"
	"io"
	"path/filepath"
	"strings"

	"github.com/velonym/velonym/csvfast/jsonfast"
)

// A JSON document is an array whose items are the rows, or a sequence of JSON texts that may
// span lines. Finding the end of a row requires all text before it. One goroutine at a time
// therefore reads a document, in order, and cuts it after items; chunks are then processed
// in parallel.

// jsonDocument is the state of reading a document. Only the goroutine that
// pipeline.cutOrder lets pass uses it; array is constant.
type jsonDocument struct {
	array bool
	begin int64 // offset in the input of the first row

	split   *jsonfast.Splitter
	started bool // split has seen the bytes carried over
	closed  bool // the array has ended
}

// looksLikeJSON reports whether text starts like a JSON object or an array of objects or
// strings. It cannot be CSV then, because it has a quote within an unquoted field.
func looksLikeJSON(head []byte) bool {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, bom), " \t\r\n")
	if len(head) == 0 || head[0] != '{' && head[0] != '[' {
		return false
	}
	head = bytes.TrimLeft(head, "{[ \t\r\n")
	return len(head) > 0 && head[0] == '"'
}

// jsonFormat decides whether JSON is NDJSON, an array or a sequence of texts. With Format
// JSON it is always a document.
func (r *run) jsonFormat(name string, format Format, head []byte, all bool) (*rowFormat, error) {
	rf, err := r.ndjsonFormat(name, head, all)
	if err != nil {
		return nil, err
	}
	at := rf.prefix
	at += len(head[at:]) - len(bytes.TrimLeft(head[at:], " \t\r\n"))
	switch {
	case at == len(head) && !all:
		return nil, errMore
	case at == len(head):
		return rf, nil // nothing but white space
	case format == CSV || format == TSV:
		if r.Format != Auto || format == TSV || isNamedCSV(name) {
			return nil, &NotCSVError{name}
		}
	}
	array := head[at] == '['
	if !array && r.Format != JSON {
		line, _, whole := bytes.Cut(head[at:], lf)
		if !whole && !all {
			return nil, errMore
		}
		if jsonfast.Validate(line) == nil {
			return rf, nil
		}
	}
	switch {
	case r.Parts > 0:
		return nil, usagef("%s: a JSON document is read from front to back and cannot be done in parts; make lines of it first, as with jq -c '.[]'", name)
	case r.OnError == Keep:
		return nil, &KeepError{name, JSON}
	}
	rf.format = JSON
	if array {
		rf.prefix = at + 1
		rf.lines = int64(bytes.Count(head[:rf.prefix], lf))
	}
	rf.doc = &jsonDocument{array: array, begin: int64(rf.prefix), split: jsonfast.NewSplitter(array)}
	return rf, nil
}

// isNamedCSV reports whether a name has the suffix of CSV, ignoring a compression suffix.
func isNamedCSV(name string) bool {
	if bySuffix(name) != None {
		name = strings.TrimSuffix(name, filepath.Ext(name))
	}
	return strings.EqualFold(filepath.Ext(name), ".csv")
}

// asStream makes a regular file be read sequentially, from offset at.
func (s *source) asStream(at int64) {
	s.raw = &countingReader{r: io.NewSectionReader(s.at, at, s.size-at)}
	s.raw.n.Store(at)
	s.stream, s.at = s.raw, nil
}

// readDocument reads chunk n of a document when its turn in cutOrder comes.
func (v *pipeline) readDocument(n int, c *chunk) (next checkpoint, err error) {
	if !v.cutOrder.wait(n) {
		return next, errStop
	}
	d := v.doc
	if v.ended && len(v.carry) == 0 && (d.closed || !d.array) {
		v.cutOrder.halt()
		return next, errStop
	}
	c.buf = padded(c.buf, max(v.size, len(v.carry)))
	have := copy(c.buf, v.carry)
	c.start, c.first, c.closing, c.after = 0, v.offset == d.begin, false, d.closed
	seen := 0
	if d.started {
		seen = have
	}
	d.started = true
	cut := -1
	for {
		switch {
		case d.closed:
			cut = have
		default:
			if k := d.split.Next(c.buf[seen:have]); k >= 0 {
				cut = seen + k
			}
			if d.split.Closed() {
				d.closed, c.closing, cut = true, true, have
			}
		}
		seen = have
		if v.ended {
			c.closing = c.closing || d.array && !d.closed
			d.closed, cut = d.array, have
			break
		}
		if cut > 0 && (have == len(c.buf) || v.eager) {
			break
		}
		if int64(have) > v.max && cut < 0 {
			v.cutOrder.pass()
			c.buf, c.end = c.buf[:have], have
			return next, &rowTooLong{RowTooLongError{v.max}, 1}
		}
		if have == len(c.buf) {
			c.buf = padded(c.buf, 2*have)
		}
		k, err := v.src.stream.Read(c.buf[have:])
		have += k
		if err == io.EOF {
			v.ended = true
		} else if err != nil {
			v.cutOrder.pass()
			return next, v.src.readError(err)
		}
	}
	c.buf, c.end = c.buf[:have], cut
	v.carry = append(v.carry[:0], c.buf[cut:]...)
	v.offset += int64(cut)
	next = checkpoint{Chunk: n + 1, In: v.offset, Inside: d.closed}
	v.cutOrder.pass()
	return next, nil
}
