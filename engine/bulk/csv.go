package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/velonym/velonym/csvfast"
)

// mapDialect is that of mapping files.
var mapDialect = csvfast.Dialect{}

// csvText writes values as CSV fields.
type csvText struct {
	d     csvfast.Dialect
	quote byte
	only  bool // rows have a single field
}

func (t csvText) decode(dst, raw []byte) []byte { return t.d.Unquote(dst, raw) }

func (t csvText) plain(v []byte) bool { return !t.d.NeedsQuotes(v) }

func (t csvText) quoted(data []byte, off int) bool { return off > 0 && data[off-1] == t.quote }

func (t csvText) appendValue(dst, v, data []byte, off, n int) []byte {
	switch {
	case t.quoted(data, off):
		return t.d.AppendDoubled(dst, v)
	case len(v) == 0 && t.only: // or the row would be an empty line
		return append(dst, t.quote, t.quote)
	}
	return t.d.AppendField(dst, v, false)
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

// emptyLine says whether a line, with its end, is no row.
func emptyLine(line []byte) bool {
	line = bytes.TrimSuffix(line, lf)
	return len(line) == 0 || len(line) == 1 && line[0] == '\r'
}

// csvWorker finds the chosen columns and replaces their values.
type csvWorker struct {
	splicer
	sel *csvfast.Selector
}

func (w *csvWorker) work(ctx context.Context, c *chunk) {
	if w.find(c) {
		w.splice(ctx, c)
	}
}

// find scans the chunk.
func (w *csvWorker) find(c *chunk) bool {
	w.data = c.rows()
	if err := w.sel.Scan(w.data); err != nil {
		c.err = csvError(err, len(w.data))
		if w.onError != Fail || len(w.sel.Spans) == 0 {
			return false
		}
		// A value in the rows before may be at fault, and is then the first error.
	}
	c.tally.Rows, c.tally.Lines = int64(w.sel.Rows), int64(w.sel.Lines)
	w.spans, w.encoded, w.clear = w.sel.Spans, w.sel.Doubled, w.sel.Plain
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

// csvError turns a tokenizer's error into ours. n is the length of the scanned rows.
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
		e.Err = fmt.Errorf("another number of fields than the first row has; --ragged lets such rows pass: %w", pe.Err)
	case pe.Err == csvfast.ErrColumn:
		e.Err = fmt.Errorf("too few fields to hold the column: %w", pe.Err)
	default:
		e.Err = pe.Err
	}
	return e
}

// csvHead is what the first row says.
type csvHead struct {
	prefix  int // bytes before the data: byte order mark, empty lines, header
	lines   int64
	fields  int
	columns []int // chosen, ascending, from 0
	order   []int // index of Job.Columns for each
	names   []string
}

// errMore asks for more of the head.
var errMore = errors.New("more")

// readCSVHead finds the first row in head, the start of the input, and resolves
// the columns. It returns errMore when head ends before the row does.
func (j *Job) readCSVHead(name string, head []byte, all bool, d csvfast.Dialect) (*csvHead, error) {
	if !all && len(head) < 4 {
		return nil, errMore
	}
	if err := refuseUTF16(name, head); err != nil {
		return nil, err
	}
	h := &csvHead{}
	if bytes.HasPrefix(head, bom) {
		h.prefix = len(bom)
	}
	at := h.prefix
	var row []byte
	for row == nil {
		end := d.FirstRowEnd(head[at:], false)
		if end < 0 {
			if !all {
				return nil, errMore
			}
			end = len(head) - at
		}
		line := head[at : at+end]
		switch {
		case !emptyLine(line):
			row = line
		case len(line) == 0:
			if j.NoHeader {
				h.prefix = at
				return h, nil // nothing in it, or empty lines
			}
			return nil, fmt.Errorf("%s: is empty: there is no header to find the columns in", name)
		default:
			h.lines++
		}
		at += end
	}
	sel, err := csvfast.NewSelector(d, nil, 0)
	if err != nil {
		return nil, usagef("%v", err)
	}
	if err := sel.Scan(row); err != nil {
		e := csvError(err, len(row))
		e.File = name
		e.Line += h.lines
		return nil, e
	}
	h.fields = len(sel.Spans) / 2
	var header []string
	if j.NoHeader {
		h.lines = 0
	} else {
		h.prefix = at
		h.lines += int64(sel.Lines)
		doubled := sel.Doubled
		for i := range h.fields {
			v := row[sel.Spans[2*i]:][:sel.Spans[2*i+1]]
			if len(doubled) > 0 && doubled[0] == uint32(i) {
				v, doubled = d.Unquote(nil, v), doubled[1:]
			}
			header = append(header, string(v))
		}
	}
	return h, j.resolve(h, name, header)
}

// resolve finds the columns in the header, or by number.
func (j *Job) resolve(h *csvHead, name string, header []string) error {
	chosen := make([]int, h.fields) // index of Job.Columns + 1
	for i, c := range j.Columns {
		at := -1
		if c.Number == 0 {
			for k, title := range header {
				if title == c.Name {
					if at >= 0 {
						return fmt.Errorf("%s: column %s stands in the header twice; give its number", name, quoteName(c.Name))
					}
					at = k
				}
			}
		}
		if at < 0 {
			n := c.Number
			if n == 0 {
				n, _ = strconv.Atoi(c.Name)
			}
			switch {
			case n == 0 && header == nil:
				return usagef("column %s: without a header columns go by number, from 1", quoteName(c.Name))
			case n == 0:
				return fmt.Errorf("%s: no column %s; there are %s", name, quoteName(c.Name), listNames(header))
			case n < 0 || n > h.fields:
				return fmt.Errorf("%s: no column %d; rows have %d fields", name, n, h.fields)
			}
			at = n - 1
		}
		if chosen[at] != 0 {
			return usagef("column %s is given twice", quoteName(c.Name))
		}
		chosen[at] = i + 1
	}
	for at, i := range chosen {
		if i == 0 {
			continue
		}
		h.columns = append(h.columns, at)
		h.order = append(h.order, i-1)
		if header != nil {
			h.names = append(h.names, header[at])
		} else {
			h.names = append(h.names, strconv.Itoa(at+1))
		}
	}
	return nil
}

// listNames lists what columns there are, the first 50.
func listNames(names []string) string {
	var b strings.Builder
	for i, n := range names {
		if i == 50 {
			fmt.Fprintf(&b, " and %d more", len(names)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quoteName(n))
	}
	return b.String()
}
