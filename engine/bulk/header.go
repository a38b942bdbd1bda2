package bulk

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/velonym/velonym/csvfast"
)

// csvHead describes the start of a CSV input and the columns found in it.
type csvHead struct {
	d       csvfast.Dialect
	prefix  int // bytes before the data: byte order mark, line sep=, empty lines, header
	lines   int64
	fields  int
	header  []string // nil without
	columns []int    // chosen, ascending, from 0
	order   []int    // index of Job.Columns for each
	names   []string // of each: the name or number by which it was chosen

	found bool // d.Comma was found from the rows

	below []byte // the part of the head below the header
	all   bool   // below is the rest of the input
	rows  [][]string
}

// errMore means that a decision needs more of the head.
var errMore = errors.New("more")

// errLoneCR is returned for a CR outside quotes that no LF follows. CSV readers do not take
// it for a row end.
var errLoneCR = errors.New("a CR without LF stands outside quotes: lines that end in CR alone (Excel for Mac) are no CSV rows; " +
	`convert the file first: tr '\r' '\n' <IN >OUT; a CR that belongs to a value stands in quotes`)

// loneCR returns the offset of the first CR outside quotes in b that no LF follows, or -1.
// b starts outside quotes.
func loneCR(b []byte, quote byte) int {
	inside := false
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\r')
		if i < 0 || at+i+1 >= len(b) {
			return -1
		}
		if b[at+i+1] != '\n' {
			inside = inside != (bytes.Count(b[at:at+i], []byte{quote})&1 == 1)
			if !inside {
				return at + i
			}
			at += i + 1
			continue
		}
		inside = inside != (bytes.Count(b[at:at+i], []byte{quote})&1 == 1)
		at += i + 2
	}
}

// readCSVHead finds the first row in head, the start of the input, and resolves the
// columns. It returns errMore if it needs more of the input.
func (j *Job) readCSVHead(name string, head []byte, all bool, d csvfast.Dialect) (*csvHead, error) {
	if !all && len(head) < 4 {
		return nil, errMore
	}
	if err := refuseUTF16(name, head); err != nil {
		return nil, err
	}
	h := &csvHead{d: d}
	if bytes.HasPrefix(head, bom) {
		h.prefix = len(bom)
	}
	for h.lines < int64(j.SkipLines) {
		i := bytes.IndexByte(head[h.prefix:], '\n')
		if i < 0 && !all {
			return nil, errMore
		}
		if i < 0 {
			return nil, fmt.Errorf("%s: has %s, and %d are to be skipped before the first row", name, plural(int(h.lines)+1, "line"), j.SkipLines)
		}
		h.prefix += i + 1
		h.lines++
	}
	comma, n, err := sepLine(head[h.prefix:], all)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		if j.Comma != 0 && j.Comma != comma {
			return nil, &SeparatorError{name, comma, j.Comma}
		}
		h.d.Comma = comma
		h.prefix += n
		h.lines++
	} else if j.FindComma {
		if h.d.Comma, err = j.findSeparator(name, head[h.prefix:], all, h.d); err != nil {
			return nil, err
		}
		h.found = true
	}
	row, at, err := h.firstRow(name, head, all)
	if err != nil {
		return nil, err
	}
	if row == nil {
		if j.NoHeader {
			h.prefix = at
			return h, nil // nothing in it, or empty lines
		}
		return nil, fmt.Errorf("%s: is empty: there is no header to find the columns in", name)
	}
	first, lines, e := fieldsOf(h.d, row)
	if e != nil {
		e.File = name
		e.Line += h.lines
		return nil, e
	}
	h.fields = len(first)
	if h.fields == 1 {
		if i := loneCR(head[at-len(row):], h.d.Quote); i >= 0 {
			return nil, &Error{File: name, Line: h.lines + 1 + int64(bytes.Count(head[at-len(row):][:i], lf)), Err: errLoneCR}
		}
	}
	if j.NoHeader {
		h.lines = int64(bytes.Count(head[:h.prefix], lf))
		return h, j.resolve(h, name, first)
	}
	h.prefix = at
	h.lines += lines
	h.header, h.below, h.all = first, head[at:], all
	if !all && j.byNumber() && len(h.sample()) == 0 {
		return nil, errMore // a row below is needed to tell a header from data
	}
	return h, j.resolve(h, name, first)
}

// firstRow returns the first non-empty line as a row and the offset after it; row is nil if
// the input has none. It adds the empty lines before it to h.lines.
func (h *csvHead) firstRow(name string, head []byte, all bool) (row []byte, at int, err error) {
	at = h.prefix
	if i := loneCR(head[at:], h.d.Quote); i >= 0 {
		// Only before the first line end: there it ends no row.
		if e := h.d.FirstRowEnd(head[at:], false); e < 0 || i < e {
			return nil, 0, &Error{File: name, Line: h.lines + 1, Err: errLoneCR}
		}
	}
	for {
		end := h.d.FirstRowEnd(head[at:], false)
		if end < 0 {
			if !all {
				return nil, 0, errMore
			}
			end = len(head) - at
		}
		line := head[at : at+end]
		at += end
		if len(line) == 0 {
			return nil, at, nil
		}
		if !emptyLine(line) {
			if i := loneCR(line, h.d.Quote); i >= 0 {
				return nil, 0, &Error{File: name, Line: h.lines + 1, Err: errLoneCR}
			}
			return line, at, nil
		}
		h.lines++
	}
}

// fieldsOf returns the fields of a row and the number of its line feeds.
func fieldsOf(d csvfast.Dialect, row []byte) ([]string, int64, *Error) {
	sel, err := csvfast.NewSelector(d, nil, 0)
	if err != nil {
		return nil, 0, &Error{Err: err}
	}
	if err := sel.Scan(row); err != nil {
		return nil, 0, csvError(err, len(row))
	}
	fields := make([]string, 0, len(sel.Spans)/2)
	doubled := sel.Doubled
	for i := 0; i < len(sel.Spans)/2; i++ {
		v := row[sel.Spans[2*i]:][:sel.Spans[2*i+1]]
		if len(doubled) > 0 && doubled[0] == uint32(i) {
			v, doubled = d.Unquote(nil, v), doubled[1:]
		}
		fields = append(fields, string(v))
	}
	return fields, int64(sel.Lines), nil
}

// byNumber reports whether the job may choose a column by its number.
func (j *Job) byNumber() bool {
	for _, c := range j.Columns {
		if n, err := strconv.Atoi(c.Name); c.Number != 0 || err == nil && n > 0 {
			return true
		}
	}
	return false
}

// sampleRows is the largest number of rows below a header that are examined.
const sampleRows = 100

// sample returns the first rows below the header, up to one that is incomplete or invalid.
func (h *csvHead) sample() [][]string {
	if h.rows != nil {
		return h.rows
	}
	rows := [][]string{}
	for b := h.below; len(rows) < sampleRows && len(b) > 0; {
		end := h.d.FirstRowEnd(b, false)
		if end < 0 {
			if !h.all {
				break
			}
			end = len(b)
		}
		row := b[:end]
		b = b[end:]
		if emptyLine(row) {
			continue
		}
		fields, _, err := fieldsOf(h.d, row)
		if err != nil {
			break
		}
		rows = append(rows, fields)
	}
	h.rows = rows
	return rows
}

// resolve finds the columns by name in the first row, or by number. first is the
// header, or without one the first row of data.
func (j *Job) resolve(h *csvHead, name string, first []string) error {
	chosen := make([]int, h.fields) // index of Job.Columns + 1
	numbered := make([]bool, h.fields)
	for i, c := range j.Columns {
		at, byNumber, err := j.find(h, name, c, first)
		if err != nil {
			return err
		}
		if chosen[at] != 0 {
			return usagef("column %s is given twice", c.label())
		}
		chosen[at], numbered[at] = i+1, byNumber
	}
	for at, i := range chosen {
		if i == 0 {
			continue
		}
		h.columns = append(h.columns, at)
		h.order = append(h.order, i-1)
		if numbered[at] { // the first row may be data, which must not appear in errors
			h.names = append(h.names, strconv.Itoa(at+1))
		} else {
			h.names = append(h.names, h.header[at])
		}
	}
	return nil
}

// label returns what messages call a column: its name, or #2 for its number.
func (c *Column) label() string {
	if c.Number != 0 {
		return "#" + strconv.Itoa(c.Number)
	}
	return quoteName(c.Name)
}

// find returns the index of column c, counted from 0, and whether its number chose it.
func (j *Job) find(h *csvHead, name string, c Column, first []string) (at int, byNumber bool, err error) {
	at = -1
	n := c.Number
	if n == 0 {
		for k, title := range h.header {
			if title != c.Name {
				continue
			}
			if at >= 0 {
				return 0, false, fmt.Errorf("%s: columns %d and %d are both named %s; write #%d or #%d", name, at+1, k+1, quoteName(c.Name), at+1, k+1)
			}
			at = k
		}
		n, _ = strconv.Atoi(c.Name)
		if at >= 0 && n > 0 && n <= h.fields && n != at+1 {
			return 0, false, fmt.Errorf("%s: column %s: the header has that name in column %d, and there is a column %d; write #%d for the one or #%d for the other", name, quoteName(c.Name), at+1, n, at+1, n)
		}
		if at >= 0 {
			return at, false, nil
		}
	}
	switch {
	case n == 0 && h.header == nil:
		return 0, false, usagef("column %s: without a header columns go by number, from 1", quoteName(c.Name))
	case n == 0:
		return 0, false, j.unknownColumn(h, name, c.Name)
	case n < 0 || n > h.fields:
		return 0, false, fmt.Errorf("%s: no column %d; rows have %s", name, n, plural(h.fields, "field"))
	}
	if h.header != nil && !j.Header && !j.named(h.header) {
		var below []string
		for _, row := range h.sample() {
			if n <= len(row) {
				below = append(below, row[n-1])
			}
		}
		if looksLikeData(first[n-1], below) && (sameKinds(first[n-1], below) || !j.isHeader(h.header, h.sample())) {
			return 0, false, &Error{File: name, Line: h.lines, Err: &FirstRowError{n}}
		}
	}
	return n - 1, true, nil
}

// unknownColumn returns the error for a column that does not exist. It lists the names only
// if the first row is known to be a header, because it may hold data otherwise.
func (j *Job) unknownColumn(h *csvHead, file, column string) error {
	e := &UnknownColumnError{File: file, Column: column, Fields: h.fields}
	if j.ShowColumns || j.isHeader(h.header, h.sample()) {
		e.Names, e.Separator = h.header, separatorOf(h.header, h.d.Comma)
	}
	return e
}

// plural writes "1 field", "2 fields".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// isHeader reports whether the first row is certainly a header: a column was found in it by
// name, or none of its fields is numeric and one without digits heads a column whose values
// all have digits.
func (j *Job) isHeader(first []string, sample [][]string) bool {
	if j.named(first) {
		return true
	}
	for _, f := range first {
		if digits(f)*2 >= len(f) && f != "" || digits(f) >= 4 || strings.ContainsRune(f, '@') {
			return false
		}
	}
	for k, f := range first {
		if f == "" || digits(f) > 0 || isMissingMarker(f) {
			continue
		}
		seen, with := 0, 0
		for _, row := range sample {
			if k < len(row) && row[k] != "" && !isMissingMarker(row[k]) {
				seen++
				if digits(row[k]) > 0 {
					with++
				}
			}
		}
		if seen > 0 && seen == with {
			return true
		}
	}
	return false
}

// doubtful reports whether a first row that is treated as the header may be data. That can
// happen where a column was chosen by its number.
func (j *Job) doubtful(h *csvHead) bool {
	return h.header != nil && !j.Header && j.byNumber() && !j.isHeader(h.header, h.sample())
}

// named reports whether a column of the job is in the header by its name.
func (j *Job) named(header []string) bool {
	for _, f := range header {
		for _, c := range j.Columns {
			if c.Number == 0 && c.Name == f {
				return true
			}
		}
	}
	return false
}

// listNames lists the first 50 names.
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
