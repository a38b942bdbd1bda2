package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	defaultChunk  = 64 << 10 // with its output and positions well within a second-level cache
	defaultMaxRow = 16 << 20
	overlap       = 4 << 10 // read beyond a chunk, where its last row most likely ends
	patience      = 500     // times that a lane lets others run before it leaves a chunk to them
	slack         = 128     // capacity behind a chunk, for kernels that read ahead
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
	over    *overlong
	columns []columnTally
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

	Replaced []replaced `json:"replaced,omitempty"` // Parquet: chunks so far of the columns that are replaced
}

// conveyor runs the chunks of one input through lanes.
type conveyor struct {
	src  *source
	cut  cutter
	doc  *jsonDocument // the input is one: cut is not asked
	size int           // of a chunk
	max  int64

	// Regular files: the share is [lo, hi) of the file; rows belong to the share
	// in which the byte before their first stands (the first of all: lo).
	lo, hi int64
	midRow bool  // lo is no row start
	from   int64 // where the share starts, its header included
	// Streams: what was read already, and whether that was all.
	head    []byte
	headAt  int64 // its offset in the input
	headEOF bool
	eager   bool // hand on what a read gave, for the sake of latency

	begin mark // where to start
	past  mark // policy document, resumed: what lies before is written already

	lanes   int
	workers int
	make    func() worker

	// sink writes the chunks, in order, one at a time.
	sink func(c *chunk, at mark) error
	// reached, if set, is told of each mark up to which everything is written, in order.
	reached func(mark) error
	read    atomic.Int64 // bytes of input read, for the progress

	// state of the run
	ticket  atomic.Int64
	cutting *turn
	inside  bool   // cutting: the next chunk starts inside quotes
	carry   []byte // cutting, streams: the start of a row
	offset  int64  // cutting, streams: of carry in the input
	ended   bool   // cutting, streams
	count   int    // chunks of a regular file
	placing *turn  // ordered workers only
	at      mark   // everything before is written; for whoever writes

	mu     sync.Mutex
	idle   sync.Cond
	err    error
	halted bool
	spare  []*chunk       // last used first, while it is in the cache
	ready  map[int]parcel // worked on, waiting for what comes before
	next   atomic.Int64   // chunk behind the one that a lane is writing; -1: none is
}

// parcel is a chunk with the place behind it.
type parcel struct {
	c    *chunk
	next mark
}

// errStop ends a lane without being an error of its own.
var errStop = errors.New("stop")

// overlong is the error of a row over the limit. The rows are worked on all the
// same: most often a misplaced quote before it is the cause, and the better error.
type overlong struct {
	line int64 // from 1 at the chunk's start
	max  int64
}

func (o *overlong) Error() string {
	return fmt.Sprintf("a row is longer than %d MiB: is a quote not closed? --max-row raises the limit", o.max>>20)
}

// serverError is a batch that a server did not do: no fault of the data.
type serverError struct {
	line int64 // from 1 at the chunk's start
	err  error
}

func (e *serverError) Error() string { return e.err.Error() }

// run moves everything. The error is the first in the order of the input.
func (v *conveyor) run(ctx context.Context) (mark, error) {
	v.at = v.begin
	v.inside = v.begin.Inside
	v.ticket.Store(int64(v.begin.Chunk))
	v.cutting, v.placing = newTurn(v.begin.Chunk), newTurn(v.begin.Chunk)
	v.idle.L = &v.mu
	v.ready = map[int]parcel{}
	v.next.Store(-1)
	// A lane that finds another one writing leaves its chunk and goes on with a
	// spare one.
	v.spare = make([]*chunk, v.lanes)
	if v.lanes > 1 {
		v.spare = make([]*chunk, v.lanes+v.workers+1)
	}
	for i := range v.spare {
		v.spare[i] = &chunk{}
	}
	if v.src.at != nil {
		v.count = int((v.hi - v.lo + int64(v.size) - 1) / int64(v.size))
	} else {
		v.carry, v.offset, v.ended = v.head, v.begin.In, v.headEOF
		if v.doc != nil {
			v.doc.closed = v.begin.Inside
		}
	}
	stop := context.AfterFunc(ctx, func() { v.halt(ErrInterrupted) })
	defer stop()
	busy := make(chan struct{}, v.workers)
	var wg sync.WaitGroup
	for range v.lanes {
		wg.Add(1)
		go func() {
			defer wg.Done()
			v.lane(ctx, v.make(), busy)
		}()
	}
	wg.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil && ctx.Err() != nil {
		v.err = ErrInterrupted
	}
	return v.at, v.err
}

// halt records the first error and stops the lanes.
func (v *conveyor) halt(err error) {
	v.mu.Lock()
	if v.err == nil {
		v.err = err
	}
	v.halted = true
	v.mu.Unlock()
	v.idle.Broadcast()
	v.cutting.halt()
	v.placing.halt()
}

// bytesIn returns how much of the input was read, as it lies: what a stream gave
// counts from its first byte, be it to the head or to a chunk.
func (v *conveyor) bytesIn() int64 {
	if v.src.at == nil {
		return v.src.raw.n.Load()
	}
	return v.read.Load()
}

// take returns a chunk to fill, nil when the run is halted.
func (v *conveyor) take() *chunk {
	v.mu.Lock()
	defer v.mu.Unlock()
	for len(v.spare) == 0 && !v.halted {
		v.idle.Wait()
	}
	if v.halted {
		return nil
	}
	c := v.spare[len(v.spare)-1]
	v.spare = v.spare[:len(v.spare)-1]
	return c
}

// lane carries chunks one after the other: read, work, write.
func (v *conveyor) lane(ctx context.Context, w worker, busy chan struct{}) {
	for {
		c := v.take() // before the ticket: who has a ticket can always go on
		if c == nil {
			return
		}
		n := int(v.ticket.Add(1) - 1)
		var next mark // In, Inside and Chunk behind this chunk
		var err error
		switch {
		case v.doc != nil:
			next, err = v.readDocument(n, c)
		case v.src.at != nil:
			if n >= v.count {
				return
			}
			next, err = v.readAt(n, c)
		default:
			next, err = v.readNext(n, c)
		}
		if err == errStop {
			return
		}
		c.out, c.rejects, c.pairs, c.faults, c.headers = c.out[:0], c.rejects[:0], c.pairs[:0], c.faults[:0], c.headers[:0]
		c.tally, c.err, c.fail, c.over = tally{Columns: c.tally.Columns[:0]}, nil, nil, nil
		if !errors.As(err, &c.over) {
			c.fail = err
		}
		if c.fail == nil && (c.end > c.start || c.closing) {
			busy <- struct{}{}
			w.work(ctx, c)
			<-busy
		}
		o, inOrder := w.(ordered)
		if inOrder {
			if !v.placing.wait(n) {
				return
			}
			if c.fail == nil && c.err == nil && c.end > c.start {
				o.inOrder(ctx, c)
			}
		}
		if err := v.deliver(n, parcel{c, next}); err != nil {
			v.halt(err)
			return
		}
		if inOrder {
			v.placing.pass()
		}
	}
}

// deliver writes chunk n, and what is ready behind it, if everything before is
// written and nobody else is writing; else it leaves the chunk to who does. One
// lane at a time writes: systems take a lock for every write to a file, and a lane
// that computes is worth more than one that waits for it.
//
// A lane whose turn is next, or the one after, waits for a moment all the same: what
// it has made is then written from its CPU's cache, and its next results go where the
// last ones were. Without that one lane would soon write everything.
func (v *conveyor) deliver(n int, p parcel) error {
	for i := 0; i < patience; i++ {
		if next := int(v.next.Load()); next != n && next != n-1 {
			break
		}
		runtime.Gosched()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ready[n] = p
	if v.next.Load() >= 0 {
		return nil
	}
	defer v.next.Store(-1)
	for !v.halted {
		p, ok := v.ready[v.at.Chunk]
		if !ok {
			return nil
		}
		delete(v.ready, v.at.Chunk)
		v.next.Store(int64(v.at.Chunk) + 1)
		v.mu.Unlock()
		err := v.place(p)
		v.mu.Lock()
		if err != nil {
			return err
		}
		v.spare = append(v.spare, p.c)
		v.idle.Signal()
	}
	return nil
}

// place writes a chunk whose turn it is.
func (v *conveyor) place(p parcel) error {
	c := p.c
	if err := v.placeError(c); err != nil {
		return err
	}
	if err := v.sink(c, v.at); err != nil {
		return err
	}
	v.at.Tally.add(c.tally)
	v.at.Out += int64(len(c.out))
	v.at.Reject += int64(len(c.rejects))
	if p.next.In >= 0 {
		v.at.In = p.next.In
	}
	v.at.Chunk, v.at.Inside = p.next.Chunk, p.next.Inside
	if v.reached != nil {
		return v.reached(v.at)
	}
	return nil
}

// placeError returns the chunk's error with its place in the whole input.
func (v *conveyor) placeError(c *chunk) error {
	var se *serverError
	if errors.As(c.fail, &se) {
		return fmt.Errorf("%s: line %d: %w", v.src.name, v.at.Tally.Lines+se.line, se.err)
	}
	if c.fail != nil {
		return c.fail
	}
	if c.over != nil && (c.err == nil || c.err.open) {
		c.err = &Error{Line: c.over.line, Err: c.over}
	}
	if c.err != nil {
		e := *c.err
		e.File = v.src.name
		e.Line += v.at.Tally.Lines
		if e.Offset > 0 {
			e.Offset += v.at.In
		}
		return &e
	}
	return nil
}

// room returns b with at least n bytes of length and slack behind them.
func room(b []byte, n int) []byte {
	if cap(b) >= n+slack {
		return b[:n]
	}
	g := make([]byte, n, n+slack)
	copy(g, b)
	return g
}

// readAt reads chunk n of a regular file and finds the rows that belong to it:
// those that start behind the first row end after the chunk's offset, up to the
// first row end after the next chunk's. The lanes read at the same time; only
// the parity is handed from chunk to chunk.
func (v *conveyor) readAt(n int, c *chunk) (next mark, err error) {
	off := v.lo + int64(n)*int64(v.size)
	end := min(off+int64(v.size), v.hi)
	size := int(end - off)
	c.buf = room(c.buf, size+overlap)
	got, err := v.pread(c.buf, off)
	if err == nil && got < size {
		err = fmt.Errorf("%s: %w: it became shorter while it was read", v.src.name, ErrChanged)
	}
	parity := false
	if err == nil {
		parity = v.cut.Parity(c.buf[:size])
	}
	if !v.cutting.wait(n) {
		return next, errStop
	}
	inside := v.inside
	v.inside = inside != parity
	next.Inside = v.inside
	v.cutting.pass()
	next.Chunk = n + 1
	if err != nil {
		return next, err
	}
	v.read.Add(int64(size))
	c.buf = c.buf[:got]
	c.start = 0
	if n > 0 || v.midRow {
		c.start = v.cut.FirstRowEnd(c.buf[:size], inside)
		if c.start < 0 {
			// The chunk lies within a row that started before it.
			c.start, c.end = 0, 0
			next.In = -1
			return next, nil
		}
	}
	// The end: the first row end behind the chunk.
	at, in := size, next.Inside
	for {
		if e := v.cut.FirstRowEnd(c.buf[at:], in); e >= 0 {
			c.end = at + e
			break
		}
		if off+int64(len(c.buf)) >= v.src.size {
			c.end = len(c.buf)
			break
		}
		if int64(len(c.buf)-c.start) > v.max {
			rows := max(v.cut.LastRowEnd(c.buf[c.start:size], false), 0)
			c.end = len(c.buf)
			return next, &overlong{1 + int64(bytes.Count(c.buf[c.start:c.start+rows], lf)), v.max}
		}
		in = in != v.cut.Parity(c.buf[at:])
		at = len(c.buf)
		c.buf = room(c.buf, 2*at)
		got, err := v.pread(c.buf[at:], off+int64(at))
		if err != nil {
			return next, err
		}
		if got == 0 {
			return next, fmt.Errorf("%s: %w: it became shorter while it was read", v.src.name, ErrChanged)
		}
		c.buf = c.buf[:at+got]
	}
	next.In = off + int64(c.end)
	return next, nil
}

// pread fills buf from offset off as far as the file goes.
func (v *conveyor) pread(buf []byte, off int64) (int, error) {
	if rest := v.src.size - off; int64(len(buf)) > rest {
		buf = buf[:max(rest, 0)]
	}
	n, err := v.src.at.ReadAt(buf, off)
	if err != nil && err != io.EOF {
		return n, fmt.Errorf("%s: %w", v.src.name, bareErr(err))
	}
	return n, nil
}

// readNext reads the next chunk of a stream, under the turn.
func (v *conveyor) readNext(n int, c *chunk) (next mark, err error) {
	if !v.cutting.wait(n) {
		return next, errStop
	}
	if v.ended && len(v.carry) == 0 {
		v.cutting.halt()
		return next, errStop
	}
	c.buf = room(c.buf, max(v.size, len(v.carry)))
	have := copy(c.buf, v.carry)
	c.start = 0
	seen := 0 // no row ends before here but inside quotes
	in := false
	for {
		for !v.ended && have < len(c.buf) {
			if v.eager && n == v.begin.Chunk && have > seen {
				break // the head may hold rows
			}
			k, err := v.src.stream.Read(c.buf[have:])
			have += k
			if err == io.EOF {
				v.ended = true
			} else if err != nil {
				v.cutting.pass()
				if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
					return next, ErrInterrupted
				}
				if v.src.packed != None {
					return next, v.src.unpackError(err)
				}
				return next, fmt.Errorf("%s: %w", v.src.name, bareErr(err))
			}
			if v.eager && k > 0 {
				break
			}
		}
		if v.ended {
			c.end = have
			break
		}
		if e := v.cut.LastRowEnd(c.buf[seen:have], in); e >= 0 {
			c.end = seen + e
			break
		}
		if int64(have) > v.max {
			v.cutting.pass()
			c.buf, c.end = c.buf[:have], have
			return next, &overlong{1, v.max}
		}
		in = in != v.cut.Parity(c.buf[seen:have])
		seen = have
		if have == len(c.buf) {
			c.buf = room(c.buf, 2*have)
		}
	}
	c.buf = c.buf[:have]
	v.carry = append(v.carry[:0], c.buf[c.end:]...)
	v.offset += int64(c.end)
	next = mark{Chunk: n + 1, In: v.offset}
	v.cutting.pass()
	return next, nil
}

var lf = []byte{'\n'}
