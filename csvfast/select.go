package csvfast

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
)

var errTooLong = errors.New("csv: buffer of 4 GiB or more; scan it in parts that end at row ends")

// Selector finds chosen columns of a buffer of whole rows. It is for one
// goroutine at a time and, once its slices have grown, allocates nothing.
type Selector struct {
	// Spans holds the chosen values as off, len pairs over the scanned buffer,
	// row by row, in ascending column order; outer quotes are left out.
	Spans []uint32
	// Doubled holds the indexes of the values (not of Spans) that hold doubled
	// quotes, ascending: [Dialect.Unquote] gives their text.
	Doubled []uint32
	// RowEnds holds, for each row, the number of values up to its end. It is set
	// only by selectors of every field of rows of any length (columns nil, fields -1).
	RowEnds []uint32

	Rows  int // rows of the buffer
	Lines int // LF bytes of the buffer, those in quotes and after empty lines included
	// Plain says that the buffer is known to hold nothing but rows of one field that
	// is not in quotes, each ended by an LF, which the last may lack. Scan alone sets it.
	Plain bool

	d       Dialect
	columns []int // nil: every field
	fields  int   // fields that every row must have; 0 not known yet, -1 any
	guess   int   // fields of the last row looked at closely; what the next are tried with
	row     []span

	index indexer
	open  openRow
	paths selectorPaths
}

// openRow is what is known of the row that the windows so far have not ended.
type openRow struct {
	at      int // offset of the row
	fieldAt int // offset of its first field that is not ended
	fields  int // fields that are ended
	next    int // index in columns of the next column to find
	spans   int // len(Spans) at the row's start
	doubled int // len(Doubled) there
}

// NewSelector makes a selector of the given columns: numbers from 0, ascending,
// distinct; nil for every field. fields is the number of fields that each row
// must have; 0 for as many as the first row scanned has (kept from scan to
// scan); -1 for any number, as long as the last chosen column is there.
func NewSelector(d Dialect, columns []int, fields int) (*Selector, error) {
	d = d.normal()
	if err := d.check(); err != nil {
		return nil, err
	}
	if fields < -1 {
		return nil, errors.New("csv: number of fields must be -1, 0 or more")
	}
	s := &Selector{d: d, fields: fields, guess: max(fields, 0)}
	if columns == nil {
		return s, nil
	}
	if len(columns) == 0 {
		return nil, errors.New("csv: no column chosen")
	}
	for i, c := range columns {
		if c < 0 || i > 0 && c <= columns[i-1] {
			return nil, errors.New("csv: columns must be ascending, distinct and not negative")
		}
	}
	if last := columns[len(columns)-1]; fields > 0 && last >= fields {
		return nil, fmt.Errorf("csv: column %d chosen of %d: %w", last+1, fields, ErrColumn)
	}
	s.columns = append([]int(nil), columns...)
	return s, nil
}

// Scan finds the chosen values of buf, which starts at a row start and ends at a
// row end or at the end of the input, where the last row end may be missing.
// Results of the scan before are overwritten. The error is a *ParseError with
// lines and offset relative to buf; the results are then those of the rows
// before the one at fault, Lines excepted.
func (s *Selector) Scan(buf []byte) error {
	_, err := s.scan(buf, true)
	return err
}

// ScanPart is Scan for input that goes on behind buf: it takes the whole rows
// that buf starts with and returns where the first one starts that may not be
// whole, which is where the next buffer has to start. It costs no more than
// Scan. 0 without an error means that the first row is longer than buf; up to 63
// bytes at the end may not be looked at.
func (s *Selector) ScanPart(buf []byte) (n int, err error) {
	return s.scan(buf, false)
}

// scan scans buf; with final its end is the end of the input.
func (s *Selector) scan(buf []byte, final bool) (int, error) {
	s.Spans, s.Doubled, s.RowEnds, s.Rows, s.Lines, s.Plain = s.Spans[:0], s.Doubled[:0], s.RowEnds[:0], 0, 0, false
	if len(buf) > math.MaxUint32 {
		return 0, errTooLong
	}
	x := &s.index
	x.reset(s.d)
	s.open = openRow{}
	plain := len(buf) > 0
	w := 0
	for w < len(buf) {
		rows := int(x.state.rows)
		x.state.doubles = 0
		n, next := x.window(buf, w, final)
		if x.state.bad != 0 {
			return 0, s.fault(buf)
		}
		rows = int(x.state.rows) - rows
		if !s.takePlain(buf, w, n, rows) {
			plain = false
			if !s.takeEven(buf, w, n, rows) && !s.take(buf, w, n, rows) {
				return 0, s.fault(buf)
			}
		}
		if next == w {
			break
		}
		w = next
	}
	if !final {
		s.paths.cut++
		s.Spans, s.Doubled = s.Spans[:s.open.spans], s.Doubled[:s.open.doubled]
		s.Lines = int(x.state.lines) - bytes.Count(buf[s.open.at:w], lf)
		return s.open.at, nil
	}
	if !x.over() {
		return 0, s.fault(buf)
	}
	s.Lines, s.Plain = int(x.state.lines), plain
	if len(buf) > 0 && buf[len(buf)-1] != '\n' {
		s.Lines-- // the one that window put there
	}
	return len(buf), nil
}

// fault scans on from the open row byte by byte, up to the error that the index
// or the rows' lengths have shown to be there.
func (s *Selector) fault(buf []byte) error {
	s.paths.faults++
	s.Spans, s.Doubled = s.Spans[:s.open.spans], s.Doubled[:s.open.doubled]
	at := s.open.at
	return s.scanSlow(buf, cursor{at, 1 + bytes.Count(buf[:at], lf)})
}

// take takes the n entries of the window at w, which ends rows, row by row. It returns false at a
// row of a wrong length, which is then the open one.
func (s *Selector) take(buf []byte, w, n, rows int) bool {
	s.paths.byRow++
	if s.guess == 1 && rows == n && n > 0 && s.open.fields > 0 {
		s.paths.openPlain++
	}
	ents := s.index.entries[1 : 1+n]
	for len(ents) > 0 {
		k := 0
		for k < len(ents) && int32(ents[k]) >= 0 {
			k++
		}
		if k == len(ents) {
			s.paths.part++
			s.part(buf, w, ents)
			return true
		}
		fields := s.open.fields + k + 1
		if fields == 1 && emptyField(buf[s.open.fieldAt:w+int(ents[0]&entryPos)]) {
			s.skipLine(w, ents[0])
			ents = ents[1:]
			continue
		}
		if s.fields == 0 {
			s.fields = fields
		}
		if s.wrong(fields) != nil {
			return false
		}
		s.guess = fields
		s.part(buf, w, ents[:k+1])
		s.endRow()
		ents = ents[k+1:]
	}
	return true
}

// emptyField reports whether a line that consists of f holds nothing.
func emptyField(f []byte) bool {
	return len(f) == 0 || len(f) == 1 && f[0] == '\r'
}

// skipLine passes the empty line that v ends.
func (s *Selector) skipLine(w int, v uint32) {
	s.open.at = w + int(v&entryPos) + 1
	s.open.fieldAt = s.open.at
}

// part takes entries of the open row, at least one, finding what was chosen.
func (s *Selector) part(buf []byte, w int, ents []uint32) {
	o := &s.open
	if s.columns == nil {
		from := o.fieldAt
		for _, v := range ents {
			s.find(buf, from, w, v)
			from = w + int(v&entryPos) + 1
		}
	} else {
		for ; o.next < len(s.columns); o.next++ {
			k := s.columns[o.next] - o.fields
			if k >= len(ents) {
				break
			}
			from := o.fieldAt
			if k > 0 {
				from = w + int(ents[k-1]&entryPos) + 1
			}
			s.find(buf, from, w, ents[k])
		}
	}
	o.fields += len(ents)
	o.fieldAt = w + int(ents[len(ents)-1]&entryPos) + 1
}

// endRow closes the open row.
func (s *Selector) endRow() {
	s.Rows++
	if s.columns == nil && s.fields < 0 {
		s.RowEnds = append(s.RowEnds, uint32(len(s.Spans)/2))
	}
	s.open = openRow{at: s.open.fieldAt, fieldAt: s.open.fieldAt, spans: len(s.Spans), doubled: len(s.Doubled)}
}

// find appends the field that starts at from and that v, of the window at w, ends.
func (s *Selector) find(buf []byte, from, w int, v uint32) {
	end := w + int(v&entryPos)
	if int32(v) < 0 && end > from && buf[end-1] == '\r' {
		end--
	}
	if v&entryQuoted != 0 {
		from++
		end--
		if v&entryDoubled != 0 {
			s.Doubled = append(s.Doubled, uint32(len(s.Spans)/2))
		}
	}
	s.Spans = append(s.Spans, uint32(from), uint32(end-from))
}

// takeEven takes the entries of a window if all of its rows, of which it ends
// the given number, are as long as the last row that take took. It then never
// looks at entries that it needs not: when a row end stands every so many
// entries, and there are as many as the index has counted, there is no other. If
// it is not so, it returns false and has changed nothing.
func (s *Selector) takeEven(buf []byte, w, n, rows int) bool {
	fields := s.guess
	switch {
	case fields == 0 || n == 0 || rows == 0:
		return false
	case fields == 1:
		return s.takeSingles(buf, w, n, rows)
	}
	ents := s.index.entries[1 : 1+n]
	head := fields - s.open.fields // entries of the open row
	if head < 1 || head+(rows-1)*fields > n || head+rows*fields <= n {
		return false
	}
	for i := head - 1; i < n; i += fields {
		if int32(ents[i]) >= 0 {
			return false
		}
	}
	if s.open.fields > 0 {
		s.paths.evenOpen++
	}
	if head+(rows-1)*fields < n {
		s.paths.evenTail++
	}
	if s.columns == nil {
		s.takeAll(buf, w, n, head, rows)
		return true
	}
	s.part(buf, w, ents[:head])
	s.endRow()
	body := ents[head-1 : head+(rows-1)*fields] // from the separator before the first whole row
	if len(body) > 1 {
		s.takeColumns(buf, w, body, rows-1)
	}
	if tail := ents[head+(rows-1)*fields:]; len(tail) > 0 {
		s.part(buf, w, tail)
	}
	return true
}

// takeColumns takes whole rows of an even length. ents holds the separator
// before them and theirs.
func (s *Selector) takeColumns(buf []byte, w int, ents []uint32, rows int) {
	s.paths.columns++
	fields := s.guess
	at, width := len(s.Spans), 2*len(s.columns)
	s.Spans = slices.Grow(s.Spans, rows*width)[:at+rows*width]
	out := s.Spans[at:]
	var seen uint32 // flags of all chosen fields
	for j, c := range s.columns {
		k := uint(2*j) + 1
		for i := uint(c) + 1; i < uint(len(ents)) && k < uint(len(out)); i += uint(fields) {
			p, v := ents[i-1], ents[i]
			seen |= v
			q := v >> 30 & 1
			from := p&entryPos + 1 + q
			out[k] = v&entryPos - from - q
			out[k-1] = uint32(w) + from
			k += uint(width)
		}
	}
	if int32(seen) < 0 { // the last column is chosen: it may have a CR behind it
		for i, r := width-2, fields; i < len(out); i, r = i+width, r+fields {
			s.trimCR(buf, w, out[i:i+2], ents[r])
		}
	}
	if seen&entryDoubled != 0 {
		j := at / 2
		for row := ents[1:]; len(row) >= fields; row = row[fields:] {
			for _, c := range s.columns {
				if row[c]&entryDoubled != 0 {
					s.Doubled = append(s.Doubled, uint32(j))
				}
				j++
			}
		}
	}
	s.Rows += rows
	end := w + int(ents[len(ents)-1]&entryPos) + 1
	s.open = openRow{at: end, fieldAt: end, spans: len(s.Spans), doubled: len(s.Doubled)}
}

// trimCR shortens the span of a row's last field, ended by v, by the CR that the
// row end starts with.
func (s *Selector) trimCR(buf []byte, w int, span []uint32, v uint32) {
	end := w + int(v&entryPos)
	if (span[1] > 0 || v&entryQuoted != 0) && buf[end-1] == '\r' {
		span[1]--
	}
}

// takeAll takes every field of a window of even rows; the first of them ends
// with the head-th entry.
func (s *Selector) takeAll(buf []byte, w, n, head, rows int) {
	s.paths.all++
	fields := s.guess
	ents := s.index.entries[:1+n]
	at := len(s.Spans)
	s.Spans = slices.Grow(s.Spans, 2*n+slack)
	out := s.Spans[at : at+2*n+slack]
	spans(ents, uint32(w), out)
	// the first field may have started before the window
	v := ents[1]
	q := v >> 30 & 1
	out[0] = uint32(s.open.fieldAt) + q
	out[1] = uint32(w) + v&entryPos - out[0] - q
	s.Spans = s.Spans[:at+2*n]

	if s.index.state.doubles != 0 {
		for i, v := range ents[1:] {
			if v&entryDoubled != 0 {
				s.Doubled = append(s.Doubled, uint32(at/2+i))
			}
		}
	}
	for i := head - 1; i < n; i += fields {
		s.trimCR(buf, w, out[2*i:2*i+2], ents[1+i])
		if s.fields < 0 {
			s.RowEnds = append(s.RowEnds, uint32(at/2+i+1))
		}
	}
	s.Rows += rows
	o := &s.open
	if rest := n - head - (rows-1)*fields; rest > 0 {
		o.fields = rest
	} else {
		o.fields = 0
	}
	o.fieldAt = w + int(ents[n]&entryPos) + 1
	o.at = w + int(ents[n-o.fields]&entryPos) + 1
	o.spans = at + 2*(n-o.fields)
	o.doubled = len(s.Doubled)
	for o.doubled > 0 && int(s.Doubled[o.doubled-1]) >= o.spans/2 {
		o.doubled--
	}
}

// spansGeneric turns entries into spans: for each of ents[1:], the offset and
// length of the field between it and the entry before, outer quotes left out, a
// CR before the row end not. out has slack elements more than it needs.
func spansGeneric(ents []uint32, base uint32, out []uint32) {
	p := ents[0]
	for i, v := range ents[1:] {
		q := v >> 30 & 1
		from := p&entryPos + 1 + q
		out[2*i] = base + from
		out[2*i+1] = v&entryPos - from - q
		p = v
	}
}

// takeSingles is takeEven for rows of one field, where a line without one is no
// row. It cannot go on with a row of which earlier windows ended fields.
func (s *Selector) takeSingles(buf []byte, w, n, rows int) bool {
	if s.open.fields != 0 || rows != n {
		return false
	}
	s.paths.singles++
	at := len(s.Spans)
	s.Spans = slices.Grow(s.Spans, 2*n)
	out := s.Spans[at : at+2*n]
	k := 0
	from := s.open.fieldAt
	for _, v := range s.index.entries[1 : 1+n] {
		end := w + int(v&entryPos)
		off, to := from, end
		from = end + 1
		if to > off && buf[to-1] == '\r' {
			to--
		}
		if v&entryQuoted != 0 {
			off++
			to--
			if v&entryDoubled != 0 {
				s.Doubled = append(s.Doubled, uint32((at+k)/2))
			}
		} else if to == off {
			continue
		}
		out[k], out[k+1] = uint32(off), uint32(to-off)
		k += 2
		if s.columns == nil && s.fields < 0 {
			s.RowEnds = append(s.RowEnds, uint32((at+k)/2))
		}
	}
	s.Spans = s.Spans[:at+k]
	s.Rows += k / 2
	s.open = openRow{at: from, fieldAt: from, spans: len(s.Spans), doubled: len(s.Doubled)}
	return true
}

// takePlain is takeEven for rows of one field, in a window without quotes, CRs and
// empty lines. Like takeSingles it starts with a row of which no field has ended.
func (s *Selector) takePlain(buf []byte, w, n, rows int) bool {
	if s.guess != 1 || s.open.fields != 0 || n == 0 || rows != n || s.index.state.quotes != 0 || s.columns == nil && s.fields < 0 {
		return false
	}
	ents := s.index.entries[:1+n]
	from, end := s.open.fieldAt, w+int(ents[n]&entryPos)
	if bytes.IndexByte(buf[from:end], '\r') >= 0 {
		return false
	}
	at := len(s.Spans)
	s.Spans = slices.Grow(s.Spans, 2*n+slack)
	out := s.Spans[at : at+2*n+slack]
	spans(ents, uint32(w), out)
	// the first field may have started before the window
	out[0], out[1] = uint32(from), uint32(w)+ents[1]&entryPos-uint32(from)
	least := out[1]
	for i := 3; i < 2*n; i += 2 {
		least = min(least, out[i])
	}
	if least == 0 {
		return false
	}
	s.paths.plain++
	s.Spans = s.Spans[:at+2*n]
	s.Rows += n
	s.open = openRow{at: end + 1, fieldAt: end + 1, spans: len(s.Spans)}
	return true
}

// scanSlow scans the rows from c on one by one.
func (s *Selector) scanSlow(buf []byte, c cursor) error {
	for {
		row, start, next, err := s.d.walk(s.row[:0], buf, c)
		s.row = row[:0]
		s.Lines = next.line - 1
		if err != nil {
			return err
		}
		if start.at == len(buf) {
			return nil
		}
		if s.fields == 0 {
			s.fields = len(row)
		}
		if what := s.wrong(len(row)); what != nil {
			return &ParseError{StartLine: start.line, Line: start.line, Column: 1, Offset: int64(start.at), Err: what}
		}
		if s.columns == nil {
			for _, f := range row {
				s.emit(f)
			}
			if s.fields < 0 {
				s.RowEnds = append(s.RowEnds, uint32(len(s.Spans)/2))
			}
		} else {
			for _, c := range s.columns {
				s.emit(row[c])
			}
		}
		s.Rows++
		c = next
	}
}

// wrong says what is wrong with a row of n fields.
func (s *Selector) wrong(n int) error {
	if s.fields > 0 && n != s.fields {
		return ErrFieldCount
	}
	if k := len(s.columns); k > 0 && n <= s.columns[k-1] {
		return ErrColumn
	}
	return nil
}

// emit appends a value.
func (s *Selector) emit(f span) {
	if f.doubled {
		s.Doubled = append(s.Doubled, uint32(len(s.Spans)/2))
	}
	s.Spans = append(s.Spans, uint32(f.off), uint32(f.end-f.off))
}
