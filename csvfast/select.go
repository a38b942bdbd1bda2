package csvfast

import (
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

	d       Dialect
	columns []int // nil: every field
	fields  int   // fields of a row; 0 not known yet, -1 any
	row     []span
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
	s := &Selector{d: d, fields: fields}
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
	s.Spans, s.Doubled, s.RowEnds, s.Rows, s.Lines = s.Spans[:0], s.Doubled[:0], s.RowEnds[:0], 0, 0
	if len(buf) > math.MaxUint32 {
		return errTooLong
	}
	return s.scanSlow(buf, cursor{0, 1})
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
