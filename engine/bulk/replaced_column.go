package bulk

import "context"

// replacedColumn replaces a column of a format whose package hands over its values in
// batches, Parquet or Arrow. It holds what both do alike.
type replacedColumn struct {
	*run
	src   *source
	tally *tally // of the input
	name  string
	job   int // index of Job.Columns
	g     *group
	doc   bool // policy document

	own     []uint32 // spans of the batch; those of null markers are made empty
	missing []int    // values of the batch without a result
	pairs   []byte
}

// eachColumn finds the columns of the job among the names that an input has and calls
// replace for each, with its index among the names.
func (r *run) eachColumn(src *source, t *tally, names []string, replace func(at int, c *replacedColumn) error) error {
	chosen := map[int]bool{}
	groups := map[int]*group{}
	for i, c := range r.Columns {
		at, err := r.findColumn(src.name, c, names)
		if err != nil {
			return err
		}
		if chosen[at] {
			return usagef("%s: column %s (#%d) is given twice", src.name, quoteName(names[at]), at+1)
		}
		chosen[at] = true
		gi := r.groups[c.transform()]
		if groups[gi] == nil {
			groups[gi] = newGroup(c, r.docs[gi], nil)
		}
		if err := replace(at, &replacedColumn{run: r, src: src, tally: t, name: names[at], job: i, g: groups[gi], doc: r.docs[gi] != nil}); err != nil {
			return err
		}
	}
	return nil
}

// count adds to the counts of the input and of the column. Checkpoints share the counts of
// the columns, so they are not changed in place.
func (c *replacedColumn) count(n columnTally) {
	t := c.tally
	t.Errors += n.Errors
	t.Empty += n.Empty
	t.Values += n.Values
	all := make([]columnTally, len(c.Columns))
	all[c.job] = n
	t.Columns = addColumns(t.Columns, all)
}

// load makes the values the group's batch. It returns their spans, of which those of null
// markers are made empty.
func (c *replacedColumn) load(arena []byte, spans []uint32) (own []uint32) {
	own = spans
	if len(c.Null) > 0 {
		c.own = append(c.own[:0], spans...)
		own = c.own
		for i := 0; i < len(own); i += 2 {
			for _, n := range c.Null {
				if string(arena[own[i]:][:own[i+1]]) == n {
					own[i+1] = 0
				}
			}
		}
	}
	t := &c.g.batch
	t.At, t.Pre, t.Post, t.Src, t.Spans, t.Dst = nil, "", "", arena, own, t.Dst[:0]
	return own
}

// checkKnown refuses a batch whose values are already pseudonyms of the column's own key
// domain, or with Job.Again counts them. at is the position at which the batch begins.
func (c *replacedColumn) checkKnown(at Error) error {
	if !c.g.looksForOwn() {
		return nil
	}
	known, sampled := c.g.known(c.g.batch.Src, c.g.batch.Spans)
	switch {
	case known > 0 && !c.Again:
		at.File, at.Column, at.Err = c.src.name, c.name, &PseudonymsError{known, sampled}
		return &at
	case known > 0:
		c.tally.Known += int64(known)
		c.tally.Sampled += int64(sampled)
	}
	return nil
}

// transform charges for n values, transforms the batch and counts its different values.
func (c *replacedColumn) transform(ctx context.Context, n int) error {
	g := c.g
	if !c.DryRun {
		if err := g.charge(ctx, n); err != nil {
			return err
		}
	}
	t := &g.batch
	if g.remote != nil || c.doc || c.workers == 1 {
		if err := g.transform(ctx, c.OnError != Fail || c.DryRun); err != nil {
			return damagedf(c.src.name, "column %s: %w", quoteName(c.name), err)
		}
	} else {
		g.plan.TransformParallel(t, c.workers)
	}
	c.dist.Add(t.Src, t.Spans, g.pseudonyms)
	if c.doc {
		c.counters.add(t.Src, t.Spans)
		if err := c.counters.check(); err != nil {
			return damagedf(c.src.name, "%w", err)
		}
	}
	return nil
}

// writePairs writes a row of the mapping file for each value that was transformed. The
// entry of a dictionary is one value, however many rows refer to it.
func (c *replacedColumn) writePairs() error {
	if c.mapping == nil || c.DryRun {
		return nil
	}
	c.pairs = appendPairs(c.pairs[:0], &c.g.batch)
	return c.mapping.write(c.pairs)
}
