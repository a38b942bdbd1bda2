package csvfast

import (
	"bytes"
	"errors"
	"fmt"
	"math"
)

var errTooLong = errors.New("csv: buffer of 4 GiB or more; scan it in parts that end at row ends")

// Selector finds chosen columns in a buffer of whole rows. One goroutine at a time uses it. Once
// its slices have grown, it allocates nothing.
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
	// Plain reports that the buffer consists of rows of one unquoted field, each ended by an LF,
	// which the last may lack. Only Scan sets it; false does not prove the opposite.
	Plain bool

	d          Dialect
	columns    []int // nil: every field
	fields     int   // fields that every row must have; 0 not known yet, -1 any
	lastFields int   // fields of the last row that selectRows handled; the next windows are expected to have as many
	row        []span

	index indexer
	open  openRow
	paths selectorPaths
}

// openRow describes the row that the windows so far have not ended.
type openRow struct {
	at         int // offset of the row
	fieldAt    int // offset of its first field that has not ended
	fields     int // fields that have ended
	nextColumn int // index in columns of the next column to find
	spans      int // len(Spans) at the row's start
	doubled    int // len(Doubled) there
}

// NewSelector returns a selector of the given columns: numbers from 0, ascending and distinct;
// nil selects every field. fields is the number of fields that each row must have: 0 for as
// many as the first row has (kept from scan to scan), -1 for any number that includes the last
// chosen column.
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

// Scan finds the chosen values of buf, which starts at a row start and ends at a row end or at
// the end of the input, where the last row end may be missing. It overwrites the results of the
// previous scan. The error is a *ParseError with lines and offset relative to buf; the results,
// except Lines, are then those of the rows before the invalid one.
func (s *Selector) Scan(buf []byte) error {
	_, err := s.scan(buf, true)
	return err
}

// ScanPart is Scan for input that continues after buf. It scans the whole rows at the start of
// buf and returns the start of the first row that may be incomplete, at which the next buffer
// must start. 0 without an error means that the first row is longer than buf. It costs no more
// than Scan; it may ignore up to 63 bytes at the end.
func (s *Selector) ScanPart(buf []byte) (n int, err error) {
	return s.scan(buf, false)
}

// scan scans buf. With final, its end is the end of the input.
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
		s.paths.partial++
		s.Spans, s.Doubled = s.Spans[:s.open.spans], s.Doubled[:s.open.doubled]
		s.Lines = int(x.state.lines) - bytes.Count(buf[s.open.at:w], lf)
		return s.open.at, nil
	}
	if !x.over() {
		return 0, s.fault(buf)
	}
	s.Lines, s.Plain = int(x.state.lines), plain
	if len(buf) > 0 && buf[len(buf)-1] != '\n' {
		s.Lines-- // the LF that window added
	}
	return len(buf), nil
}

// fault scans byte by byte from the open row to the error that the index or the length of a row
// has revealed.
func (s *Selector) fault(buf []byte) error {
	s.paths.faults++
	s.Spans, s.Doubled = s.Spans[:s.open.spans], s.Doubled[:s.open.doubled]
	at := s.open.at
	return s.scanRows(buf, cursor{at, 1 + bytes.Count(buf[:at], lf)})
}
