package csvfast

import (
	"bytes"
	"errors"
	"fmt"
	"math"
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

	d          Dialect
	columns    []int // nil: every field
	fields     int   // fields that every row must have; 0 not known yet, -1 any
	lastFields int   // fields of the last row looked at closely; what the next are tried with
	row        []span

	index indexer
	open  openRow
	paths selectorPaths
}

// openRow is what is known of the row that the windows so far have not ended.
type openRow struct {
	at         int // offset of the row
	fieldAt    int // offset of its first field that is not ended
	fields     int // fields that are ended
	nextColumn int // index in columns of the next column to find
	spans      int // len(Spans) at the row's start
	doubled    int // len(Doubled) there
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
	s := &Selector{d: d, fields: fields, lastFields: max(fields, 0)}
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
		if !s.selectPlain(buf, w, n, rows) {
			plain = false
			if !s.selectUniform(buf, w, n, rows) && !s.selectRows(buf, w, n, rows) {
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
	return s.scanRows(buf, cursor{at, 1 + bytes.Count(buf[:at], lf)})
}
