package bulk

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/velonym/velonym/csvfast/jsonfast"

	"github.com/velonym/velonym/engine/suite"
)

// scan finds the values at the paths in the worker's data.
func (w *ndjsonWorker) scan(c *chunk) error {
	switch {
	case w.doc == nil:
		return w.finder.Scan(w.data)
	case !w.doc.array:
		return w.finder.ScanTexts(w.data)
	case !c.after:
		return w.finder.ScanItems(w.data, c.first, c.closing)
	}
	if behind := bytes.TrimLeft(w.data, " \t\r\n"); len(behind) > 0 {
		at := len(w.data) - len(behind)
		return &jsonfast.SyntaxError{Offset: int64(at), Line: 1 + bytes.Count(w.data[:at], lf), Reason: "text after the end of the array"}
	}
	return w.finder.ScanTexts(w.data)
}

// count counts, for each path, rows without it, nulls and other values that are not strings.
func (w *ndjsonWorker) count(c *chunk) {
	f := w.finder
	for p, n := range f.RowsWith {
		c.tally.column(p, len(w.names)).Missing = int64(f.Rows - n)
	}
	for _, ns := range f.NotString {
		for _, p := range f.PathsAt(ns) {
			switch {
			case ns.Kind == 'n':
				c.tally.column(int(p), len(w.names)).Null++
			case w.pass && !w.isValue(ns):
				c.tally.column(int(p), len(w.names)).Other++
			}
		}
	}
}

// syntaxError converts an error of the finder to an Error with its position in the chunk.
func (w *ndjsonWorker) syntaxError(err error) *Error {
	var se *jsonfast.SyntaxError
	if !errors.As(err, &se) {
		return &Error{Err: err}
	}
	at := min(se.Offset, int64(len(w.data)))
	e := &Error{Line: int64(se.Line), at: int(at), open: strings.HasPrefix(se.Reason, "text ends")} // the text may continue in what was not read
	cause := &JSONError{Reason: se.Reason}
	if w.doc != nil {
		e.Offset = at + 1
	} else {
		begin := bytes.LastIndexByte(w.data[:at], '\n') + 1
		e.Byte = int(at) - begin + 1
		cause.lines = bytes.IndexByte(w.data[begin:at], '\r') >= 0
		cause.Cut = e.open && !cause.lines
	}
	e.Err = cause
	return e
}

// splice replaces the values and adds details to the chunk's error.
func (w *ndjsonWorker) splice(ctx context.Context, c *chunk) {
	w.splicer.splice(ctx, c)
	w.explainFault(c)
}

// explainFault adds the exact position of a failed value to the chunk's error and, if the
// value is not a string, its type.
func (w *ndjsonWorker) explainFault(c *chunk) {
	e := c.err
	if e == nil || e.Code == 0 {
		return
	}
	if w.doc != nil {
		e.Offset = int64(e.at) + 1
	}
	if e.Code != suite.NotAString {
		return
	}
	k, ok := slices.BinarySearchFunc(w.finder.NotString, uint32(e.at), func(ns jsonfast.NotString, at uint32) int {
		return int(ns.Offset) - int(at)
	})
	if !ok {
		return
	}
	if w.doc == nil {
		e.Byte = e.at - bytes.LastIndexByte(w.data[:e.at], '\n')
	}
	e.Err = shapeError(w.finder.NotString[k])
}

// shapeError names the kind of a value that should be a string or an object.
func shapeError(ns jsonfast.NotString) error {
	what, remedy := "", ""
	switch ns.Kind {
	case '"':
		what = "a string"
	case '0':
		what, remedy = "a number", "; write identifiers as strings, in quotes"
	case '{':
		what, remedy = "an object", "; name a member of it, as patient.id"
	default:
		what = "true or false"
	}
	if ns.Short {
		return &OtherShapeError{what: what + " stands where the path leads through an object"}
	}
	return &OtherShapeError{what: what + ", not a string" + remedy, Number: ns.Kind == '0'}
}
