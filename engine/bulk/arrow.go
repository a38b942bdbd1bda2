package bulk

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/velonym/velonym/engine/bulk/arrow"
)

// arrowRun is the state of processing one Arrow stream or file.
type arrowRun struct {
	*run
	src    *source
	stream *arrow.Stream
	tally  tally
	pipe   *pipeline // for progress
}

// arrow processes an Arrow stream or file.
func (r *run) arrow(ctx context.Context, src *source, out string) (err error) {
	switch {
	case src.packed != None:
		return fmt.Errorf("%s: is a %s file around Arrow, whose buffers are packed one by one; unpack it first", src.name, src.packed)
	case r.OnError == Keep:
		return &KeepError{src.name, Arrow}
	case r.Compress != AutoCompression && r.Compress != None:
		return usagef("%s: the buffers of Arrow stay packed as they are", src.name)
	case r.Parts > 0:
		return usagef("%s: Arrow cannot be done in parts; write several files", src.name)
	case string(src.head) == "FEA1":
		return &Error{File: src.name, Err: &KindError{Kind: "a Feather file of version 1", Remedy: "write it anew as version 2, which is an Arrow file"}}
	}
	a := &arrowRun{run: r, src: src}
	if err := a.open(); err != nil {
		return a.failed(ctx, err)
	}
	if err := a.choose(); err != nil {
		return err
	}
	if r.Resume {
		r.warn("a run of Arrow cannot be resumed: starting from the beginning")
	}
	a.pipe = &pipeline{src: src, shareEnd: src.size}
	t := &target{name: "nothing", w: io.Discard}
	if !r.DryRun {
		if t, err = r.openTarget(out, src.info, false); err != nil {
			return err
		}
		r.targets = append(r.targets, t)
		r.sum.Outputs = append(r.sum.Outputs, t.name)
		if t.f != nil {
			if err := t.f.Truncate(0); err != nil {
				return t.writeError(err)
			}
		}
	}
	return a.write(ctx, t)
}

// open reads the schema.
func (a *arrowRun) open() (err error) {
	o := arrow.Options{Name: a.src.name, Memory: a.MaxMemory}
	switch {
	case a.src.isArrowFile():
		a.stream, err = arrow.OpenFile(fileReader{a.src.at}, a.src.size, o)
	case string(a.src.head) == "ARRO":
		return usagef("%s: an Arrow file is read from its end: give the file itself, not a pipe, or write an Arrow stream", a.src.name)
	case a.src.at != nil:
		a.stream, err = arrow.OpenStream(io.NewSectionReader(a.src.at, 0, a.src.size), o)
	default:
		a.stream, err = arrow.OpenStream(a.src.stream, o)
	}
	return err
}

// write writes the output.
func (a *arrowRun) write(ctx context.Context, t *target) error {
	r := a.run
	w := &outputErrors{t: t}
	err := a.stream.Write(ctx, &arrowProgress{a, w})
	a.tally.Rows = a.stream.Rows()
	r.sum.add(a.tally, a.stream.Written())
	r.countJobColumns(a.tally)
	r.warnKnown(a.src.name, a.tally)
	r.sum.BytesIn += a.src.raw.n.Load()
	if a.src.at != nil {
		r.sum.BytesIn += a.src.size
		a.pipe.read.Store(a.src.size)
	}
	r.progress(a.pipe, checkpoint{}, true)
	if w.err != nil {
		err = w.err
	}
	if err == nil {
		err = a.src.unchanged()
	}
	if err == nil && !r.DryRun {
		err = t.finish()
	}
	return a.failed(ctx, err)
}

// failed converts an error of the package arrow, or of the input.
func (a *arrowRun) failed(ctx context.Context, err error) error {
	var fault *arrow.Error
	var unfit *arrow.RestoreError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &fault) && errors.As(err, &unfit):
		why := unfit.Err
		if unfit.Entry > 0 {
			why = fmt.Errorf("%w (entry %d of the column's dictionary)", why, unfit.Entry)
		}
		return &Error{File: fault.File, Batch: fault.Batch, Row: fault.Row, Column: fault.Column, Err: &RestoreError{unfit.Type, why}}
	case errors.Is(err, arrow.ErrMemory):
		return damaged{&TypesError{err}}
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return ErrInterrupted
	case errors.As(err, &fault):
		return damaged{err}
	}
	return err
}

// arrowProgress reports progress whenever output is written.
type arrowProgress struct {
	a *arrowRun
	w io.Writer
}

func (p *arrowProgress) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	a := p.a
	if a.src.at != nil {
		a.pipe.read.Store(min(a.stream.Written(), a.src.size))
	}
	a.tally.Rows = a.stream.Rows()
	a.run.progress(a.pipe, checkpoint{Tally: a.tally}, false)
	return n, err
}

// choose finds the columns of the job in the input and registers their replacers.
func (a *arrowRun) choose() error {
	columns := a.stream.Columns()
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return a.eachColumn(a.src, &a.tally, names, func(at int, c *replacedColumn) error {
		effect, err := a.stream.Replace(at, &arrowColumn{replacedColumn: c}, c.change())
		if err != nil {
			return a.failed(context.Background(), err)
		}
		c.reportEffect(effect)
		return nil
	})
}
