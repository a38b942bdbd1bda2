package bulk

import (
	"bytes"
	"fmt"

	"github.com/velonym/velonym/csvfast"
)

// Files that were put one behind the other hold their header again, within the
// data. The first chosen column then holds the name of a column. That costs one
// look at the length of its values; only values of the length of a name are read.

// headerWatch finds rows that are the header again. It is not changed while lanes
// use it.
type headerWatch struct {
	d      csvfast.Dialect
	header []string
	own    string         // name of the first chosen column
	names  map[string]int // name → column, from 0
	first  [256]bool      // first bytes of names
	length uint64         // lengths of names, modulo 64
	pass   bool
}

// newHeaderWatch returns nil where no row can be the header again.
func (r *run) newHeaderWatch(h *csvHead) *headerWatch {
	if len(h.header) == 0 || len(h.columns) == 0 || r.RepeatedHeader == HeaderValue {
		return nil
	}
	w := &headerWatch{d: h.d, header: h.header, own: h.header[h.columns[0]], names: map[string]int{}, pass: r.RepeatedHeader == HeaderPass}
	for i, n := range h.header {
		if n == "" {
			continue
		}
		w.add(n, i)
		if i == 0 {
			w.add(string(bom)+n, i)
		}
	}
	return w
}

func (w *headerWatch) add(name string, column int) {
	if _, ok := w.names[name]; !ok {
		w.names[name] = column
	}
	w.first[name[0]] = true
	w.length |= 1 << (len(name) & 63)
}

// meets says whether a value that is not empty may be a name, by its length. Of
// spans every stride-th value is looked at.
func (w *headerWatch) meets(spans []uint32, stride int) bool {
	var seen uint64
	step := 2 * stride
	i := 1
	for ; i+3*step < len(spans); i += 4 * step {
		seen |= 1<<(spans[i]&63) | 1<<(spans[i+step]&63) | 1<<(spans[i+2*step]&63) | 1<<(spans[i+3*step]&63)
	}
	for ; i < len(spans); i += step {
		seen |= 1 << (spans[i] & 63)
	}
	return seen&w.length != 0
}

// headerAgain looks for rows that are the header again. It returns false when one
// ends the run.
func (w *csvWorker) headerAgain(c *chunk) bool {
	h, stride := w.watch, len(w.owner)
	if !h.meets(w.spans, stride) {
		return true
	}
	lines, at := int64(0), 0
	for v := 0; v < len(w.spans)/2; v += stride {
		off, n := int(w.spans[2*v]), int(w.spans[2*v+1])
		if n == 0 || h.length>>(n&63)&1 == 0 || !h.first[w.data[off]] {
			continue
		}
		value := w.data[off : off+n]
		if _, ok := h.names[string(value)]; !ok {
			continue
		}
		is, same := h.isHeader(w.rowAt(off), string(value))
		if !is {
			continue
		}
		lines += int64(bytes.Count(w.data[at:off], lf))
		at = off
		if !same || !h.pass {
			err := fmt.Errorf("the header stands here again, as in files that were put one behind the other; --repeated-header pass lets such rows pass, value replaces their values too")
			if !same {
				err = fmt.Errorf("names of the header stand here again, in another order: the rows below may have other columns; do the files one by one, or --repeated-header value takes this row for data")
			}
			e := &Error{Line: lines + 1, Err: err}
			if c.err != nil && c.err.Line < e.Line {
				return len(w.spans) > 0
			}
			c.err = e
			w.spans = w.spans[:2*v] // a value in the rows before may be at fault, and is then the first error
			return w.onError == Fail && v > 0
		}
		c.headers = append(c.headers, lines+1)
		c.tally.Headers++
		c.tally.Rows--
		for k := range stride {
			w.spans[2*(v+k)+1] = 0
			w.passed++
		}
		w.clear = false
	}
	return true
}

// rowAt returns the row that holds the value at off, which is not in quotes that
// hold line ends: it is a name of the header or no header stands there.
func (w *csvWorker) rowAt(off int) []byte {
	from := bytes.LastIndexByte(w.data[:off], '\n') + 1
	row := w.data[from:]
	if end := w.watch.d.FirstRowEnd(row, false); end >= 0 {
		row = row[:end]
	}
	return row
}

// isHeader says whether a row is the header again, and whether it is in the same
// order. value is that of the first chosen column.
func (h *headerWatch) isHeader(row []byte, value string) (is, same bool) {
	fields, _, err := fieldsOf(h.d, row)
	if err != nil {
		return false, false
	}
	if len(fields) > 0 {
		fields[0] = string(bytes.TrimPrefix([]byte(fields[0]), bom))
	}
	same = len(fields) == len(h.header)
	used := make(map[string]bool, len(fields))
	known := 0
	for i, f := range fields {
		same = same && f == h.header[i]
		if _, ok := h.names[f]; ok && !used[f] {
			known++
		}
		used[f] = true
	}
	value = string(bytes.TrimPrefix([]byte(value), bom))
	return same || value == h.own || known == len(fields), same
}

// warnedHeaders is how many headers that came again are named by their line.
const warnedHeaders = 20

// warnHeaders tells of headers that came again and passed.
func (r *run) warnHeaders(name string, before tally, lines []int64) {
	for i, l := range lines {
		switch n := before.Headers + int64(i); {
		case n < warnedHeaders:
			r.warn("%s: line %d: the header stands here again; the row passes as it is", name, before.Lines+l)
		case n == warnedHeaders:
			r.warn("%s: the header stands in further rows too; the summary counts them", name)
		}
	}
}
