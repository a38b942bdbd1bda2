package bulk

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/velonym/velonym/internal/panics"
)

const (
	defaultChunk   = 64 << 10 // fits into a second-level cache with its output and spans
	defaultMaxRow  = 16 << 20
	overlap        = 4 << 10 // bytes read behind a chunk, in which its last row usually ends
	deliveryYields = 500     // scheduler yields of a goroutine before it leaves its chunk to the one that is writing
	padding        = 128     // capacity behind a chunk: kernels read past the end of their input
)

// pipeline processes the chunks of one input in order. Each of its goroutines reads,
// transforms and writes one chunk after the other.
type pipeline struct {
	src  *source
	cut  cutter
	doc  *jsonDocument // not nil for a JSON document, which cut cannot split
	size int           // of a chunk
	max  int64

	// Regular files: the share is [shareStart, shareEnd) of the file. A row belongs to the
	// share that holds the byte before it; the first row of all to that of shareStart.
	shareStart, shareEnd int64
	midRow               bool  // shareStart may lie within a row
	from                 int64 // where the share starts, its header included
	// Streams: what was read already, and whether that was all.
	head    []byte
	headAt  int64 // its offset in the input
	headEOF bool
	eager   bool // process the result of each read at once, for low latency

	begin checkpoint // where to start
	past  checkpoint // policy document, resumed: output up to here is written already

	goroutines int
	workers    int
	make       func() worker

	// sink writes the chunks, in order, one at a time.
	sink func(c *chunk, at checkpoint) error
	// reached, if set, is called in order with each checkpoint up to which everything is
	// written.
	reached func(checkpoint) error
	read    atomic.Int64 // bytes of input read, for progress reports

	// State of the run.
	ticket     atomic.Int64
	cutOrder   *sequencer
	fastPaths  *fastPaths
	inside     bool       // cutting: the next chunk starts inside quotes
	carry      []byte     // cutting, streams: the start of a row
	offset     int64      // cutting, streams: of carry in the input
	ended      bool       // cutting, streams
	count      int        // chunks of a regular file
	writeOrder *sequencer // ordered workers only
	at         checkpoint // everything before it is written; used by the goroutine that writes

	mu     sync.Mutex
	idle   sync.Cond
	err    error
	halted bool
	spare  []*chunk              // a stack: the chunk used last is most likely in the cache
	ready  map[int]finishedChunk // processed, waiting for earlier chunks
	next   atomic.Int64          // chunk behind the one that a goroutine is writing; -1: none is
}

// errStop ends a goroutine without failing the run.
var errStop = errors.New("stop")

// run processes the whole input and returns how far it came. The error is the first one in
// the order of the input.
func (v *pipeline) run(ctx context.Context) (checkpoint, error) {
	v.at = v.begin
	v.inside = v.begin.Inside
	v.ticket.Store(int64(v.begin.Chunk))
	v.cutOrder, v.writeOrder = newSequencer(v.begin.Chunk), newSequencer(v.begin.Chunk)
	v.idle.L = &v.mu
	v.ready = map[int]finishedChunk{}
	v.next.Store(-1)
	// A goroutine that finds another one writing leaves its chunk and continues with a
	// spare one.
	v.spare = make([]*chunk, v.goroutines)
	if v.goroutines > 1 {
		v.spare = make([]*chunk, v.goroutines+v.workers+1)
	}
	for i := range v.spare {
		v.spare[i] = &chunk{}
	}
	if v.src.at != nil {
		v.count = int((v.shareEnd - v.shareStart + int64(v.size) - 1) / int64(v.size))
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
	for range v.goroutines {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var err error
			defer func() {
				if err != nil {
					v.halt(err)
				}
			}()
			defer panics.Recover(&err)
			v.runWorker(ctx, v.make(), busy)
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

// halt records the first error and stops the goroutines.
func (v *pipeline) halt(err error) {
	v.mu.Lock()
	if v.err == nil {
		v.err = err
	}
	v.halted = true
	v.mu.Unlock()
	v.idle.Broadcast()
	v.cutOrder.halt()
	v.writeOrder.halt()
}

// bytesIn returns how many bytes of the input were read, before decompression. For a stream
// that includes its head.
func (v *pipeline) bytesIn() int64 {
	if v.src.at == nil {
		return v.src.raw.n.Load()
	}
	return v.read.Load()
}

// reserve returns a spare chunk, or nil when the run is halted.
func (v *pipeline) reserve() *chunk {
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

// runWorker reads, transforms and writes chunks until the input ends or the run is halted.
func (v *pipeline) runWorker(ctx context.Context, w worker, busy chan struct{}) {
	for {
		c := v.reserve() // before the ticket, so that whoever has a ticket never waits for a chunk
		if c == nil {
			return
		}
		n := int(v.ticket.Add(1) - 1)
		var next checkpoint // In, Inside and Chunk behind this chunk
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
			if err := guarded(ctx, c, w.work); err != nil {
				c.fail = err
			}
			<-busy
		}
		o, inOrder := w.(ordered)
		if inOrder {
			if !v.writeOrder.wait(n) {
				return
			}
			if c.fail == nil && c.err == nil && c.end > c.start {
				if err := guarded(ctx, c, o.inOrder); err != nil {
					c.fail = err
				}
			}
		}
		if err := v.deliver(n, finishedChunk{c, next}); err != nil {
			v.halt(err)
			return
		}
		if inOrder {
			v.writeOrder.pass()
		}
	}
}

// deliver writes chunk n and the finished chunks after it, if everything before it is
// written and no other goroutine is writing. Otherwise it leaves the chunk to the goroutine
// that writes. One goroutine writes at a time because the system locks a file for each
// write, and a goroutine that waits for that lock does not compute.
//
// A goroutine whose chunk is the next or the next but one yields for a moment first. Its
// output is then written from its own CPU's cache and its buffer is reused while it is
// cached. Without that a single goroutine would soon write everything.
func (v *pipeline) deliver(n int, p finishedChunk) error {
	for i := 0; i < deliveryYields; i++ {
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
		err := v.write(p)
		v.mu.Lock()
		if err != nil {
			return err
		}
		v.spare = append(v.spare, p.c)
		v.idle.Signal()
	}
	return nil
}

// guarded calls a worker's function and returns a panic as an error, so that the run ends
// in order and removes its output.
func guarded(ctx context.Context, c *chunk, f func(context.Context, *chunk)) (err error) {
	defer panics.Recover(&err)
	f(ctx, c)
	return nil
}

// write writes the next chunk in order. It returns a panic as an error, since its caller
// holds locks.
func (v *pipeline) write(p finishedChunk) (err error) {
	defer panics.Recover(&err)
	c := p.c
	if err := v.locateError(c); err != nil {
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

// locateError returns the chunk's error with its position in the whole input.
func (v *pipeline) locateError(c *chunk) error {
	var se *serverError
	if errors.As(c.fail, &se) {
		return fmt.Errorf("%s: line %d: %w", v.src.name, v.at.Tally.Lines+se.line, se.err)
	}
	if c.fail != nil {
		return c.fail
	}
	if c.over != nil && (c.err == nil || c.err.open) {
		c.err = &Error{Line: c.over.line, Err: &c.over.RowTooLongError}
	}
	if c.err != nil {
		e := *c.err
		e.File = v.src.name
		e.Line += v.at.Tally.Lines
		switch {
		case v.src.text != UTF8:
			e.Offset = 0 // it counts bytes of UTF-8, which are not those of the file
		case e.Offset > 0:
			e.Offset += v.at.In
		}
		return &e
	}
	return nil
}
