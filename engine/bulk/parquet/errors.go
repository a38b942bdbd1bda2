package parquet

import (
	"fmt"
	"io"
)

// Error is a fault of a file, which a retry would meet again: it is damaged, encrypted, or
// uses what this package does not support.
type Error struct {
	File   string
	Column string // dotted name; "" for the file as a whole
	Group  int    // row group, from 1; 0 if none
	Page   int    // data page of the column chunk, from 1; 0 if none
	Err    error

	predicate bool // Err continues the sentence after the column's name: "is encrypted"
}

// Error returns the file, the column and the cause.
func (e *Error) Error() string {
	s := e.File + ": "
	if e.Column != "" {
		s += "column " + quote(e.Column)
		if !e.predicate {
			s += ":"
		}
		s += " "
	}
	return s + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// MemoryError is a part of a file that needs more memory than [Open] was given.
type MemoryError struct {
	What   string // the part
	Need   int64  // bytes; with Footer, the footer's length in the file
	Limit  int64
	Footer bool // the footer decodes to more values than fit
}

// Error returns the part, the memory that it needs and the limit.
func (e *MemoryError) Error() string {
	if e.Footer {
		return fmt.Sprintf("the footer of %d MiB unfolds to more than %d MiB", e.Need>>20, max(e.Limit>>20, 1))
	}
	return fmt.Sprintf("%s needs about %d MiB, more than %d MiB", e.What, (e.Need+1<<20-1)>>20, max(e.Limit>>20, 1))
}

// quote quotes the name of a column, escaped to fit on one line.
func quote(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return fmt.Sprintf("%q", s)
}

// bad returns an Error of the file as a whole.
func (f *reader) bad(format string, args ...any) error {
	return &Error{File: f.name, Err: fmt.Errorf(format, args...)}
}

// unread returns the error for a read that returned less than it was asked for.
func (f *reader) unread(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%s: %w", f.name, err)
}

// fits returns an error if need is more memory than the file may take.
func (f *reader) fits(need int64, column, what string) error {
	if need <= f.memory {
		return nil
	}
	return &Error{File: f.name, Column: column, Err: &MemoryError{What: what, Need: need, Limit: f.memory}}
}

// bad returns an Error of the column chunk, or of its current page.
func (c *columnChunk) bad(format string, args ...any) error {
	return &Error{File: c.file, Column: c.leaf.name(), Group: c.group, Page: c.page, Err: fmt.Errorf(format, args...)}
}

// refuse returns an Error that begins with the column: "is of type INT64".
func (f *reader) refuse(l *leaf, format string, args ...any) error {
	return &Error{File: f.name, Column: l.name(), Err: fmt.Errorf(format, args...), predicate: true}
}
