package bulk

import (
	"context"
	"fmt"

	"github.com/velonym/velonym/engine/bulk/arrow"
)

// arrowColumn replaces a column of Arrow: it is an arrow.Replacer.
type arrowColumn struct {
	a    *arrowRun
	name string
	job  int // index of Job.Columns
	g    *group
	doc  bool // policy document
	own  []uint32
	paid int64 // values of dictionaries that were charged for, and not met in a row yet
}

// Once reports whether equal values get equal results. Policy document counts every value,
// and a server is asked for each.
func (c *arrowColumn) Once() bool { return !c.doc && c.g.plan != nil && c.g.plan.Deterministic() }

// Use charges for values that refer to a dictionary, those aside that its entries were
// charged for, and counts.
func (c *arrowColumn) Use(ctx context.Context, values, empty, missing int64) error {
	again := values + missing - c.paid
	c.paid = max(0, -again)
	if again > 0 && !c.a.DryRun {
		if err := c.g.charge(ctx, int(again)); err != nil {
			return err
		}
	}
	c.count(columnTally{Values: values, Empty: empty, Errors: missing})
	return nil
}

// count adds to the counts of the input and of the column.
func (c *arrowColumn) count(n columnTally) {
	t := &c.a.tally
	t.Errors += n.Errors
	t.Empty += n.Empty
	t.Values += n.Values
	if t.Columns == nil {
		t.Columns = make([]columnTally, len(c.a.Columns))
	}
	at := &t.Columns[c.job]
	at.Errors, at.Empty, at.Values = at.Errors+n.Errors, at.Empty+n.Empty, at.Values+n.Values
}

// Replace charges for the values that are not empty, transforms them and counts.
func (c *arrowColumn) Replace(ctx context.Context, b *arrow.Batch) (arrow.Results, error) {
	a, g, t := c.a, c.g, &c.g.batch
	own := c.withoutNulls(b)
	t.At, t.Pre, t.Post, t.Src, t.Spans, t.Dst = nil, "", "", b.Arena, own, t.Dst[:0]
	values := len(own) / 2
	for i := 1; i < len(own); i += 2 {
		if own[i] == 0 {
			values--
		}
	}
	if g.plan != nil {
		values -= g.blank()
	}
	if err := c.notKnown(b); err != nil {
		return arrow.Results{}, err
	}
	if !a.DryRun {
		if err := g.charge(ctx, values); err != nil {
			return arrow.Results{}, err
		}
	}
	if g.remote != nil || c.doc || a.workers == 1 {
		if err := g.transform(ctx, a.OnError != Fail || a.DryRun); err != nil {
			return arrow.Results{}, damaged{fmt.Errorf("%s: column %s: %w", a.src.name, quoteName(c.name), err)}
		}
		if g.remote != nil {
			values -= g.blank()
		}
	} else {
		g.plan.TransformParallel(t, a.workers)
	}
	a.dist.Add(b.Arena, own, g.pseudonyms)
	if c.doc {
		a.counters.add(b.Arena, own)
		if err := a.counters.check(); err != nil {
			return arrow.Results{}, fmt.Errorf("%s: %w", a.src.name, err)
		}
	}
	if err := c.faults(b); err != nil {
		return arrow.Results{}, err
	}
	if b.Entry > 0 {
		c.paid += int64(values)
	} else {
		bad := int64(len(t.Bad))
		c.count(columnTally{Values: int64(values) - bad, Empty: int64(len(own)/2 - values), Errors: bad})
	}
	if a.mapping != nil && !a.DryRun {
		a.pairs = appendPairs(a.pairs[:0], t)
		if err := a.mapping.write(a.pairs); err != nil {
			return arrow.Results{}, err
		}
	}
	return arrow.Results{Arena: t.Dst, Spans: t.Out, Values: own, Missing: a.missing}, nil
}

// withoutNulls returns the spans with the placeholders for none made empty.
func (c *arrowColumn) withoutNulls(b *arrow.Batch) []uint32 {
	if len(c.a.Null) == 0 {
		return b.Spans
	}
	c.own = append(c.own[:0], b.Spans...)
	for i := 0; i < len(c.own); i += 2 {
		for _, n := range c.a.Null {
			if string(b.Arena[c.own[i]:][:c.own[i+1]]) == n {
				c.own[i+1] = 0
			}
		}
	}
	return c.own
}

// faults lists the values without a result in a.missing. It notes the rows of the first
// ones, or makes the first the run's error.
func (c *arrowColumn) faults(b *arrow.Batch) error {
	a := c.a
	a.missing = a.missing[:0]
	for _, bad := range c.g.batch.Bad {
		a.missing = append(a.missing, bad.Index)
		if a.OnError == Fail && !a.DryRun {
			e := &Error{File: a.src.name, Batch: b.Batch, Row: b.Row(bad.Index), Column: c.name, Code: bad.Code}
			if b.Entry > 0 {
				e.Why = fmt.Sprintf("entry %d of the column's dictionary: %s", b.Entry+int64(bad.Index), explain(bad.Code))
			}
			return e
		}
		if len(a.sum.Failures) < maxFailures {
			a.sum.Failures = append(a.sum.Failures, Failure{a.src.name, b.Row(bad.Index), c.name, bad.Code.String()})
		}
	}
	return nil
}

// notKnown refuses values that are pseudonyms of the column's own key domain already, or
// counts them.
func (c *arrowColumn) notKnown(b *arrow.Batch) error {
	a, g := c.a, c.g
	if !g.looksForOwn() {
		return nil
	}
	known, sampled := g.known(b.Arena, g.batch.Spans)
	if known > 0 && !a.Again {
		return &Error{File: a.src.name, Batch: b.Batch, Row: b.Row(0), Column: c.name, Err: &PseudonymsError{known, sampled}}
	}
	if known > 0 {
		a.tally.Known += int64(known)
		a.tally.Sampled += int64(sampled)
	}
	return nil
}
