package bulk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/velonym/velonym/engine/bulk/parquet"
)

// parquetRun is the state of processing one Parquet file.
type parquetRun struct {
	*run
	src   *source
	file  *parquet.File
	out   *bufio.Writer
	tally tally
	pipe  *pipeline  // for progress and journal: checkpoints count column chunks
	jnl   *journal   // nil where the run cannot be resumed
	last  checkpoint // everything before it is written
}

// damaged is an error of a Parquet or Arrow input or of a value in it. A resume would fail
// again.
type damaged struct{ error }

func (d damaged) Unwrap() error { return d.error }

// damagedf returns an error of an input.
func damagedf(file, format string, args ...any) error {
	return damaged{fmt.Errorf("%s: "+format, append([]any{file}, args...)...)}
}

// bad returns an error of the file.
func (p *parquetRun) bad(format string, args ...any) error {
	return damagedf(p.src.name, format, args...)
}

// failed converts an error of the package parquet.
func (p *parquetRun) failed(err error) error {
	var fault *parquet.Error
	var unfit *parquet.RestoreError
	switch {
	case errors.As(err, &unfit):
		return &Error{File: unfit.File, Row: unfit.Row, Column: unfit.Column, Err: &RestoreError{unfit.Type, unfit.Err}}
	case errors.Is(err, parquet.ErrMemory) && errors.As(err, &fault):
		return damaged{&TypesError{err}}
	case errors.Is(err, parquet.ErrResume):
		return p.bad("%w", errJournal)
	case errors.As(err, &fault):
		return damaged{err}
	}
	return err
}

// fileReader converts the errors of a file that package parquet reads.
type fileReader struct{ io.ReaderAt }

func (r fileReader) ReadAt(b []byte, off int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(b, off)
	switch {
	case err == nil || n == len(b):
	case err == io.EOF:
		err = fmt.Errorf("%w: it became shorter while it was read", ErrChanged)
	default:
		err = bareErr(err)
	}
	return n, err
}

// parquet processes a Parquet file.
func (r *run) parquet(ctx context.Context, src *source, out string) (err error) {
	if src.packed != None {
		return fmt.Errorf("%s: is a %s file around Parquet, which compresses by itself; unpack it first", src.name, src.packed)
	}
	if src.at == nil {
		return usagef("%s: Parquet is read from its end: give a file, not a pipe", src.name)
	}
	switch {
	case r.OnError == Keep:
		return &KeepError{src.name, Parquet}
	case r.Compress != AutoCompression && r.Compress != None:
		return usagef("%s: Parquet compresses by itself", src.name)
	}
	p := &parquetRun{run: r, src: src}
	if p.file, err = parquet.Open(src.name, fileReader{src.at}, src.size, r.MaxMemory, r.parquetCounts); err != nil {
		return p.failed(err)
	}
	defer p.file.Close()
	if err := p.choose(); err != nil {
		return err
	}
	if err := p.file.Check(); err != nil {
		return p.failed(err)
	}
	if r.Parts > 0 {
		p.file.Share(r.Part, r.Parts)
	}
	p.pipe = &pipeline{src: src, shareEnd: src.size}
	t := &target{name: "nothing", w: io.Discard}
	if !r.DryRun {
		if t, err = r.openTarget(out, src.info, r.Resume); err != nil {
			return err
		}
		if p.jnl, err = r.openJournal(src, t, p.pipe, Parquet, None); err != nil {
			t.abandon(r.Resume)
			return err
		}
		r.targets = append(r.targets, t)
		r.sum.Outputs = append(r.sum.Outputs, t.name)
	}
	p.last.Reject = r.rejected
	if done, err := p.resume(ctx, t); done || err != nil {
		return err
	}
	return p.write(ctx, t)
}

// resume continues from the journal of an interrupted run. done reports that the file was
// complete.
func (p *parquetRun) resume(ctx context.Context, t *target) (done bool, err error) {
	switch {
	case p.jnl.resumes():
		p.sum.Resumed = true
		p.last = p.jnl.state.Mark
		if p.jnl.state.Done {
			p.sum.add(p.last.Tally, p.last.Out)
			p.countJobColumns(p.last.Tally)
			p.rejected = p.last.Reject
			return true, nil
		}
		if err := p.resumeAt(ctx, p.jnl, t, p.pipe, p.src); err != nil {
			return false, err
		}
		if _, err := t.lock.Seek(p.last.Out, io.SeekStart); err != nil {
			return false, t.writeError(err)
		}
		p.tally = p.last.Tally
		p.tally.Rows = 0 // counted again with the row groups
	case t.f != nil:
		if err := t.f.Truncate(0); err != nil {
			return false, t.writeError(err)
		}
	}
	return false, nil
}

// write writes the output and reads it back.
func (p *parquetRun) write(ctx context.Context, t *target) error {
	r := p.run
	w := &outputErrors{t: t}
	p.out = bufio.NewWriterSize(w, 1<<20)
	from := parquet.Resume{Chunks: p.last.Chunk, Out: p.last.Out, Replaced: p.last.Replaced}
	state, err := p.file.Write(ctx, p.out, from, p.written)
	p.tally.Rows = state.Rows
	if err == nil {
		err = p.out.Flush()
	}
	r.sum.add(p.tally, state.Out)
	r.countJobColumns(p.tally)
	r.warnKnown(p.src.name, p.tally)
	r.sum.BytesIn += p.src.size
	if err == nil {
		p.pipe.read.Store(p.src.size)
	}
	r.progress(p.pipe, checkpoint{}, true)
	if w.err != nil {
		err = w.err
	}
	if err == nil {
		err = p.src.unchanged()
	}
	if err == nil && t.f != nil {
		err = p.verify(ctx, t)
	}
	switch {
	case err == nil && !r.DryRun:
		err = t.finish()
	case err != nil && err == ctx.Err():
		err = ErrInterrupted
	}
	if p.jnl != nil {
		p.last.Out, p.last.Tally = state.Out, p.tally
		p.jnl.end(err == nil, p.last, len(r.Inputs) > 1)
	}
	return p.failed(err)
}

// written records that a column chunk is written.
func (p *parquetRun) written(s parquet.State) error {
	p.tally.Rows = s.Rows
	p.pipe.read.Store(min(s.Out, p.src.size))
	p.run.progress(p.pipe, checkpoint{Tally: p.tally}, false)
	if p.jnl == nil {
		return nil
	}
	if s.Replaced != nil {
		p.last.Replaced = append(p.last.Replaced, *s.Replaced)
	}
	if err := p.out.Flush(); err != nil {
		return err
	}
	p.last.Chunk, p.last.In, p.last.Out, p.last.Tally = s.Chunks, p.pipe.read.Load(), s.Out, p.tally
	return p.jnl.reached(p.last)
}

// verify reads the output back before it gets its name. Standard output cannot be read
// back.
func (p *parquetRun) verify(ctx context.Context, t *target) error {
	info, err := t.lock.Stat()
	if err != nil {
		return t.writeError(err)
	}
	err = p.file.Verify(ctx, t.name, fileReader{t.lock}, info.Size())
	if err == nil || err == ctx.Err() {
		return err
	}
	return damaged{fmt.Errorf("the output does not read back, which is a fault of this program or of the disk; nothing of it is kept: %w", err)}
}

// outputErrors converts and records errors of the output, to distinguish them from errors of
// the input.
type outputErrors struct {
	t   *target
	err error
}

func (o *outputErrors) Write(b []byte) (int, error) {
	n, err := o.t.w.Write(b)
	if err != nil {
		o.err = o.t.writeError(err)
	}
	return n, err
}
