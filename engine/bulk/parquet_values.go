package bulk

import (
	"bytes"
	"context"
	"slices"

	"github.com/velonym/velonym/engine/bulk/parquet"
	"github.com/velonym/velonym/engine/suite"
)

// parquetColumn replaces a column of a Parquet file: it is a parquet.Replacer.
type parquetColumn struct {
	p    *parquetRun
	name string
	job  int // index of Job.Columns
	g    *group
	doc  bool // policy document
}

// Nulls counts values that are null.
func (c *parquetColumn) Nulls(n int64) {
	c.p.tally.Empty += n
	c.count(columnTally{Empty: n})
}

// count adds to the counts of the column.
func (c *parquetColumn) count(n columnTally) {
	all := make([]columnTally, len(c.p.Columns))
	all[c.job] = n
	c.p.tally.Columns = addColumns(c.p.tally.Columns, all)
}

// Once reports whether the first value that has a result has the same twice. Policy
// document counts every value, and a server is asked for each.
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
			return false, c.p.bad("column %s: %w", quoteName(c.name), err)
		}
		if len(b.Bad) == 0 && b.Out[1] > 0 {
			return bytes.Equal(b.Dst[b.Out[0]:][:b.Out[1]], b.Dst[b.Out[2]:][:b.Out[3]]), nil
		}
	}
	return true, nil
}

// Replace charges for the values that are not empty, transforms them and counts.
func (c *parquetColumn) Replace(ctx context.Context, b *parquet.Batch) (parquet.Results, error) {
	p, g, t := c.p, c.g, &c.g.batch
	own := p.withoutNulls(b)
	t.At, t.Pre, t.Post, t.Src, t.Spans, t.Dst = nil, "", "", b.Arena, own, t.Dst[:0]
	empty, blank := int64(0), g.blank() > 0
	for i := 1; i < len(own); i += 2 {
		if own[i] == 0 || blank && g.plan.Blank(b.Arena, own[i-1:i+1]) > 0 {
			empty += b.Times(i / 2)
		}
	}
	if err := c.notKnown(b); err != nil {
		return parquet.Results{}, err
	}
	if !p.DryRun {
		if err := g.charge(ctx, int(b.Total-empty)); err != nil {
			return parquet.Results{}, err
		}
	}
	if g.remote != nil || c.doc || p.workers == 1 {
		if err := g.transform(ctx, p.OnError != Fail || p.DryRun); err != nil {
			return parquet.Results{}, p.bad("column %s: %w", quoteName(c.name), err)
		}
	} else {
		g.plan.TransformParallel(t, p.workers)
	}
	p.dist.Add(b.Arena, own, g.pseudonyms)
	if c.doc {
		p.counters.add(b.Arena, own)
		if err := p.counters.check(); err != nil {
			return parquet.Results{}, p.bad("%w", err)
		}
	}
	bad, err := c.faults(b)
	if err != nil {
		return parquet.Results{}, err
	}
	p.tally.Errors += bad
	p.tally.Empty += empty
	p.tally.Values += b.Total - empty - bad
	c.count(columnTally{Values: b.Total - empty - bad, Empty: empty, Errors: bad})
	if p.mapping != nil && !p.DryRun {
		if err := p.mapped(t); err != nil {
			return parquet.Results{}, err
		}
	}
	return parquet.Results{Arena: t.Dst, Spans: t.Out, Values: own, Missing: p.missing}, nil
}

// withoutNulls returns the spans with the placeholders for none made empty.
func (p *parquetRun) withoutNulls(b *parquet.Batch) []uint32 {
	if len(p.Null) == 0 {
		return b.Spans
	}
	own := slices.Clone(b.Spans)
	for i := 0; i < len(own); i += 2 {
		for _, n := range p.Null {
			if string(b.Arena[own[i]:][:own[i+1]]) == n {
				own[i+1] = 0
			}
		}
	}
	return own
}

// faults lists the values without a result in p.missing and returns how many values of
// rows they are. It notes the rows of the first ones, or makes the first the run's error.
func (c *parquetColumn) faults(b *parquet.Batch) (n int64, err error) {
	p, bad := c.p, c.g.batch.Bad
	p.missing = p.missing[:0]
	for _, e := range bad {
		p.missing = append(p.missing, e.Index)
		n += b.Times(e.Index)
	}
	fail := p.OnError == Fail && !p.DryRun
	most := maxFailures - len(p.sum.Failures)
	if fail {
		most = 1
	}
	err = b.Locate(p.missing, most, func(row int64, i int) error {
		e := &Error{File: p.src.name, Row: row, Column: c.name, Code: bad[i].Code}
		if fail {
			return e
		}
		p.sum.Failures = append(p.sum.Failures, Failure{e.File, e.Row, e.Column, e.Code.String()})
		return nil
	})
	return n, err
}

// notKnown refuses values that are pseudonyms of the column's own key domain already, or
// counts them.
func (c *parquetColumn) notKnown(b *parquet.Batch) error {
	p, g := c.p, c.g
	if !g.looksForOwn() {
		return nil
	}
	known, sampled := g.known(b.Arena, g.batch.Spans)
	if known > 0 && !p.Again {
		return &Error{File: p.src.name, Row: b.Row, Column: c.name, Err: &PseudonymsError{known, sampled}}
	}
	if known > 0 {
		p.tally.Known += int64(known)
		p.tally.Sampled += int64(sampled)
	}
	return nil
}

// mapped writes a row of the mapping file for each value that was transformed; an entry
// of a dictionary is one.
func (p *parquetRun) mapped(t *suite.Batch) error {
	p.pairs = appendPairs(p.pairs[:0], t)
	return p.mapping.write(p.pairs)
}
