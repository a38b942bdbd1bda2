package arrow

import (
	"errors"
	"fmt"
)

// Error is a fault of an input; another attempt would fail in the same way.
type Error struct {
	File   string
	Batch  int    // record batch, from 1; 0 if none
	Row    int64  // of the whole input, from 1; 0 if none
	Column string // dotted name; "" for the input as a whole
	Err    error

	refused bool // the message continues the sentence that the column's name begins
}

// Error returns the file, the position and the cause.
func (e *Error) Error() string {
	s := e.File
	sep := ": "
	if e.Batch > 0 {
		s += fmt.Sprintf("%sbatch %d", sep, e.Batch)
		sep = ", "
	}
	if e.Row > 0 {
		s += fmt.Sprintf("%srow %d", sep, e.Row)
		sep = ", "
	}
	if e.Column != "" {
		s += sep + "column " + quote(e.Column)
	}
	if e.refused {
		return s + " " + e.Err.Error()
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// MemoryError reports a part of an input that needs more memory than Options.Memory.
type MemoryError struct {
	What  string
	Need  int64 // bytes
	Limit int64
}

// Error returns the part, the memory that it needs, and the limit.
func (e *MemoryError) Error() string {
	return fmt.Sprintf("%s needs about %d MiB, more than %d MiB; write the input anew in smaller batches", e.What, (e.Need+1<<20-1)>>20, max(e.Limit>>20, 1))
}

// quote returns at most 80 bytes of a column's name, in quotes and on one line.
func quote(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return fmt.Sprintf("%q", s)
}

// bad returns an Error at the current batch.
func (s *Stream) bad(format string, args ...any) error {
	return &Error{File: s.name, Batch: s.batch, Err: fmt.Errorf(format, args...)}
}

// RestoreError reports a reversed value that is not of the type that its column gets back.
type RestoreError struct {
	Type  string
	Entry int64 // of the column's dictionary, from 1; 0 if the value belongs to a row
	Err   error // describes the value
}

// Error says which type the value should be of.
func (e *RestoreError) Error() string {
	s := fmt.Sprintf("the column was of type %s before pseudonymisation, and a reversed value is %v", e.Type, e.Err)
	if e.Entry > 0 {
		s += fmt.Sprintf(" (entry %d of its dictionary)", e.Entry)
	}
	return s
}

// Unwrap returns Err.
func (e *RestoreError) Unwrap() error { return e.Err }

// Faults of columns.
var (
	errOffsets      = errors.New("the offsets of the values are damaged")
	errDictionary   = errors.New("its dictionary is damaged")
	errNoDictionary = errors.New("its dictionary is missing")
	errDelta        = errors.New("its dictionary begins with an addition to one that is not there")
	errSecond       = errors.New("its dictionary is replaced in the middle, which a file must not do; write it anew as a stream")
	errIndex        = errors.New("refers to an entry that its dictionary has not")
)
