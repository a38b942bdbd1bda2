package bulk

import (
	"context"

	"github.com/velonym/velonym/engine/bulk/parquet"
)

// cutter tells where rows end. csvfast.Dialect is one.
type cutter interface {
	Parity(buf []byte) bool
	FirstRowEnd(buf []byte, inQuotes bool) int
	LastRowEnd(buf []byte, inQuotes bool) int
}

// chunk is whole rows on their way through a lane. Its slices belong to the
// lane and are reused for the lane's next chunk.
type chunk struct {
	buf        []byte
	start, end int // the rows are buf[start:end]

	// Set by the lane's worker.
	out     []byte // what to write: rows with results
	over    *rowTooLong
	rejects []byte // rows kept out
	pairs   []byte // rows of the mapping file
	tally   tally
	headers []int64 // lines, from 1 at the chunk's start, of headers that came again and passed
	faults  []fault // values that could not be transformed, the first ones; lines count from 1 at the chunk's start
	err     *Error  // ends the run; Line counts from 1 at the chunk's start
	fail    error   // ends the run too, and has no place

	// Set by the reader of a JSON document.
	first   bool // the rows are the first of all
	closing bool // the array must end in it
	after   bool // the array has ended before it
}

func (c *chunk) rows() []byte { return c.buf[c.start:c.end] }

// tally is what a chunk, or a run so far, holds.
type tally struct {
	Rows, Lines, Values, Empty, Errors, Rejected int64

	Paths   pathSet       `json:"paths,omitzero"`    // NDJSON: met in it
	Columns []columnTally `json:"columns,omitempty"` // in the order of the shape's names; never changed in place
	Headers int64         `json:"headers,omitzero"`  // CSV: headers that came again and passed
	// Values that were looked at in chunks with pseudonyms of the run's own domain, and
	// those that are; with Job.Again.
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

// worker turns the rows of a chunk into its output. One goroutine at a time.
type worker interface {
	work(ctx context.Context, c *chunk)
}

// ordered is a worker with a part that must be done chunk by chunk, in order.
type ordered interface {
	inOrder(ctx context.Context, c *chunk)
}

// mark is a place between two chunks from which a run can go on.
type mark struct {
	Chunk  int   `json:"chunk"` // the next one
	Inside bool  `json:"inside"`
	In     int64 `json:"in"`  // offset in the (unpacked) input at which its rows start
	Out    int64 `json:"out"` // bytes of output so far
	Reject int64 `json:"reject"`
	Tally  tally `json:"tally"`

	Replaced []parquet.WrittenChunk `json:"replaced,omitempty"` // Parquet: chunks so far of the columns that are replaced
}

// finishedChunk is a chunk with the place behind it.
type finishedChunk struct {
	c    *chunk
	next mark
}

// rowTooLong is a RowTooLongError in a chunk. The rows are worked on all the same: most
// often a misplaced quote before it is the cause, and the better error.
type rowTooLong struct {
	RowTooLongError
	line int64 // from 1 at the chunk's start
}

// serverError is a batch that a server did not do: no fault of the data.
type serverError struct {
	line int64 // from 1 at the chunk's start
	err  error
}

func (e *serverError) Error() string { return e.err.Error() }
