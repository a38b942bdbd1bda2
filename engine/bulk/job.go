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

// Format is the format of the input, and so of the output.
type Format string

// The formats. Auto follows the suffix of the input's name, after any compression suffix:
// .csv, .tsv and .tab, .ndjson and .jsonl, .json, .parquet and .pq,
// .arrow, .arrows, .feather and .ipc. Inputs with other names, and standard input, are Arrow
// or JSON if they start like it, else CSV. The content decides whether
// JSON is lines or a document, unless Format states it.
const (
	Auto    Format = ""
	CSV     Format = "csv"
	TSV     Format = "tsv"    // CSV with tabs, quoted as CSV is
	NDJSON  Format = "ndjson" // one JSON text per line
	JSON    Format = "json"   // a document: an array whose items are the rows, or JSON texts with white space between them
	Parquet Format = "parquet"
	Arrow   Format = "arrow" // IPC: a stream, or a file (Feather version 2)
)

// ParseFormat reads "csv", "tsv", "ndjson", "json", "parquet" or "arrow"; "" and "auto"
// are Auto.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case Auto, CSV, TSV, NDJSON, JSON, Parquet, Arrow:
		return f, nil
	case "auto":
		return Auto, nil
	}
	return "", fmt.Errorf("bulk: unknown format %q: use one of csv, tsv, ndjson, json, parquet, arrow", s)
}

// OnError is what happens to a value that cannot be transformed.
type OnError string

// The run stops, the value becomes empty (null in NDJSON), or its row is excluded from the
// output and written to Job.Rejects (not in Parquet).
const (
	Fail OnError = "fail" // also the meaning of the zero value
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

// RepeatedHeader is what happens to a CSV row that repeats the header, as in concatenated
// files.
type RepeatedHeader string

// The run stops, the row passes unchanged and is counted, or its values are replaced like any
// others. The same names in another order are an error except with HeaderValue, since the
// columns of the rows below may differ.
const (
	HeaderFail  RepeatedHeader = "fail" // also the meaning of the zero value
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

// Numbers is what happens to a number in a column or at a path of identifiers.
type Numbers string

// In JSON one number has several texts (10, 1e1 and 10.0 are the same to many programs), so
// it is refused; with NumbersText its text is transformed unchanged, and reversing yields a
// string. In Parquet and Arrow an integer has one text, and a reversed column gets its type
// back; with NumbersText it remains a column of strings.
const (
	NumbersRefuse Numbers = "refuse" // the zero value means NumbersRefuse too
	NumbersText   Numbers = "text"
)

// ParseNumbers reads "refuse" or "text"; "" is NumbersRefuse.
func ParseNumbers(s string) (Numbers, error) {
	switch n := Numbers(s); n {
	case NumbersRefuse, NumbersText:
		return n, nil
	case "":
		return NumbersRefuse, nil
	}
	return "", fmt.Errorf("bulk: unknown choice %q: use one of refuse, text", s)
}

// Column is a column to replace and its transform. Exactly one of Plan and Remote is set.
// Columns that share a plan (the same pointer) are transformed together: for
// policy document they are one document, counted row by row.
type Column struct {
	// Name is the column's name in the header; for NDJSON a path of member names
	// ("patient.id", as jsonfast.NewPathFinder reads it), for Parquet the dotted name
	// of a leaf, or of a group or list that holds no other leaf. In CSV and Parquet a decimal
	// number that is the name of no column is the number of a column, counted from 1;
	// without a header it must be one. What could be both the name of one column and the
	// number of another is refused.
	Name string
	// Number is the column's number from 1, if not 0; Name is then ignored. In Parquet it
	// counts the leaf columns, in the order of the schema.
	Number int

	Plan   *suite.Plan
	Remote *Remote

	// Spend, if set, is called before the values of a chunk are transformed, with the
	// number of those that are not empty. It may block. An error ends the run. Several
	// goroutines call it, and a dry run does not. Of columns that share a plan or a Remote
	// only the first one's is used.
	Spend func(ctx context.Context, values int) error

	// Describe is the manifest's description of the column: operation, project, token id
	// and the like. It must not hold a secret. A run resumes only with an equal one, except
	// for the entry "token": another token for the same work may continue.
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

	Format Format
	// Encoding is that of the inputs, and OutputEncoding that of outputs and rejected rows
	// (ByMark: the input's). Of CSV, TSV and JSON only.
	Encoding, OutputEncoding Encoding

	Compress Compression // of the output; AutoCompression: by the suffix of its name (.gz, .zst), standard output plain
	NoHeader bool        // CSV: the first row is data; columns go by number
	Header   bool        // CSV: the first row is the header, even where it looks like data
	// Again allows values that are already pseudonyms of the column's own key domain, with a
	// warning. Otherwise the run ends if it finds such among the first values of a chunk. A
	// Remote's values are not checked.
	Again bool
	// ShowColumns makes the error for an unknown column list the names of the header even
	// if the first row may be data.
	ShowColumns bool
	// RepeatedHeader is what happens to a CSV row that repeats the header.
	RepeatedHeader RepeatedHeader
	Comma          byte // CSV: field delimiter; 0: ',' (tab for TSV)
	FindComma      bool // CSV: the delimiter is the one that divides the first rows evenly; Warn tells it
	// NoQuotes says that quotes have no meaning in CSV: they are part of the field. A result
	// that would need quotes is an error.
	NoQuotes bool
	// SkipLines is the number of lines before the header, or the first row, that are copied
	// unchanged, such as a title. CSV and TSV only; quotes in them have no meaning.
	SkipLines int
	Ragged    bool // CSV: rows may have any number of fields that includes the columns
	Columns   []Column

	// AllowMissing turns the error for a path that no row of a JSON input has into a
	// warning. It is an error by default because the intended values would be copied
	// unchanged. A share (Parts) only warns, since another share may have the path. A run to
	// standard output delays the first MiB until every path was seen.
	AllowMissing bool

	// AllowOther passes JSON values at a path that are not strings (numbers, booleans,
	// objects), and values on the way to it that are not objects, and counts them in
	// Summary.Columns. Otherwise they are values that cannot be transformed, subject to
	// OnError.
	AllowOther bool

	// Numbers is what happens to numbers in JSON, and to reversed columns of numbers.
	Numbers Numbers

	OnError OnError
	Rejects string   // with Keep: path for the rejected rows; required except in a dry run
	Null    []string // markers of a missing value, which pass unchanged
	Force   bool     // overwrite an existing output
	Resume  bool     // continue from the journal of an interrupted run, if there is one
	DryRun  bool     // transform and count, write nothing; Summary.Failures lists the first failures

	// Part and Parts, if Parts is not 0, process the Part-th (from 1) of Parts shares of each
	// input. The concatenated outputs of all shares are the output of the whole.
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

	// BeforeNaming, if set, is called when everything is written and synced, before the
	// first output is renamed. If it returns an error, no output is renamed.
	BeforeNaming func(Summary) error

	// Progress, if set, is called a few times a second and at the end of each input,
	// by one goroutine at a time.
	Progress func(Progress)
	// Warn, if set, is called with warnings: one line of text, without values. Some have a
	// type of errors.go.
	Warn func(error)

	chunk           int                   // size of a chunk in bytes; tests make it tiny
	checkpointEvery time.Duration         // between journal entries
	wrapOut         func(outFile) outFile // tests make the file fail with it

	// What tests count; nil otherwise.
	fastPaths     *fastPaths    // of rows and chunks
	byShape       *atomic.Int64 // rows of JSON that were read by a known shape
	parquetCounts *parquet.Counts
}

// Progress reports how far a run is.
type Progress struct {
	File    string // input being read
	Bytes   int64  // of that input or share read so far (compressed bytes if it is compressed)
	Total   int64  // size of that input or share; 0 if not known
	Rows    int64  // of all inputs so far
	Elapsed time.Duration
}

// Summary reports what a run did; if it failed, what it did before the error.
type Summary struct {
	Inputs   []string `json:"inputs"`
	Outputs  []string `json:"outputs"`
	Rows     int64    `json:"rows"`
	Values   int64    `json:"values"`   // transformed; without empty ones and null markers
	Empty    int64    `json:"empty"`    // empty values, null markers, and nulls of NDJSON and Parquet, passed unchanged
	Distinct int64    `json:"distinct"` // estimate of the different values, ± 2 %, and never more than Values; of a resumed run, since it was resumed
	Errors   int64    `json:"errors"`   // values that could not be transformed (Null, Keep, DryRun)
	Rejected int64    `json:"rejected"` // rows excluded from the output
	// RepeatedHeaders counts CSV rows that repeated the header and passed unchanged.
	RepeatedHeaders int64   `json:"repeated_headers"`
	Resumed         bool    `json:"resumed"`   // the run continued an interrupted one; counts include both
	BytesIn         int64   `json:"bytes_in"`  // read, compressed if compressed
	BytesOut        int64   `json:"bytes_out"` // of the outputs
	Seconds         float64 `json:"seconds"`
	Workers         int     `json:"workers"`

	// Known counts, with Job.Again, pseudonyms of the run's own key domain among the values
	// that were checked.
	Known int64 `json:"already_pseudonyms,omitempty"`

	// Columns are the counts by column, in the order of Job.Columns.
	Columns []ColumnCount `json:"columns,omitempty"`

	// Failures are the first 100 values that could not be transformed.
	Failures []Failure `json:"failures,omitempty"`
}

// Failure is the position of a value that cannot be transformed, and the reason.
type Failure struct {
	File   string `json:"file"`
	Line   int64  `json:"line"` // in Parquet: the row
	Column string `json:"column"`
	Code   string `json:"code"`
}

// maxFailures is the largest length of Summary.Failures.
const maxFailures = 100

func (j *Job) warn(format string, args ...any) {
	if j.Warn != nil {
		j.Warn(fmt.Errorf(format, args...))
	}
}
