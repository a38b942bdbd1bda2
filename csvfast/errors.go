package csvfast

import (
	"encoding/csv"
	"errors"
	"fmt"
)

// The errors of a row. The first three are encoding/csv's own values, so that code written for
// that package finds them with errors.Is.
var (
	// ErrBareQuote: a field that does not start with a quote contains one.
	ErrBareQuote = csv.ErrBareQuote
	// ErrQuote: text follows the closing quote of a field, or the quote never closes.
	ErrQuote = csv.ErrQuote
	// ErrFieldCount: a row has more or fewer fields than required.
	ErrFieldCount = csv.ErrFieldCount
	// ErrColumn: a row is too short to hold the last chosen column.
	ErrColumn = errors.New("row does not hold the chosen column")
)

// ParseError is the position at which the input is not valid CSV, with the line and column of
// encoding/csv. Lines and columns count from 1, columns in bytes.
type ParseError struct {
	StartLine int   // line at which the row starts
	Line      int   // line of the error
	Column    int   // column of the error; 1 for ErrFieldCount and ErrColumn
	Offset    int64 // byte of the error, from the start of the buffer or stream; the row's start for ErrFieldCount and ErrColumn, the input's end for a quote that never closes
	Err       error // ErrBareQuote, ErrQuote, ErrFieldCount or ErrColumn

	open bool // the quote never closes
}

// Error returns the position and the remedy, never a value.
func (e *ParseError) Error() string {
	what := ""
	switch {
	case e.open:
		what = fmt.Sprintf("quote not closed in the row that starts on line %d", e.StartLine)
	case e.Err == ErrBareQuote:
		what = "quote in a field that is not quoted; quote the field and double the quote"
	case e.Err == ErrQuote:
		what = "text after a closing quote; double the quotes inside a quoted field"
	default:
		return fmt.Sprintf("csv: line %d: %v", e.Line, e.Err)
	}
	return fmt.Sprintf("csv: line %d, column %d: %s", e.Line, e.Column, what)
}

// Unwrap returns Err.
func (e *ParseError) Unwrap() error { return e.Err }

// As lets errors.As fill an encoding/csv.ParseError.
func (e *ParseError) As(target any) bool {
	t, ok := target.(**csv.ParseError)
	if ok {
		*t = &csv.ParseError{StartLine: e.StartLine, Line: e.Line, Column: e.Column, Err: e.Err}
	}
	return ok
}
