package bulk

import (
	"context"
	"errors"
	"io"

	"github.com/velonym/velonym/engine/bulk/internal/hyperloglog"
)

// rowsRun is the state of processing one row-based input.
type rowsRun struct {
	*run
	src    *source
	format *rowFormat
	pack   Compression
	enc    outputEncoding
	out    *target
	hold   *delayedOutput // nil unless standard output is delayed until every path was seen
	jnl    *journal       // nil where the run cannot be resumed
	pipe   *pipeline
	prefix []byte                 // text before the rows in this share's output
	packed []byte                 // prefix, compressed as the output is
	seen   []*hyperloglog.Counter // of each worker
	failed error                  // error of creating a worker
}

// processRows processes a row-based input, of which head has been read. all reports that
// head is the whole input.
func (r *run) processRows(ctx context.Context, src *source, out string, head []byte, all bool, rf *rowFormat, format Format) error {
	n := &rowsRun{run: r, src: src, format: rf, pack: r.outputCompression(out), enc: r.outputEncodingOf(src.text), out: &target{name: "nothing", w: io.Discard}, prefix: head[:rf.prefix]}
	n.newPipeline(head, all)
	if r.Parts > 0 {
		if err := n.limitToShare(ctx); err != nil {
			return err
		}
	}
	if !r.DryRun {
		if err := n.openOutput(out, format); err != nil {
			return err
		}
	}
	if n.jnl.resumes() && n.jnl.state.Done {
		r.sum.Resumed = true
		r.sum.add(n.jnl.state.Mark.Tally, n.jnl.state.Mark.Out)
		r.countColumns(n.jnl.state.Mark.Tally, rf)
		r.rejected = n.jnl.state.Mark.Reject
		return nil
	}
	if err := n.start(ctx, head[:rf.prefix]); err != nil {
		return err
	}
	before := n.pipe.begin
	if !n.jnl.resumes() || n.pipe.past.Chunk > 0 {
		before = checkpoint{Tally: tally{Lines: rf.lines}}
	}
	n.connect()
	end := n.pipe.begin
	var err error
	if rf.data {
		end, err = n.pipe.run(ctx)
	}
	err = n.finish(end, err)
	r.progress(n.pipe, before, true)
	if n.jnl != nil {
		n.jnl.end(err == nil, end, len(r.Inputs) > 1)
	}
	return err
}

// newPipeline configures how the input is read and by how many goroutines.
func (n *rowsRun) newPipeline(head []byte, all bool) {
	src, rf := n.src, n.format
	v := &pipeline{src: src, cut: rf.cut, size: n.chunk, max: n.MaxRow, workers: n.workers, fastPaths: n.countFastPaths()}
	if n.pack != None && n.chunk == defaultChunk {
		v.size = 1 << 20 // larger frames compress better
	}
	v.begin = checkpoint{In: int64(rf.prefix), Tally: tally{Lines: rf.lines}}
	inFile := src.at != nil
	if v.doc = rf.doc; v.doc != nil && inFile {
		src.asStream(int64(len(head)))
	}
	if src.at != nil {
		v.shareStart, v.shareEnd = int64(rf.prefix), src.size
		v.read.Store(v.shareStart)
		v.goroutines = n.workers // the system reads ahead and writes back by itself
	} else {
		v.head, v.headAt, v.headEOF = head[rf.prefix:], int64(rf.prefix), all
		regular := src.info != nil && src.info.Mode().IsRegular()
		v.eager = n.pack == None && src.packed == None && !inFile && !(regular && src.text != UTF8)
		v.goroutines = n.workers + 2
	}
	for _, c := range n.Columns {
		if c.Remote != nil {
			v.eager = false
			v.workers, v.goroutines = max(v.workers, c.Remote.Concurrency), max(v.goroutines, c.Remote.Concurrency)
		}
	}
	n.pipe = v
}

// limitToShare limits the pipeline to the job's share of the file.
func (n *rowsRun) limitToShare(ctx context.Context) error {
	if n.src.at == nil {
		return usagef("%s: only a regular file that is neither compressed nor in another encoding than UTF-8 can be done in parts", n.src.name)
	}
	if n.Part > 1 {
		n.prefix = nil
	}
	return n.pipe.share(ctx, n.Part, n.Parts, n.workers)
}

// openOutput opens the output and its journal.
func (n *rowsRun) openOutput(path string, format Format) error {
	t, err := n.openTarget(path, n.src.info, n.Resume)
	if err != nil {
		return err
	}
	if n.jnl, err = n.openJournal(n.src, t, n.pipe, format, n.pack); err != nil {
		t.abandon(n.Resume)
		return err
	}
	n.out = t
	n.targets = append(n.targets, t)
	n.sum.Outputs = append(n.sum.Outputs, t.name)
	if t.f == nil && n.format.paths && !n.AllowMissing && n.Parts < 2 {
		n.hold = &delayedOutput{w: t.w, n: len(n.format.names)}
		t.w = n.hold
	}
	prefix := n.prefix
	if n.Part <= 1 {
		if prefix, err = n.enc.prefix(prefix); err != nil {
			return n.inFile(err)
		}
	}
	if n.packed, err = n.pack.frame(prefix); err != nil {
		return err
	}
	n.pipe.begin.Out = int64(len(n.packed))
	return nil
}

// start continues where an interrupted run ended, or writes the text before the rows.
// header is that of the input, even for a later share.
func (n *rowsRun) start(ctx context.Context, header []byte) error {
	if n.rejects != nil {
		if err := n.sameHeader(n.src.name, header, n.enc); err != nil {
			return err
		}
		var err error
		if header, err = n.enc.prefix(header); err != nil {
			return n.inFile(err)
		}
	}
	if n.jnl.resumes() {
		n.sum.Resumed = true
		if err := n.resumeAt(ctx, n.jnl, n.out, n.pipe, n.src); err != nil {
			return err
		}
		if n.pipe.past.Chunk > 0 && n.rejects != nil {
			n.pipe.begin.Reject = int64(len(header))
		}
		return nil
	}
	if n.out.f != nil {
		if err := n.out.f.Truncate(0); err != nil {
			return n.out.writeError(err)
		}
	}
	if len(n.packed) > 0 {
		if _, err := n.out.w.Write(n.packed); err != nil {
			return n.out.writeError(err)
		}
	}
	return n.rejectsStart(n.pipe, header)
}

// inFile returns the error of encoding text of the input's head with the file's name.
func (n *rowsRun) inFile(err error) error {
	var e *Error
	if errors.As(err, &e) {
		e.File = n.src.name
	}
	return err
}

// connect sets the functions of the pipeline that create workers and write chunks.
func (n *rowsRun) connect() {
	n.pipe.make = n.newWorker
	n.pipe.sink = func(c *chunk, at checkpoint) error {
		if n.hold != nil {
			if err := n.hold.met(c.tally.Paths); err != nil {
				return n.out.writeError(err)
			}
		}
		return n.writeChunk(c, at, n.out, n.pipe)
	}
	if n.jnl == nil {
		return
	}
	n.pipe.reached = func(m checkpoint) error {
		switch past := n.pipe.past; {
		case m.Chunk < past.Chunk:
			return nil
		case m.Chunk == past.Chunk && (m.In != past.In || m.Out != past.Out || m.Reject != past.Reject):
			return errJournal
		}
		return n.jnl.reached(m)
	}
}

// newWorker creates a worker. Several goroutines call it.
func (n *rowsRun) newWorker() worker {
	n.distMu.Lock()
	defer n.distMu.Unlock()
	d := hyperloglog.New(n.seed)
	n.seen = append(n.seen, d)
	f, err := n.format.worker(n.splicer(n.format, d))
	if err != nil {
		n.failed = err
		return failing{err}
	}
	var w worker = f.(worker)
	if n.documents() {
		w = &documentWorker{finder: f, counters: n.counters}
	}
	return wrapOutput(w, n.enc.e, n.pack)
}

// finish adds the counts up to end to the summary. Unless err or a final check fails, it
// then completes the output.
func (n *rowsRun) finish(end checkpoint, err error) error {
	for _, d := range n.seen {
		n.dist.Merge(d)
	}
	n.sum.add(end.Tally, end.Out)
	n.countColumns(end.Tally, n.format)
	n.warnKnown(n.src.name, end.Tally)
	n.sum.BytesIn += n.pipe.bytesIn()
	n.rejected = end.Reject
	switch {
	case err != nil:
		return err
	case n.failed != nil:
		return n.failed
	case end.Chunk < n.pipe.past.Chunk:
		return errJournal
	}
	if end.Out == 0 && n.pack != None && !n.DryRun {
		// An empty file is not a valid compressed file.
		empty, err := n.pack.compressEvenEmpty(nil)
		if err == nil {
			_, err = n.out.w.Write(empty)
		}
		if err != nil {
			return err
		}
	}
	if err := n.src.unchanged(); err != nil {
		return err
	}
	if n.format.paths && end.Tally.Rows > 0 {
		err := end.Tally.Paths.missing(n.src.name, n.format.names)
		switch {
		case err == nil:
		case !n.AllowMissing && n.Parts < 2:
			return err
		default: // another share may have the path
			n.warn("%w", err)
		}
	}
	if n.hold != nil {
		if err := n.hold.release(); err != nil {
			return n.out.writeError(err)
		}
	}
	if n.DryRun {
		return nil
	}
	return n.out.finish()
}

// failing stands for a worker that could not be created.
type failing struct{ err error }

func (f failing) work(_ context.Context, c *chunk) { c.fail = f.err }

// writeChunk writes the next chunk in order.
func (r *run) writeChunk(c *chunk, at checkpoint, t *target, v *pipeline) error {
	for _, f := range c.faults {
		if len(r.sum.Failures) < maxFailures {
			r.sum.Failures = append(r.sum.Failures, Failure{v.src.name, at.Tally.Lines + f.line, f.column, f.code})
		}
	}
	r.warnHeaders(v.src.name, at.Tally, c.headers)
	r.progress(v, at, false)
	if at.Chunk < v.past.Chunk {
		return nil
	}
	if len(c.rejects) > 0 && r.rejects != nil {
		if _, err := r.rejects.f.WriteAt(c.rejects, at.Reject); err != nil {
			return r.rejects.writeError(err)
		}
	}
	if len(c.pairs) > 0 {
		if err := r.mapping.write(c.pairs); err != nil {
			return err
		}
	}
	var err error
	switch {
	case len(c.out) == 0:
	case t.f != nil:
		_, err = t.f.WriteAt(c.out, at.Out)
	default:
		_, err = t.w.Write(c.out)
	}
	if err != nil {
		return t.writeError(err)
	}
	return nil
}

// rejectsStart starts the file of rejected rows with the text before the rows of the first
// input, which is encoded.
func (r *run) rejectsStart(v *pipeline, prefix []byte) error {
	if r.rejects == nil {
		return nil
	}
	if r.rejected == 0 {
		if err := r.rejects.f.Truncate(0); err != nil {
			return r.rejects.writeError(err)
		}
		if _, err := r.rejects.f.WriteAt(prefix, 0); err != nil {
			return r.rejects.writeError(err)
		}
		r.rejected = int64(len(prefix))
	}
	v.begin.Reject = r.rejected
	return nil
}
