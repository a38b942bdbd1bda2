package bulk

import (
	"bytes"
	"context"

	"github.com/velonym/velonym/engine/bulk/parquet"
)

// parquetColumn replaces a column of a Parquet file: it is a parquet.Replacer.
type parquetColumn struct{ *replacedColumn }

// Nulls counts values that are null.
func (c *parquetColumn) Nulls(n int64) { c.count(columnTally{Empty: n}) }

// Once reports whether equal values get equal results, so that the entries of a dictionary
// are transformed once: it transforms the first value that has a result twice. With policy
// document or a server every value is transformed.
func (c *parquetColumn) Once(ctx context.Context, arena []byte, spans []uint32) (bool, error) {
	if c.doc || c.g.remote != nil {
		return false, nil
	}
	for i := 0; i < len(spans); i += 2 {
		if spans[i+1] == 0 {
			continue
		}
		b := &c.g.batch
		b.At, b.Pre, b.Post = nil, "", ""
		b.Src, b.Spans, b.Dst = arena, []uint32{spans[i], spans[i+1], spans[i], spans[i+1]}, b.Dst[:0]
		if err := c.g.transform(ctx, true); err != nil {
			return false, damagedf(c.src.name, "column %s: %w", quoteName(c.name), err)
		}
		if len(b.Bad) == 0 && b.Out[1] > 0 {
			return bytes.Equal(b.Dst[b.Out[0]:][:b.Out[1]], b.Dst[b.Out[2]:][:b.Out[3]]), nil
		}
	}
	return true, nil
}

// Replace charges the values that are not empty to the budget, transforms and counts them.
func (c *parquetColumn) Replace(ctx context.Context, b *parquet.Batch) (parquet.Results, error) {
	g := c.g
	own := c.load(b.Arena, b.Spans)
	empty, blank := int64(0), g.blank() > 0
	for i := 1; i < len(own); i += 2 {
		if own[i] == 0 || blank && g.plan.Blank(b.Arena, own[i-1:i+1]) > 0 {
			empty += b.Times(i / 2)
		}
	}
	if err := c.checkKnown(Error{Row: b.Row}); err != nil {
		return parquet.Results{}, err
	}
	if err := c.transform(ctx, int(b.Total-empty)); err != nil {
		return parquet.Results{}, err
	}
	bad, err := c.faults(b)
	if err != nil {
		return parquet.Results{}, err
	}
	c.count(columnTally{Values: b.Total - empty - bad, Empty: empty, Errors: bad})
	if err := c.writePairs(); err != nil {
		return parquet.Results{}, err
	}
	return parquet.Results{Arena: g.batch.Dst, Spans: g.batch.Out, Values: own, Missing: c.missing}, nil
}

// faults lists the values without a result in c.missing and returns how many values of rows
// they stand for. It records the rows of the first ones in the summary, or returns the
// first as the run's error.
func (c *parquetColumn) faults(b *parquet.Batch) (n int64, err error) {
	bad := c.g.batch.Bad
	c.missing = c.missing[:0]
	for _, e := range bad {
		c.missing = append(c.missing, e.Index)
		n += b.Times(e.Index)
	}
	fail := c.OnError == Fail && !c.DryRun
	most := maxFailures - len(c.sum.Failures)
	if fail {
		most = 1
	}
	err = b.Locate(c.missing, most, func(row int64, i int) error {
		e := &Error{File: c.src.name, Row: row, Column: c.name, Code: bad[i].Code}
		if fail {
			return e
		}
		c.sum.Failures = append(c.sum.Failures, Failure{e.File, e.Row, e.Column, e.Code.String()})
		return nil
	})
	return n, err
}
