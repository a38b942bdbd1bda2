package bulk

import (
	"context"

	"github.com/velonym/velonym/engine/bulk/parquet"
)

// cutter finds the ends of rows. csvfast.Dialect implements it.
type cutter interface {
	Parity(buf []byte) bool
	FirstRowEnd(buf []byte, inQuotes bool) int
	LastRowEnd(buf []byte, inQuotes bool) int
}

// chunk is a piece of the input, cut at row ends, and its output. The pipeline reuses chunks
// and their buffers.
type chunk struct {
	buf        []byte
	start, end int // the rows are buf[start:end]

	// Set by the worker.
	out     []byte // output: the rows with their results
	over    *rowTooLong
	rejects []byte // rows excluded from the output
	pairs   []byte // rows of the mapping file
	tally   tally
	headers []int64 // lines of repeated headers that passed, counted from 1 at the chunk's start
	faults  []fault // values that could not be transformed, the first ones; lines count from 1 at the chunk's start
	err     *Error  // ends the run; Line counts from 1 at the chunk's start
	fail    error   // ends the run; an error without a position in the input

	// Set by the reader of a JSON document.
	first   bool // it holds the first rows of the document
	closing bool // the array must end in this chunk
	after   bool // the array ended before this chunk
}

func (c *chunk) rows() []byte { return c.buf[c.start:c.end] }

// tally counts what a chunk, or a run so far, holds.
type tally struct {
	Rows, Lines, Values, Empty, Errors, Rejected int64

	Paths   pathSet       `json:"paths,omitzero"`    // NDJSON: paths that a row had
	Columns []columnTally `json:"columns,omitempty"` // in the order of rowFormat.names; addColumns copies it, since checkpoints share it
	Headers int64         `json:"headers,omitzero"`  // CSV: repeated headers that passed
	// With Job.Again: the values sampled in chunks that hold pseudonyms of the run's own
	// domain, and how many of them are such pseudonyms.
	Sampled int64 `json:"sampled,omitzero"`
	Known   int64 `json:"known,omitzero"`
}

func (t *tally) add(u tally) {
	t.Rows += u.Rows
	t.Lines += u.Lines
	t.Values += u.Values
	t.Empty += u.Empty
	t.Errors += u.Errors
	t.Rejected += u.Rejected
	t.Headers += u.Headers
	t.Sampled += u.Sampled
	t.Known += u.Known
	t.Paths.addAll(u.Paths)
	if len(u.Columns) > 0 {
		t.Columns = addColumns(t.Columns, u.Columns)
	}
}

// fault is a value that could not be transformed.
type fault struct {
	line   int64
	column string
	code   string
}

// worker computes the output of a chunk. One goroutine uses a worker at a time.
type worker interface {
	work(ctx context.Context, c *chunk)
}

// ordered is a worker with a second step, which runs in the order of the input.
type ordered interface {
	inOrder(ctx context.Context, c *chunk)
}

// checkpoint is a position between two chunks from which a run can resume, and the counts
// up to it.
type checkpoint struct {
	Chunk  int   `json:"chunk"` // number of the next chunk
	Inside bool  `json:"inside"`
	In     int64 `json:"in"`  // offset in the (unpacked) input at which its rows start
	Out    int64 `json:"out"` // bytes of output so far
	Reject int64 `json:"reject"`
	Tally  tally `json:"tally"`

	Replaced []parquet.WrittenChunk `json:"replaced,omitempty"` // Parquet: replaced column chunks written so far
}

// finishedChunk is a chunk ready to be written, with the position after it.
type finishedChunk struct {
	c    *chunk
	next checkpoint
}

// rowTooLong is a RowTooLongError in a chunk. The chunk is processed nevertheless, because
// the usual cause is a misplaced quote further up, which makes the more useful error.
type rowTooLong struct {
	RowTooLongError
	line int64 // from 1 at the chunk's start
}

// serverError is a batch that a server did not transform. The data is not at fault.
type serverError struct {
	line int64 // from 1 at the chunk's start
	err  error
}

func (e *serverError) Error() string { return e.err.Error() }
