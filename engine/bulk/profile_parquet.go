package bulk

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/velonym/velonym/engine/bulk/parquet"
	"github.com/velonym/velonym/engine/bulk/profile"
)

// profileParquet counts the values of the columns of a Parquet file that a run can
// replace. It reads them as a run does and discards the output.
func (j *Job) profileParquet(ctx context.Context, src *source, rep *profile.Report) error {
	if src.packed != None || src.at == nil {
		return fmt.Errorf("%s: Parquet is read from its end: give a file that is not compressed, and not a pipe", src.name)
	}
	rep.Format = string(Parquet)
	file, err := parquet.Open(src.name, fileReader{src.at}, src.size, j.MaxMemory, nil)
	if err != nil {
		return err
	}
	defer file.Close()
	names := file.Columns()
	if len(names) > maxProfileColumns {
		return fmt.Errorf("%s: has %d columns; a profile counts %d at most", src.name, len(names), maxProfileColumns)
	}
	columns := profile.NewColumns(names...)
	for i := range names {
		if _, err := file.Replace(i, &profileColumn{columns.Column(i)}, parquet.Pseudonymise); err != nil {
			why := err
			var e *parquet.Error
			if errors.As(err, &e) {
				why = e.Err
			}
			columns.Column(i).Refuse(why.Error())
		}
	}
	if err := file.Check(); err != nil {
		return err
	}
	state, err := file.Write(ctx, io.Discard, parquet.Resume{}, func(parquet.State) error { return nil })
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return ErrInterrupted
	}
	if err != nil {
		return err
	}
	rep.Rows = state.Rows
	rep.Columns = columns.Report()
	return nil
}

// profileColumn counts the values of a Parquet column. It implements parquet.Replacer and
// replaces every value by itself.
type profileColumn struct{ c *profile.Column }

// Nulls counts null values.
func (p *profileColumn) Nulls(n int64) { p.c.Missing(n) }

// Once has the entries of a dictionary counted once, with their numbers of uses.
func (p *profileColumn) Once(context.Context, []byte, []uint32) (bool, error) { return true, nil }

// Replace counts the values of b.
func (p *profileColumn) Replace(_ context.Context, b *parquet.Batch) (parquet.Results, error) {
	for i := 0; i < len(b.Spans); i += 2 {
		if n := b.Times(i / 2); n > 0 {
			p.c.Add(b.Arena[b.Spans[i]:][:b.Spans[i+1]], n)
		}
	}
	return parquet.Results{Arena: b.Arena, Spans: b.Spans, Values: b.Spans}, nil
}
