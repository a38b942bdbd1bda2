package bulk

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/velonym/velonym/engine/bulk/arrow"
	"github.com/velonym/velonym/engine/bulk/parquet"
	"github.com/velonym/velonym/engine/suite"
)

// Error is an error in the input, with its position. It never holds a value.
type Error struct {
	File   string
	Line   int64      // from 1; 0 if the format has no lines
	Row    int64      // Parquet, Arrow: from 1; else 0
	Batch  int        // Arrow: record batch, from 1; else 0
	Byte   int        // of a syntax error in the line, from 1; else 0
	Offset int64      // JSON documents: byte of the (unpacked) input, from 1; else 0
	Column string     // name or number of the column; "" if the error concerns the row
	Code   suite.Code // 0 unless a value could not be transformed
	Why    string     // the cause and the remedy, if known in more detail than Code
	Err    error      // with a Code: a more exact reason, or nil

	open bool // the text ends within a quote or value
	at   int  // offset of the value in its chunk
}

// Error reads `register.csv: line 12, column "id": VALUE_NOT_TEXT: …`.
func (e *Error) Error() string {
	s := e.File
	sep := ": "
	if e.Line > 0 {
		s += fmt.Sprintf("%sline %d", sep, e.Line)
		sep = ", "
	}
	if e.Batch > 0 {
		s += fmt.Sprintf("%sbatch %d", sep, e.Batch)
		sep = ", "
	}
	if e.Row > 0 {
		s += fmt.Sprintf("%srow %d", sep, e.Row)
		sep = ", "
	}
	switch {
	case e.Offset > 0:
		s += fmt.Sprintf(" (byte %d of the input)", e.Offset)
	case e.Byte > 0 && e.Column != "":
		s += fmt.Sprintf("%sbyte %d", sep, e.Byte)
	case e.Byte > 0:
		s += fmt.Sprintf("%scolumn %d", sep, e.Byte)
	}
	if e.Column != "" {
		s += sep + "column " + quoteName(e.Column)
	}
	if e.Code != 0 && e.Why != "" {
		return s + ": " + e.Code.String() + ": " + e.Why
	}
	if e.Code != 0 && e.Err != nil {
		return s + ": " + e.Code.String() + ": " + e.Err.Error()
	}
	if e.Code != 0 {
		return s + ": " + e.Code.String() + ": " + explain(e.Code)
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// The errors of a run, grouped by when they occur. Their texts say what is wrong; the caller
// adds the remedy. If a different value of a Job's field would let the run succeed, the
// error is a sentinel or has its own type, with fields for the details. No field holds a
// value of a file except names of columns.

// Sentinels of Run, found with errors.Is.
var (
	// ErrUsage: the job asks for what cannot be done. Commands exit with status 2.
	ErrUsage = errors.New("bulk: cannot be asked for")
	// ErrInterrupted: the context was cancelled. If there is a journal, a run with
	// Job.Resume continues from it.
	ErrInterrupted = errors.New("interrupted")
	// ErrChanged: the input is not the one that the run or the journal started with.
	ErrChanged = errors.New("input has changed")
)

// usageError is an ErrUsage with its own text.
type usageError struct{ msg string }

func (e *usageError) Error() string        { return e.msg }
func (e *usageError) Is(target error) bool { return target == ErrUsage }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf("run: "+format, args...)}
}

// Contradictions in a job. Each is an ErrUsage.
var (
	ErrNegative           = usagef("workers and limits of memory and of a row must not be negative")
	ErrMaxRow             = usagef("rows of more than 1 GiB are not read")
	ErrRejectsWithoutKeep = usagef("a file for rejected rows is named, but no row is kept out")
	ErrKeepWithoutRejects = usagef("rows are to be kept out of the output, but no file is named for them")
	ErrHeaderOrNot        = usagef("the first row cannot be both the header and data")
	ErrCommaOrFind        = usagef("the separator cannot be both stated and found")
	ErrSideFileOnStdout   = usagef("rejected rows and the mapping go to files, not to standard output")
	ErrSameSideFiles      = usagef("rejected rows and the mapping are to go to the same file")
	ErrNoRecipient        = usagef("a mapping file needs a recipient to be sealed to")
	ErrDryRunSideFiles    = usagef("a dry run writes no mapping file and no manifest")
	ErrManifestFiles      = usagef("a manifest is written beside one output file of one input file: both need a name")
	ErrFolderNeeded       = usagef("several inputs need an existing folder as output")
	ErrServerURL          = usagef("the server's URL is not https://host:port")
)

// ServerPathError is an ErrUsage: the server's URL ends in another path of the contract
// than the token is for.
type ServerPathError struct{ Named, Wanted string }

func (e *ServerPathError) Error() string {
	return fmt.Sprintf("run: the server's URL ends in %s, and the token is for %s: leave the path out", e.Named, e.Wanted)
}
func (e *ServerPathError) Is(target error) bool { return target == ErrUsage }

// Before the first row: names, formats, the header.

// OutputNameError is an ErrUsage: the suffix of Path states another format than the
// output has. ByJob says that the job states the format, and ByContent that the
// input's content does; else the input's name does.
type OutputNameError struct {
	Path, Input      string
	Says, Format     Format
	ByJob, ByContent bool
}

func (e *OutputNameError) Error() string {
	switch {
	case e.ByJob:
		return fmt.Sprintf("run: %s: the name says %s, and the job says %s; formats are not converted, give the output the suffix .%s", e.Path, e.Says, e.Format, e.Format)
	case e.ByContent:
		return fmt.Sprintf("run: %s: the name says %s, and %s is read as %s; formats are not converted", e.Path, e.Says, e.Input, e.Format)
	}
	return fmt.Sprintf("run: %s: the name says %s, and %s is %s; formats are not converted, give the output the suffix .%s", e.Path, e.Says, e.Input, e.Format, e.Format)
}
func (e *OutputNameError) Is(target error) bool { return target == ErrUsage }

// CompressionNameError is an ErrUsage: the suffix of Path states another compression
// than the job.
type CompressionNameError struct {
	Path      string
	Says, Job Compression
}

func (e *CompressionNameError) Error() string {
	return fmt.Sprintf("run: %s: the name says %s, and the job says %s; leave one of them out", e.Path, e.Says, e.Job)
}
func (e *CompressionNameError) Is(target error) bool { return target == ErrUsage }

// ExistsError is an output path that exists; Job.Force replaces it.
type ExistsError struct{ Path string }

func (e *ExistsError) Error() string { return e.Path + ": exists: " + os.ErrExist.Error() }

// Unwrap returns os.ErrExist.
func (e *ExistsError) Unwrap() error { return os.ErrExist }

// ErrStdoutClosed: the output is standard output, and that was closed when the program
// started.
var ErrStdoutClosed = errors.New("cannot write standard output: it is closed")

// KindError is an input of a type that cannot be read, or not in this way. Kind names the
// type, Remedy what to do with the file.
type KindError struct {
	Kind, Remedy string
	Parquet      bool // it is Parquet, compressed or from a pipe
}

func (e *KindError) Error() string { return "is " + e.Kind + "; " + e.Remedy }

// NotCSVError is JSON in a file that is to be read as CSV or TSV.
type NotCSVError struct{ File string }

func (e *NotCSVError) Error() string { return e.File + ": is JSON, not CSV" }

// KeepError is an ErrUsage: rows of the format of File cannot be excluded.
type KeepError struct {
	File   string
	Format Format // JSON, Parquet or Arrow
}

func (e *KeepError) Error() string {
	switch e.Format {
	case Parquet:
		return fmt.Sprintf("run: %s: rows of Parquet cannot be kept out", e.File)
	case Arrow:
		return fmt.Sprintf("run: %s: rows of Arrow cannot be kept out", e.File)
	}
	return fmt.Sprintf("run: %s: rows cannot be kept out of a JSON document, which is not made of lines; make lines of it first, as with jq -c '.[]'", e.File)
}
func (e *KeepError) Is(target error) bool { return target == ErrUsage }

// SeparatorError is an ErrUsage: the file's first line names another separator than
// the job.
type SeparatorError struct {
	File         string
	Found, Asked byte
}

func (e *SeparatorError) Error() string {
	return fmt.Sprintf("run: %s: its first line says that the separator is %q, and the job says %q", e.File, e.Found, e.Asked)
}
func (e *SeparatorError) Is(target error) bool { return target == ErrUsage }

// FirstRowError is a first row that looks like data in a column chosen by its number.
// Job.NoHeader and Job.Header state what it is.
type FirstRowError struct{ Column int }

func (e *FirstRowError) Error() string {
	return fmt.Sprintf("column #%d: the first row looks like data", e.Column)
}

// FirstRowWarning is a first row that is treated as the header and may be data.
type FirstRowWarning struct {
	File string
	Line int64
}

func (e *FirstRowWarning) Error() string {
	return fmt.Sprintf("%s: line %d is taken for the header and stays as it is", e.File, e.Line)
}

// UnknownColumnError is a name that no column has. Names are those of the header; nil if the
// first row may be data, unless Job.ShowColumns asks for them.
type UnknownColumnError struct {
	File, Column string
	Fields       int // of the first row
	Names        []string
	Separator    string // that a header of one field seems to have; "" if none
}

func (e *UnknownColumnError) Error() string {
	s := fmt.Sprintf("%s: no column %s; ", e.File, quoteName(e.Column))
	if e.Names == nil {
		return s + "the first row has " + plural(e.Fields, "field") + ", and may be data"
	}
	return s + "there are " + listNames(e.Names)
}

// HeaderDiffersError is an ErrUsage: the inputs have different headers, and their
// rejected rows are to go to one file.
type HeaderDiffersError struct{ File string }

func (e *HeaderDiffersError) Error() string {
	return fmt.Sprintf("run: %s: its header is not that of the first input, and the rejected rows of all go to one file; do the files one by one", e.File)
}
func (e *HeaderDiffersError) Is(target error) bool { return target == ErrUsage }

// Errors in rows. An Error wraps them and adds the position.

var (
	// ErrHeaderAgain: a row repeats the header; see Job.RepeatedHeader.
	ErrHeaderAgain = errors.New("the header stands here again, as in files that were put one behind the other")
	// ErrHeaderReordered: a row repeats its names in another order.
	ErrHeaderReordered = errors.New("names of the header stand here again, in another order: the rows below may have other columns; do the files one by one")
)

// RowTooLongError is a row longer than Job.MaxRow, in bytes.
type RowTooLongError struct{ Max int64 }

func (e *RowTooLongError) Error() string {
	return fmt.Sprintf("a row is longer than %d MiB: is a quote not closed?", e.Max>>20)
}

// FieldCountError is a row with another number of fields than the first; Job.Ragged allows
// it.
type FieldCountError struct{ Err error }

func (e *FieldCountError) Error() string {
	return "another number of fields than the first row has: " + e.Err.Error()
}

// Unwrap returns the tokenizer's error.
func (e *FieldCountError) Unwrap() error { return e.Err }

// PseudonymsError is input that is pseudonymised already; Job.Again allows it. Known of the
// first Sampled values of a chunk are pseudonyms of the column's own domain.
type PseudonymsError struct{ Known, Sampled int }

func (e *PseudonymsError) Error() string {
	return fmt.Sprintf("%d of the first %d values here are pseudonyms of this project already", e.Known, e.Sampled)
}

// JSONError is text that is not JSON. Cut means that a line ends within a value; Format JSON
// accepts values that span lines.
type JSONError struct {
	Reason string
	Cut    bool
	lines  bool // rows seem to end in CR alone
}

func (e *JSONError) Error() string {
	s := "not JSON: " + e.Reason
	if e.lines {
		s += "; lines that end in CR alone are no lines here: convert them, as with tr '\\r' '\\n'"
	}
	return s
}

// OtherShapeError is a value at a path that is not a string, or on the way to it that is not
// an object; Job.AllowOther passes it. A Number at a path is transformed with Job.Numbers
// NumbersText.
type OtherShapeError struct {
	Number bool
	what   string
}

func (e *OtherShapeError) Error() string { return e.what }

// RestoreError is a reversed value that does not fit the type that its column gets back;
// with Job.Numbers NumbersText the column remains a column of strings.
type RestoreError struct {
	Type string
	Err  error
}

func (e *RestoreError) Error() string {
	return fmt.Sprintf("the column was of type %s before pseudonymisation, and the reversed value is %v", e.Type, e.Err)
}

// Unwrap returns why the value does not fit.
func (e *RestoreError) Unwrap() error { return e.Err }

// TypesError is a file whose record of the columns' former types cannot be read; with
// Job.Numbers NumbersText a reversed column remains a column of strings.
type TypesError struct{ Err error }

func (e *TypesError) Error() string { return e.Err.Error() }

// Unwrap returns the error of the file.
func (e *TypesError) Unwrap() error { return e.Err }

// Errors at the end of an input or of the run.

// MissingPathError lists JSON paths that no row has; with Job.AllowMissing it is a warning.
type MissingPathError struct{ Paths []string }

func (e *MissingPathError) Error() string {
	quoted := make([]string, len(e.Paths))
	for i, p := range e.Paths {
		quoted[i] = quoteName(p)
	}
	return "no line has the path " + strings.Join(quoted, ", nor ") + `; members are joined by dots, and a dot within a name is written \.`
}

// NothingReplacedError is a column of which no value could be transformed. With OnError Null
// it would be empty in the output.
type NothingReplacedError struct {
	Column string
	Values int64
}

func (e *NothingReplacedError) Error() string {
	return fmt.Sprintf("column %s: none of its values could be transformed, and it would be left empty (%d values)", quoteName(e.Column), e.Values)
}

// CountersError means that the counters of policy document need more memory than
// Job.MaxMemory, in bytes. Values estimates the number of distinct values.
type CountersError struct{ Values, Limit int64 }

func (e *CountersError) Error() string {
	return fmt.Sprintf("policy document: the counters of about %d different values need more than %d MiB; make several documents of the input", e.Values, max(e.Limit>>20, 1))
}

// MemoryError is a part of a Parquet file that needs more memory than Job.MaxMemory.
type MemoryError = parquet.MemoryError

// BatchMemoryError is a part of an Arrow stream or file that needs more memory than
// Job.MaxMemory.
type BatchMemoryError = arrow.MemoryError

// InterruptedError is a run that ended early and that Job.Resume continues.
type InterruptedError struct{ Err error }

func (e *InterruptedError) Error() string { return e.Err.Error() }

// Unwrap returns why the run ended.
func (e *InterruptedError) Unwrap() error { return e.Err }

// ResumeError is an interrupted run that this one cannot continue. Without Job.Resume a run
// starts from the beginning.
type ResumeError struct{ Err error }

func (e *ResumeError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *ResumeError) Unwrap() error { return e.Err }

// explain returns what a code means for a file.
func explain(c suite.Code) string {
	switch c {
	case suite.NotAPseudonym:
		return "not a pseudonym of this project, or damaged"
	case suite.ValueNotText:
		return "not UTF-8 text, or it holds control characters"
	case suite.ValueTooLong:
		return "longer than a pseudonym of this format can hold"
	case suite.ValueNotInAlphabet:
		return "holds a character outside the format's alphabet, or a digit of another script that norm step digits would drop"
	case suite.ValueLength:
		return "too short or too long for a format-preserving pseudonym"
	case suite.NotAString:
		return "not a string"
	case suite.ValueEmpty:
		return "the norm steps leave nothing of it"
	}
	return "cannot be transformed"
}

// quoteName quotes the name of a column, escaped to fit on one line.
func quoteName(s string) string {
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return fmt.Sprintf("%q", s)
}
