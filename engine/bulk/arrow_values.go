package bulk

import (
	"context"
	"fmt"

	"github.com/velonym/velonym/engine/bulk/arrow"
)

// arrowColumn replaces a column of Arrow: it is an arrow.Replacer.
type arrowColumn struct {
	*replacedColumn
	paid int64 // dictionary entries that were charged to the budget and that no row has referred to yet
}

// Once reports whether equal values get equal results, so that the entries of a dictionary
// are transformed once. With policy document or a server every value is transformed.
func (c *arrowColumn) Once() bool { return !c.doc && c.g.plan != nil && c.g.plan.Deterministic() }

// Use counts values that refer to a dictionary, and charges those that the charge for its
// entries does not cover.
func (c *arrowColumn) Use(ctx context.Context, values, empty, missing int64) error {
	again := values + missing - c.paid
	c.paid = max(0, -again)
	if again > 0 && !c.DryRun {
		if err := c.g.charge(ctx, int(again)); err != nil {
			return err
		}
	}
	c.count(columnTally{Values: values, Empty: empty, Errors: missing})
	return nil
}

// Replace charges the values that are not empty to the budget, transforms and counts them.
func (c *arrowColumn) Replace(ctx context.Context, b *arrow.Batch) (arrow.Results, error) {
	g, t := c.g, &c.g.batch
	own := c.load(b.Arena, b.Spans)
	values := len(own) / 2
	for i := 1; i < len(own); i += 2 {
		if own[i] == 0 {
			values--
		}
	}
	if g.plan != nil {
		values -= g.blank()
	}
	if err := c.checkKnown(Error{Batch: b.Batch, Row: b.Row(0)}); err != nil {
		return arrow.Results{}, err
	}
	if err := c.transform(ctx, values); err != nil {
		return arrow.Results{}, err
	}
	if g.remote != nil {
		values -= g.blank()
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
	if err := c.writePairs(); err != nil {
		return arrow.Results{}, err
	}
	return arrow.Results{Arena: t.Dst, Spans: t.Out, Values: own, Missing: c.missing}, nil
}

// faults lists the values without a result in c.missing. It records the rows of the first
// ones in the summary, or returns the first as the run's error.
func (c *arrowColumn) faults(b *arrow.Batch) error {
	c.missing = c.missing[:0]
	for _, bad := range c.g.batch.Bad {
		c.missing = append(c.missing, bad.Index)
		if c.OnError == Fail && !c.DryRun {
			e := &Error{File: c.src.name, Batch: b.Batch, Row: b.Row(bad.Index), Column: c.name, Code: bad.Code}
			if b.Entry > 0 {
				e.Why = fmt.Sprintf("entry %d of the column's dictionary: %s", b.Entry+int64(bad.Index), explain(bad.Code))
			}
			return e
		}
		if len(c.sum.Failures) < maxFailures {
			c.sum.Failures = append(c.sum.Failures, Failure{c.src.name, b.Row(bad.Index), c.name, bad.Code.String()})
		}
	}
	return nil
}
