package bulk

import (
	"bytes"

	"github.com/velonym/velonym/csvfast"
)

// Concatenated files repeat their header within the data. The first chosen column then holds
// the name of a column. The check compares lengths first and reads only values that are as
// long as a name.

// headerMatcher finds rows that repeat the header. It does not change once it is made, so
// that all workers share it.
type headerMatcher struct {
	d      csvfast.Dialect
	header []string
	own    string         // name of the first chosen column
	names  map[string]int // name → column, from 0
	first  [256]uint64    // 1 for first bytes of names
	length uint64         // lengths of names, modulo 64
	pass   bool
}

// newHeaderMatcher returns nil if no row can repeat the header.
func (r *run) newHeaderMatcher(h *csvHead) *headerMatcher {
	if len(h.header) == 0 || len(h.columns) == 0 || r.RepeatedHeader == HeaderValue {
		return nil
	}
	w := &headerMatcher{d: h.d, header: h.header, own: h.header[h.columns[0]], names: map[string]int{}, pass: r.RepeatedHeader == HeaderPass}
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

func (w *headerMatcher) add(name string, column int) {
	if _, ok := w.names[name]; !ok {
		w.names[name] = column
	}
	w.first[name[0]] = 1
	w.length |= 1 << (len(name) & 63)
}

// mayContain reports whether a value has the length of a name. It examines every stride-th
// value of spans.
func (w *headerMatcher) mayContain(spans []uint32, stride int) bool {
	if len(spans) < 2 {
		return false
	}
	if w.length>>(spans[1]&63)&1 == 0 && (stride == 1 && sameLengths(spans)) {
		return false // as in most columns of identifiers
	}
	var seen uint64
	step := 2 * stride
	i := 1
	for ; i+3*step < len(spans); i += 4 * step {
		s := spans[i : i+3*step+1 : i+3*step+1]
		seen |= 1<<(s[0]&63) | 1<<(s[step]&63) | 1<<(s[2*step]&63) | 1<<(s[3*step]&63)
	}
	for ; i < len(spans); i += step {
		seen |= 1 << (spans[i] & 63)
	}
	return seen&w.length != 0
}

// sameLengths reports whether all values of spans, of which there is at least one, are as
// long as the first.
func sameLengths(spans []uint32) bool {
	n := spans[1]
	var other, more uint32
	for len(spans) >= 16 {
		s := spans[:16:16]
		other |= s[1] ^ n | s[3] ^ n | s[5] ^ n | s[7] ^ n
		more |= s[9] ^ n | s[11] ^ n | s[13] ^ n | s[15] ^ n
		spans = spans[16:]
	}
	for i := 1; i < len(spans); i += 2 {
		other |= spans[i] ^ n
	}
	return other|more == 0
}

// findRepeatedHeaders finds rows that repeat the header and excludes them from the values or
// sets c.err. It returns false if there is nothing left to transform.
func (w *csvWorker) findRepeatedHeaders(c *chunk) bool {
	h, stride := w.headers, len(w.owner)
	if !h.mayContain(w.spans, stride) {
		return true
	}
	lines, at := int64(0), 0
	first, length, data, spans := &h.first, h.length, w.data, w.spans
	for i := 0; i+1 < len(spans); i += 2 * stride {
		off, n := int(spans[i]), int(spans[i+1])
		// One combined branch, because each condition alone is hard to predict.
		if off >= len(data) || length>>(n&63)&first[data[off]] == 0 {
			continue
		}
		v := i / 2
		value := w.data[off : off+n]
		if _, ok := h.names[string(value)]; !ok {
			continue
		}
		row := w.rowAt(off)
		if string(value) != h.own && !h.onlyNames(row) {
			continue
		}
		is, same := h.isHeader(row, string(value))
		if !is {
			continue
		}
		lines += int64(bytes.Count(w.data[at:off], lf))
		at = off
		if !same || !h.pass {
			err := ErrHeaderAgain
			if !same {
				err = ErrHeaderReordered
			}
			e := &Error{Line: lines + 1, Err: err}
			if c.err != nil && c.err.Line < e.Line {
				return len(w.spans) > 0
			}
			c.err = e
			w.spans = w.spans[:2*v] // an earlier value may fail too, and is then the first error
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

// rowAt returns the row that holds the value at off. If the row repeats a header, the value
// is a name, so no quoted line end precedes it.
func (w *csvWorker) rowAt(off int) []byte {
	from := bytes.LastIndexByte(w.data[:off], '\n') + 1
	row := w.data[from:]
	if end := w.headers.d.FirstRowEnd(row, false); end >= 0 {
		row = row[:end]
	}
	return row
}

// onlyNames reports whether a row may consist of names only. It is a cheap check for files in
// which a name is also a frequent value.
func (h *headerMatcher) onlyNames(row []byte) bool {
	row = bytes.TrimRight(row, "\r\n")
	for more := true; more; {
		var field []byte
		field, row, more = bytes.Cut(row, []byte{h.d.Comma})
		if bytes.IndexByte(field, h.d.Quote) >= 0 {
			return true // isHeader decides
		}
		if _, ok := h.names[string(field)]; !ok {
			return false
		}
	}
	return true
}

// isHeader reports whether a row repeats the header, and whether in the same order. value is
// that of the first chosen column.
func (h *headerMatcher) isHeader(row []byte, value string) (is, same bool) {
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

// maxHeaderWarnings is the number of repeated headers whose lines are reported.
const maxHeaderWarnings = 20

// warnHeaders warns of repeated headers that passed.
func (r *run) warnHeaders(name string, before tally, lines []int64) {
	for i, l := range lines {
		switch n := before.Headers + int64(i); {
		case n < maxHeaderWarnings:
			r.warn("%s: line %d: the header stands here again; the row passes as it is", name, before.Lines+l)
		case n == maxHeaderWarnings:
			r.warn("%s: the header stands in further rows too; the summary counts them", name)
		}
	}
}

// sameHeader refuses inputs with different headers or output encodings, since their
// rejected rows go to one file. prefix is the text before the rows.
func (r *run) sameHeader(name string, prefix []byte, enc outputEncoding) error {
	h := string(enc.e) + "\n" + string(bytes.TrimRight(bytes.TrimPrefix(prefix, bom), "\r\n"))
	if r.header == nil {
		r.header = &h
	}
	if *r.header != h {
		return &HeaderDiffersError{name}
	}
	return nil
}
