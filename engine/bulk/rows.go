package bulk

import (
	"context"
	"io"
)

// processRows runs an input of rows.
func (r *run) processRows(ctx context.Context, src *source, out string, head []byte, all bool, rf *rowFormat, format Format) (err error) {
	pack := r.packing(out)
	v := &pipeline{src: src, cut: rf.cut, size: r.chunk, max: r.MaxRow, workers: r.workers, ways: r.countWays()}
	if pack != None && r.chunk == defaultChunk {
		v.size = 1 << 20 // larger frames pack better
	}
	v.begin = mark{In: int64(rf.prefix), Tally: tally{Lines: rf.lines}}
	inFile := src.at != nil
	if v.doc = rf.doc; v.doc != nil && inFile {
		src.asStream(int64(len(head)))
	}
	if src.at != nil {
		v.lo, v.hi = int64(rf.prefix), src.size
		v.read.Store(v.lo)
		v.lanes = r.workers // the system reads ahead and writes behind
	} else {
		v.head, v.headAt, v.headEOF = head[rf.prefix:], int64(rf.prefix), all
		v.eager = pack == None && src.packed == None && !inFile
		v.lanes = r.workers + 2
	}
	remote := false
	for _, c := range r.Columns {
		if c.Remote != nil {
			remote = true
			v.workers, v.lanes = max(v.workers, c.Remote.Concurrency), max(v.lanes, c.Remote.Concurrency)
		}
	}
	if remote {
		v.eager = false
	}
	prefix := head[:rf.prefix]
	if r.Parts > 0 {
		if src.at == nil {
			return usagef("%s: only a regular file that is not compressed can be done in parts", src.name)
		}
		if r.Part > 1 {
			prefix = nil
		}
		if err := v.share(ctx, r.Part, r.Parts, r.workers); err != nil {
			return err
		}
	}
	t := &target{name: "nothing", w: io.Discard}
	var jnl *journal
	var lead []byte
	var hold *held
	if !r.DryRun {
		if t, err = r.openTarget(out, src.info, r.Resume); err != nil {
			return err
		}
		if jnl, err = r.openJournal(src, t, v, format, pack); err != nil {
			t.abandon(r.Resume)
			return err
		}
		r.targets = append(r.targets, t)
		r.sum.Outputs = append(r.sum.Outputs, t.name)
		if t.f == nil && rf.paths && !r.AllowMissing && r.Parts < 2 {
			hold = &held{w: t.w, n: len(rf.names)}
			t.w = hold
		}
		if lead, err = pack.frame(prefix); err != nil {
			return err
		}
		v.begin.Out = int64(len(lead))
	}
	if jnl.resumes() {
		r.sum.Resumed = true
		if jnl.state.Done {
			r.sum.add(jnl.state.Mark.Tally, jnl.state.Mark.Out)
			r.countColumns(jnl.state.Mark.Tally, rf)
			r.rejected = jnl.state.Mark.Reject
			return nil
		}
		if err := r.resumeAt(ctx, jnl, t, v, src); err != nil {
			return err
		}
		if v.past.Chunk > 0 && r.rejects != nil {
			v.begin.Reject = int64(rf.prefix)
		}
	} else {
		if t.f != nil {
			if err := t.f.Truncate(0); err != nil {
				return t.writeError(err)
			}
		}
		if len(lead) > 0 {
			if _, err := t.w.Write(lead); err != nil {
				return t.writeError(err)
			}
		}
		if err := r.rejectsStart(v, head[:rf.prefix]); err != nil {
			return err
		}
	}
	before := v.begin
	if !jnl.resumes() || v.past.Chunk > 0 {
		before = mark{Tally: tally{Lines: rf.lines}}
	}
	v.sink = func(c *chunk, at mark) error {
		if hold != nil {
			if err := hold.met(c.tally.Paths); err != nil {
				return t.writeError(err)
			}
		}
		return r.writeChunk(c, at, t, v)
	}
	if jnl != nil {
		v.reached = func(m mark) error {
			switch past := v.past; {
			case m.Chunk < past.Chunk:
				return nil
			case m.Chunk == past.Chunk && (m.In != past.In || m.Out != past.Out || m.Reject != past.Reject):
				return errJournal
			}
			return jnl.reached(m)
		}
	}
	var lanes []*distinct
	var laneErr error
	v.make = func() worker {
		r.distMu.Lock()
		defer r.distMu.Unlock()
		d := newDistinct(r.seed)
		lanes = append(lanes, d)
		f, err := rf.worker(r.splicer(rf, d))
		if err != nil {
			laneErr = err
			return failing{err}
		}
		var w worker = f.(worker)
		if r.documents() {
			w = &documentWorker{finder: f, counters: r.counters}
		}
		return pack.wrap(w)
	}
	end := v.begin
	if rf.data {
		end, err = v.run(ctx)
	}
	for _, d := range lanes {
		r.dist.merge(d)
	}
	r.sum.add(end.Tally, end.Out)
	r.countColumns(end.Tally, rf)
	r.warnKnown(src.name, end.Tally)
	r.sum.BytesIn += v.bytesIn()
	r.rejected = end.Reject
	if err == nil {
		err = laneErr
	}
	if err == nil && end.Chunk < v.past.Chunk {
		err = errJournal
	}
	if err == nil && end.Out == 0 && pack != None && !r.DryRun {
		// A compressed file of nothing is not an empty file.
		var empty []byte
		if empty, err = pack.always(nil); err == nil {
			_, err = t.w.Write(empty)
		}
	}
	if err == nil {
		err = src.unchanged()
	}
	if err == nil && rf.paths && end.Tally.Rows > 0 {
		err = end.Tally.Paths.missing(src.name, rf.names)
		if err != nil && (r.AllowMissing || r.Parts > 1) { // other shares may have it
			r.warn("%w", err)
			err = nil
		}
	}
	if err == nil && hold != nil {
		if err = hold.release(); err != nil {
			err = t.writeError(err)
		}
	}
	if err == nil && !r.DryRun {
		err = t.finish()
	}
	r.progress(v, before, true)
	if jnl != nil {
		jnl.end(err == nil, end, len(r.Inputs) > 1)
	}
	return err
}

// failing is a worker that could not be made.
type failing struct{ err error }

func (f failing) work(_ context.Context, c *chunk) { c.fail = f.err }

// writeChunk writes a chunk in its turn.
func (r *run) writeChunk(c *chunk, at mark, t *target, v *pipeline) error {
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

// rejectsStart begins the file of rejected rows with the first input's header.
func (r *run) rejectsStart(v *pipeline, prefix []byte) error {
	if r.rejects == nil {
		return nil
	}
	if err := r.sameHeader(v.src.name, prefix); err != nil {
		return err
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
