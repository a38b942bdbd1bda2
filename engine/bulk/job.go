package bulk

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"filippo.io/age"

	"github.com/velonym/velonym/engine/bulk/parquet"
	"github.com/velonym/velonym/engine/suite"
)

// Format is the shape of the input and of the output.
type Format string

// The formats. Auto goes by the name of the input, any compression suffix
// aside: .csv, .tsv and .tab, .ndjson and .jsonl, .json, .parquet and .pq. What
// other names and standard input hold is JSON if it starts so, else CSV. Whether
// JSON is lines or a document is found in the input itself, unless Format says it.
const (
	Auto    Format = ""
	CSV     Format = "csv"
	TSV     Format = "tsv"    // CSV with tabs, quoted as CSV is
	NDJSON  Format = "ndjson" // JSON texts, one a line
	JSON    Format = "json"   // a document: an array whose items are the rows, or JSON texts with white space between them
	Parquet Format = "parquet"
)

// ParseFormat reads "csv", "tsv", "ndjson", "json" or "parquet"; "" and "auto" are
// Auto.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case Auto, CSV, TSV, NDJSON, JSON, Parquet:
		return f, nil
	case "auto":
		return Auto, nil
	}
	return "", fmt.Errorf("bulk: unknown format %q: use one of csv, tsv, ndjson, json, parquet", s)
}

// OnError says what becomes of a value that cannot be transformed.
type OnError string

// What becomes of it: the run stops, the value becomes empty (null in NDJSON), or
// its row is kept out of the output (and written to Job.Rejects; not in Parquet).
const (
	Fail OnError = "fail" // the zero value means Fail too
	Null OnError = "null"
	Keep OnError = "keep"
)

// ParseOnError reads "fail", "null" or "keep"; "" is Fail.
func ParseOnError(s string) (OnError, error) {
	switch o := OnError(s); o {
	case Fail, Null, Keep:
		return o, nil
	case "":
		return Fail, nil
	}
	return "", fmt.Errorf("bulk: unknown choice %q: use one of fail, null, keep", s)
}

// RepeatedHeader says what becomes of a row of CSV that is the header again, as in
// files that were put one behind the other.
type RepeatedHeader string

// What becomes of it: the run stops, the row passes as it is and is counted, or its
// values are replaced as any others. The same names in another order are an error
// but for HeaderValue: the columns below are others.
const (
	HeaderFail  RepeatedHeader = "fail" // the zero value means HeaderFail too
	HeaderPass  RepeatedHeader = "pass"
	HeaderValue RepeatedHeader = "value"
)

// ParseRepeatedHeader reads "fail", "pass" or "value"; "" is HeaderFail.
func ParseRepeatedHeader(s string) (RepeatedHeader, error) {
	switch h := RepeatedHeader(s); h {
	case HeaderFail, HeaderPass, HeaderValue:
		return h, nil
	case "":
		return HeaderFail, nil
	}
	return "", fmt.Errorf("bulk: unknown choice %q: use one of fail, pass, value", s)
}

// Column is a column to replace and how. Exactly one of Plan and Remote is set.
// Columns that share a plan (the same pointer) are transformed together: for
// policy document they are one document, counted row by row.
type Column struct {
	// Name is the column's name in the header; for NDJSON a path of member names
	// ("patient.id", as jsonfast.NewPathFinder reads it), for Parquet the dotted name
	// of a leaf, or of a group or list that has no other. A name of CSV or Parquet that no
	// column has and that is a decimal number is the number of a column, counted from 1;
	// without a header it has to be one. A name that may be both, of one column and the
	// number of another, is refused.
	Name string
	// Number is the column's number from 1, if not 0; Name is then not looked at. In
	// Parquet the columns of values count, in the order of the schema.
	Number int

	Plan   *suite.Plan
	Remote *Remote

	// Spend, if set, is asked for leave before each chunk's values are transformed,
	// with the number of those that are not empty; it may wait. An error ends the
	// run. It is called by several goroutines, and not for a dry run. Of columns
	// that share a plan or a Remote the first one's counts.
	Spend func(ctx context.Context, values int) error

	// Describe is what a manifest says of the column: operation, project, token id
	// and the like. It must not hold a secret. A journal is bound to it, but for the
	// entry "token": another token for the same work may go on.
	Describe map[string]string
}

// Job is one run. Only Columns is required; the zero value of the rest reads CSV
// from standard input and writes it to standard output.
type Job struct {
	// Inputs are paths; "-" is Stdin, and so is no input at all. With several
	// inputs Output must be a folder: each goes to a file of its own name there,
	// and the outputs get their names together, when all are complete.
	Inputs []string
	// Output is a path, "-" or "" for Stdout, or an existing folder, in which each
	// output gets the name of its input.
	Output string

	Stdin  io.Reader // nil: os.Stdin
	Stdout io.Writer // nil: os.Stdout

	Format   Format
	Compress Compression // of the output; AutoCompression: by the suffix of its name (.gz, .zst), standard output plain
	NoHeader bool        // CSV: the first row is data; columns go by number
	Header   bool        // CSV: the first row is the header, even where it looks like data
	// Again lets values be pseudonymised that are pseudonyms of the column's own key
	// domain already, and warns of them. Else a run ends where the first values of a
	// chunk hold such. Values are looked at in samples, and not for a Remote.
	Again bool
	// ShowColumns has the error for an unknown column list the names of the header,
	// even where the first row may be data.
	ShowColumns bool
	// RepeatedHeader says what becomes of a CSV row that is the header again.
	RepeatedHeader RepeatedHeader
	Comma          byte // CSV: field delimiter; 0: ',' (tab for TSV)
	Ragged         bool // CSV: rows of other lengths pass as long as they hold the columns
	Columns        []Column

	// AllowMissing warns of a path that no line of an NDJSON input has, where it is
	// an error otherwise: what it was meant for would be copied as it is. A share
	// (Parts) only warns, since others may have the path. A run to standard output
	// that must fail on it keeps the first MiB back until every path was met.
	AllowMissing bool

	// AllowOther lets pass, and counts in Summary.Columns, what stands in JSON at a
	// path and is no string (a number, true or false, an object), or on the way to it
	// where only an object leads on. Else these are values that cannot be
	// transformed, and OnError says what becomes of them.
	AllowOther bool

	OnError OnError
	Rejects string   // with Keep: path for the rows kept out; required but for a dry run
	Null    []string // values that stand for none and pass through
	Force   bool     // overwrite an existing output
	Resume  bool     // go on from the journal of an interrupted run, if there is one: at a chunk of rows, at a column chunk of Parquet
	DryRun  bool     // transform and count, write nothing; faults are counted and their places listed in Summary.Failures

	// Part and Parts, if Parts is not 0, do the Part-th (from 1) of Parts shares of
	// each input. The outputs of all shares, one behind the other, are the output
	// of the whole.
	Part, Parts int

	Workers   int   // 0: runtime.GOMAXPROCS
	MaxRow    int64 // longest row, in bytes; 0: 16 MiB
	MaxMemory int64 // policy document: bytes for its counters, about 64 and one and a half times its length for each different value; Parquet: bytes for its footer, and for a page with its results, packed and not; 0: 1 GiB

	Mapping    string          // path for a file of identifier, pseudonym pairs, sealed to Recipients; a value of a Parquet dictionary has one
	Recipients []age.Recipient // required with Mapping

	Manifest bool   // write ManifestName(Output) when done
	Version  string // of the program, for manifest and journal
	// Fingerprint binds a journal to the tokens or projects of the run: a run with
	// another one does not resume from it. It must not hold a secret.
	Fingerprint string

	// BeforeNaming, if set, is called when everything is written and on disk, before
	// the first output gets its name. On its error no output gets one.
	BeforeNaming func(Summary) error

	// Progress, if set, is called a few times a second and at the end of each input,
	// by one goroutine at a time.
	Progress func(Progress)
	// Warn, if set, is told what a user should know: its text is one line and holds no
	// value. Some warnings are of the types of errors.go.
	Warn func(error)

	chunk      int                   // bytes read at a time; tests make it tiny
	checkpoint time.Duration         // between journal entries
	wrapOut    func(outFile) outFile // failing file layer of tests

	// What tests count; nil otherwise.
	ways          *ways         // of rows
	byShape       *atomic.Int64 // rows of JSON that were read by a known shape
	parquetCounts *parquet.Counts
}

// Progress is how far a run is.
type Progress struct {
	File    string // input being read
	Bytes   int64  // of that input or share read so far (compressed bytes if it is compressed)
	Total   int64  // size of that input or share; 0 if not known
	Rows    int64  // of all inputs so far
	Elapsed time.Duration
}

// Summary is what a run did. Of a failed run it says what was done before the
// error.
type Summary struct {
	Inputs   []string `json:"inputs"`
	Outputs  []string `json:"outputs"`
	Rows     int64    `json:"rows"`
	Values   int64    `json:"values"`   // transformed; empty ones and placeholders are not counted
	Empty    int64    `json:"empty"`    // empty values and placeholders, passed through; nulls of NDJSON and Parquet too
	Distinct int64    `json:"distinct"` // estimate of the different values, ± 2 %, and never more than Values; of a resumed run, since it was resumed
	Errors   int64    `json:"errors"`   // values that could not be transformed (Null, Keep, DryRun)
	Rejected int64    `json:"rejected"` // rows kept out of the output
	// RepeatedHeaders are rows of CSV that were the header again and passed as they are.
	RepeatedHeaders int64   `json:"repeated_headers"`
	Resumed         bool    `json:"resumed"`   // the run went on from a journal; counts are those of the whole
	BytesIn         int64   `json:"bytes_in"`  // read, compressed if compressed
	BytesOut        int64   `json:"bytes_out"` // of the outputs
	Seconds         float64 `json:"seconds"`
	Workers         int     `json:"workers"`

	// Known are pseudonyms of the run's own key domain among the values that were looked
	// at, with Job.Again.
	Known int64 `json:"already_pseudonyms,omitempty"`

	// Columns are the counts by column, in the order of Job.Columns.
	Columns []ColumnCount `json:"columns,omitempty"`

	// Failures are the first 100 values that could not be transformed.
	Failures []Failure `json:"failures,omitempty"`
}

// Failure is the place of a value that cannot be transformed, and why.
type Failure struct {
	File   string `json:"file"`
	Line   int64  `json:"line"` // in Parquet: the row
	Column string `json:"column"`
	Code   string `json:"code"`
}

// maxFailures bounds Summary.Failures.
const maxFailures = 100

func (j *Job) warn(format string, args ...any) {
	if j.Warn != nil {
		j.Warn(fmt.Errorf(format, args...))
	}
}
