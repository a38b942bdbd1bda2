package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/velonym/velonym/csvfast"
)

// mapDialect is the CSV dialect of mapping files.
var mapDialect = csvfast.Dialect{}

// csvText writes values as CSV fields.
type csvText struct {
	d     csvfast.Dialect
	quote byte
}

func (t csvText) decode(dst, raw []byte) []byte { return t.d.Unquote(dst, raw) }

func (t csvText) plain(v []byte) bool { return !t.d.NeedsQuotes(v) }

func (t csvText) quoted(data []byte, off int) bool { return off > 0 && data[off-1] == t.quote }

func (t csvText) appendValue(dst, v, data []byte, off, n int) []byte {
	switch {
	case t.quoted(data, off):
		return t.d.AppendDoubled(dst, v)
	case len(v) == 0 && t.alone(data, off, n): // an unquoted empty field would make the row an empty line
		return append(dst, t.quote, t.quote)
	case t.unquotedCR(v, data, off+n):
		return append(dst, v...)
	}
	return t.d.AppendField(dst, v, false)
}

// alone reports whether the unquoted field data[off:off+n] is the only field of its row.
func (t csvText) alone(data []byte, off, n int) bool {
	if off > 0 && data[off-1] != '\n' {
		return false
	}
	rest := data[off+n:]
	return len(rest) == 0 || rest[0] == '\n' || rest[0] == '\r' && (len(rest) == 1 || rest[1] == '\n')
}

// unquotedCR reports whether v can replace an unquoted field before data[end:] without
// quotes although it holds a CR. A reversed value then has no quotes where the original
// had none.
func (t csvText) unquotedCR(v, data []byte, end int) bool {
	if bytes.IndexByte(v, '\r') < 0 || bytes.IndexByte(v, '\n') >= 0 || bytes.IndexByte(v, t.d.Comma) >= 0 || bytes.IndexByte(v, t.quote) >= 0 {
		return false
	}
	// A CR at the end of the value would be read as part of the line end.
	return v[len(v)-1] != '\r' || end < len(data) && data[end] != '\n'
}

func (t csvText) appendNull(dst, data []byte, off, n int) ([]byte, int) {
	return t.appendValue(dst, nil, data, off, n), 0
}

func (t csvText) records(dst []int, data []byte, numbers []int) []int {
	at, row := 0, 0
	for _, want := range numbers {
		for {
			end := t.d.FirstRowEnd(data[at:], false)
			if end < 0 {
				end = len(data) - at
			}
			start := at
			at += end
			if line := data[start:at]; emptyLine(line) {
				if len(line) == 0 {
					panic("bulk: more rows than line ends")
				}
				continue
			}
			row++
			if row-1 == want {
				dst = append(dst, start, at)
				break
			}
		}
	}
	return dst
}

// emptyLine reports whether a line, including its end, is empty and thus not a row.
func emptyLine(line []byte) bool {
	line = bytes.TrimSuffix(line, lf)
	return len(line) == 0 || len(line) == 1 && line[0] == '\r'
}

// csvWorker finds the chosen columns and replaces their values.
type csvWorker struct {
	splicer
	sel     *csvfast.Selector
	sep     csvText
	headers *headerMatcher // finds repeated headers; nil if no row can be one
	ragged  bool
	single  bool // rows have one field, so the number of fields cannot reveal rows that end in CR alone
}

func (w *csvWorker) work(ctx context.Context, c *chunk) {
	if w.find(c) {
		w.splice(ctx, c)
	}
}

// find scans the chunk and gathers its values. It returns false if there are none to
// transform; the output is then complete.
func (w *csvWorker) find(c *chunk) bool {
	if !w.scan(c) {
		return false
	}
	if len(w.spans) == 0 {
		c.out = append(c.out[:0], w.data...)
		if w.dry {
			c.out = c.out[:0]
		}
		return false
	}
	w.gather()
	return true
}

// scan checks the rows of the chunk and finds the spans of their values. It returns false
// if c.err ends the run and no value precedes it.
func (w *csvWorker) scan(c *chunk) bool {
	w.data, w.passed = c.rows(), 0
	if w.sep.quote == noQuote {
		if at := bytes.IndexByte(w.data, noQuote); at >= 0 {
			c.err = &Error{Line: 1 + int64(bytes.Count(w.data[:at], lf)), Err: errNoQuote}
			return false
		}
	}
	if err := w.sel.Scan(w.data); err != nil {
		c.err = csvError(err, len(w.data))
		if w.onError != Fail || len(w.sel.Spans) == 0 {
			return false
		}
		// An earlier value may fail too, and is then the first error.
	}
	c.tally.Rows, c.tally.Lines = int64(w.sel.Rows), int64(w.sel.Lines)
	w.spans, w.encoded, w.clear = w.sel.Spans, w.sel.Doubled, w.sel.Plain
	if (w.ragged || w.single && !w.sel.Plain && !w.rowCRs()) && c.err == nil {
		if at := loneCR(w.data, w.sep.quote); at >= 0 {
			c.err = &Error{Line: 1 + int64(bytes.Count(w.data[:at], lf)), Err: errLoneCR}
			return false
		}
	}
	return w.headers == nil || w.findRepeatedHeaders(c)
}

// rowCRs reports whether every CR of a chunk of single-field rows is known to be part of a
// CRLF that ends a row. It is a cheap check; loneCR decides the other cases.
func (w *csvWorker) rowCRs() bool {
	n := bytes.Count(w.data, []byte{'\r'})
	if n == 0 {
		return true
	}
	for i := 0; i+1 < len(w.spans) && n >= 0; i += 2 {
		end := int(w.spans[i] + w.spans[i+1])
		if end < len(w.data) && w.data[end] == '\r' && (end+1 == len(w.data) || w.data[end+1] == '\n') {
			n--
		}
	}
	return n == 0
}

// csvError converts an error of csvfast. n is the length of the scanned rows.
func csvError(err error, n int) *Error {
	var pe *csvfast.ParseError
	if !errors.As(err, &pe) {
		return &Error{Err: err}
	}
	e := &Error{Line: int64(pe.Line)}
	switch {
	case pe.Err == csvfast.ErrQuote && pe.Offset >= int64(n):
		e.Line, e.open = int64(pe.StartLine), true
		e.Err = fmt.Errorf("a quote opened in the row that starts here is never closed: %w", pe.Err)
	case pe.Err == csvfast.ErrBareQuote:
		e.Byte, e.Err = pe.Column, fmt.Errorf("a quote in a field that is not quoted; quote the field and double the quote: %w", pe.Err)
	case pe.Err == csvfast.ErrQuote:
		e.Byte, e.Err = pe.Column, fmt.Errorf("text behind a closing quote; double the quotes inside a quoted field: %w", pe.Err)
	case pe.Err == csvfast.ErrFieldCount:
		e.Err = &FieldCountError{pe.Err}
	case pe.Err == csvfast.ErrColumn:
		e.Err = fmt.Errorf("too few fields to hold the column: %w", pe.Err)
	default:
		e.Err = pe.Err
	}
	return e
}
