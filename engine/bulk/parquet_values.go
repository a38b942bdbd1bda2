package bulk

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go/format"

	"github.com/velonym/velonym/engine/suite"
)

// batch is values on their way through a transform.
type batch struct {
	arena []byte
	spans []uint32
	uses  []int64 // of a dictionary: how many values each entry stands for; nil: one
	of    int64   // values that all are

	page  *dataPage // nil: of a dictionary
	first int64     // of the page's values before

	bad []suite.ValueError // of a dictionary, whose places are yet to be found
}

// times returns how many values entry i stands for.
func (b *batch) times(i int) int64 {
	if b.uses == nil {
		return 1
	}
	return b.uses[i]
}

// transform charges for the values that are not empty, transforms them, and
// appends the results to dst as PLAIN byte arrays.
func (p *parquetRun) transform(ctx context.Context, o *chunkOut, dst []byte, b *batch) ([]byte, error) {
	g := o.col.g
	t := &g.batch
	own := p.withoutNulls(b)
	t.At, t.Pre, t.Post, t.Src, t.Spans, t.Dst = nil, "", "", b.arena, own, t.Dst[:0]
	empty, blank := int64(0), g.blank() > 0
	for i := 1; i < len(own); i += 2 {
		if own[i] == 0 || blank && g.plan.Blank(b.arena, own[i-1:i+1]) > 0 {
			empty += b.times(i / 2)
		}
	}
	if err := p.notKnown(o, t); err != nil {
		return nil, err
	}
	if !p.DryRun {
		if err := g.charge(ctx, int(b.of-empty)); err != nil {
			return nil, err
		}
	}
	p.paths.batches++
	if g.remote != nil || o.col.doc || p.workers == 1 {
		if err := g.transform(ctx, p.OnError != Fail || p.DryRun); err != nil {
			return nil, p.bad("column %s: %w", o.column, err)
		}
	} else {
		g.plan.TransformParallel(t, p.workers)
	}
	p.seen.add(b.arena, own, g.pseudonyms)
	if o.col.doc {
		p.counters.add(b.arena, own)
		if err := p.counters.check(); err != nil {
			return nil, p.bad("%w", err)
		}
	}
	if err := p.faults(o, b, t.Bad); err != nil {
		return nil, err
	}
	bad := p.tallyBad(b, t.Bad)
	p.tally.Empty += empty
	p.tally.Values += b.of - empty - bad
	p.countColumn(o.col, columnTally{Values: b.of - empty - bad, Empty: empty, Errors: bad})
	if p.mapping != nil && !p.DryRun {
		if err := p.mapped(t); err != nil {
			return nil, err
		}
	}
	return appendResults(dst, b, t), nil
}

// tallyBad counts the values that have no result.
func (p *parquetRun) tallyBad(b *batch, bad []suite.ValueError) int64 {
	n := int64(0)
	for _, e := range bad {
		n += b.times(e.Index)
	}
	p.tally.Errors += n
	return n
}

// withoutNulls returns the spans with the placeholders for none made empty.
func (p *parquetRun) withoutNulls(b *batch) []uint32 {
	if len(p.Null) == 0 {
		return b.spans
	}
	own := slices.Clone(b.spans)
	for i := 0; i < len(own); i += 2 {
		for _, n := range p.Null {
			if string(b.arena[own[i]:][:own[i+1]]) == n {
				own[i+1] = 0
			}
		}
	}
	return own
}

// appendResults appends results as PLAIN byte arrays: nothing for a value that has
// none, and what passes through as it is.
func appendResults(dst []byte, b *batch, t *suite.Batch) []byte {
	n := len(b.spans) / 2
	dst = slices.Grow(dst, len(t.Dst)+4*n)
	bad := t.Bad
	for i := range n {
		res := t.Dst[t.Out[2*i]:][:t.Out[2*i+1]]
		switch {
		case len(bad) > 0 && bad[0].Index == i:
			bad, res = bad[1:], nil
		case t.Spans[2*i+1] == 0:
			res = b.arena[b.spans[2*i]:][:b.spans[2*i+1]]
		}
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(res)))
		dst = append(dst, res...)
	}
	return dst
}

// mapped writes rows of the mapping file: one for each value transformed, which
// those of a dictionary are once.
func (p *parquetRun) mapped(t *suite.Batch) error {
	p.pairs = p.pairs[:0]
	bad := t.Bad
	for i := 0; i < len(t.Spans)/2; i++ {
		if len(bad) > 0 && bad[0].Index == i {
			bad = bad[1:]
			continue
		}
		if t.Spans[2*i+1] == 0 {
			continue
		}
		p.pairs = mapDialect.AppendField(p.pairs, t.Src[t.Spans[2*i]:][:t.Spans[2*i+1]], false)
		p.pairs = append(p.pairs, ',')
		p.pairs = mapDialect.AppendField(p.pairs, t.Dst[t.Out[2*i]:][:t.Out[2*i+1]], false)
		p.pairs = append(p.pairs, '\n')
	}
	return p.mapping.write(p.pairs)
}

// faults notes the places of a page's values without a result, or makes the first
// the run's error. Those of a dictionary wait for whereUsed.
func (p *parquetRun) faults(o *chunkOut, b *batch, bad []suite.ValueError) error {
	if len(bad) == 0 {
		return nil
	}
	if b.page == nil {
		b.bad = slices.Clone(bad)
		return nil
	}
	most := maxFailures
	if p.OnError == Fail && !p.DryRun {
		most = 1
	}
	most = min(most, len(bad), max(maxFailures-len(p.sum.Failures), 0))
	var at []int64
	for _, e := range bad[:most] {
		at = append(at, b.first+int64(e.Index))
	}
	rows, err := b.page.rowsOf(o.leaf, at)
	if err != nil || len(rows) != len(at) {
		return p.bad("column %s: the levels of a page are damaged", o.column)
	}
	for i, row := range rows {
		if err := p.fault(o, p.row+o.row+row+1, bad[i].Code); err != nil {
			return err
		}
	}
	return nil
}

// fault notes a value without a result, or makes it the run's error.
func (p *parquetRun) fault(o *chunkOut, row int64, code suite.Code) error {
	e := &Error{File: p.src.name, Row: row, Column: o.col.name, Code: code}
	if p.OnError == Fail && !p.DryRun {
		return e
	}
	if len(p.sum.Failures) < maxFailures {
		p.sum.Failures = append(p.sum.Failures, Failure{e.File, e.Row, e.Column, e.Code.String()})
	}
	return nil
}

// whereUsed goes through the pages once more for the places of the entries of a
// dictionary that have no result, the first ones.
func (p *parquetRun) whereUsed(o *chunkOut, bad []suite.ValueError) error {
	codes := map[uint32]suite.Code{}
	for _, e := range bad {
		codes[uint32(e.Index)] = e.Code
	}
	before := int64(0)
	err := p.pages(&o.columnChunk, func(page *rawPage) error {
		if page.kind == format.DictionaryPage || len(p.sum.Failures) >= maxFailures {
			return nil
		}
		d, err := p.open(&o.columnChunk, page)
		if err != nil {
			return err
		}
		defer func() { before += d.rows }()
		if !page.isIndexes() || d.full == 0 {
			return nil
		}
		var at []int64
		var found []suite.Code
		var c levelCursor // of indexes
		if c.rle, err = newRLE(d.values[1:], int(d.values[0]), d.full); err != nil {
			return p.bad("column %s: a page is damaged: %w", o.column, err)
		}
		for i := int64(0); i < d.full && len(at) < maxFailures; i++ {
			index, err := c.next()
			if err != nil {
				return p.bad("column %s: a page is damaged: %w", o.column, err)
			}
			if code := codes[index]; code != 0 {
				at, found = append(at, i), append(found, code)
			}
		}
		rows, err := d.rowsOf(o.leaf, at)
		if err != nil || len(rows) != len(at) {
			return p.bad("column %s: the levels of a page are damaged", o.column)
		}
		for i, row := range rows {
			if err := p.fault(o, p.row+before+row+1, found[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && p.OnError == Fail && !p.DryRun {
		err = fmt.Errorf("%s: column %s: a value of its dictionary cannot be transformed", p.src.name, o.column)
	}
	return err
}
