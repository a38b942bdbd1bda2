package bulk

// ColumnCount holds the counts of one column for the summary.
type ColumnCount struct {
	Name string `json:"name"` // as requested: a name, path or number (#2)
	// JSON: rows without a value at the path; nulls at the path or on the way to it;
	// and values that Job.AllowOther passed unchanged.
	Missing int64 `json:"missing,omitempty"`
	Null    int64 `json:"null,omitempty"`
	Other   int64 `json:"other_shapes,omitempty"`

	// Type says, of a column whose type in the output is another than in the input, which
	// one it was and why, or that it has the type back that it had before pseudonymisation.
	Type string `json:"type,omitempty"`

	Values int64 `json:"values"` // replaced
	Empty  int64 `json:"empty"`  // empty values and placeholders, passed through; nulls too
	Errors int64 `json:"errors"` // not transformed
}

// columnTally is ColumnCount for a chunk or for a run so far. Empty excludes nulls.
type columnTally struct {
	Missing int64 `json:"missing,omitempty"`
	Null    int64 `json:"null,omitempty"`
	Other   int64 `json:"other,omitempty"`
	Values  int64 `json:"values,omitempty"`
	Empty   int64 `json:"empty,omitempty"`
	Errors  int64 `json:"errors,omitempty"`
}

// addColumns returns the sums of t and u in a new slice, because checkpoints still refer to
// the old one.
func addColumns(t, u []columnTally) []columnTally {
	sum := make([]columnTally, max(len(t), len(u)))
	copy(sum, t)
	for i, c := range u {
		sum[i].Missing += c.Missing
		sum[i].Null += c.Null
		sum[i].Other += c.Other
		sum[i].Values += c.Values
		sum[i].Empty += c.Empty
		sum[i].Errors += c.Errors
	}
	return sum
}

// column returns the chunk's counts of one of its columns, of which there are n.
func (t *tally) column(i, n int) *columnTally {
	for len(t.Columns) < n {
		t.Columns = append(t.Columns, columnTally{})
	}
	return &t.Columns[i]
}

// countColumns adds the counts of an input, in the column order of rf, to the summary.
func (r *run) countColumns(t tally, rf *rowFormat) {
	r.needColumns()
	for i, c := range t.Columns {
		r.sum.Columns[rf.order[i]].add(c)
	}
}

// countJobColumns is countColumns for counts in the order of Job.Columns.
func (r *run) countJobColumns(t tally) {
	r.needColumns()
	for i, c := range t.Columns {
		r.sum.Columns[i].add(c)
	}
}

// needColumns allocates the counts by column of the summary.
func (r *run) needColumns() {
	for i := len(r.sum.Columns); i < len(r.Columns); i++ {
		c := &r.Columns[i]
		name := c.Name
		if c.Number != 0 {
			name = c.label()
		}
		r.sum.Columns = append(r.sum.Columns, ColumnCount{Name: name})
	}
}

func (c *ColumnCount) add(t columnTally) {
	c.Missing += t.Missing
	c.Null += t.Null
	c.Other += t.Other
	c.Values += t.Values
	c.Empty += t.Empty + t.Null
	c.Errors += t.Errors
}

// replacedNothing returns an error if no value of a column could be transformed with
// OnError Null. The project is most likely the wrong one, and the column would be empty.
func (r *run) replacedNothing() error {
	if r.OnError == Fail || r.DryRun {
		return nil
	}
	for _, c := range r.sum.Columns {
		if c.Values > 0 || c.Errors == 0 {
			continue
		}
		if r.OnError == Keep {
			r.warn("column %s: none of its values could be transformed: %d failed", quoteName(c.Name), c.Errors)
			continue
		}
		return &refusal{&NothingReplacedError{c.Name, c.Errors}}
	}
	return nil
}

// countValues counts the values of a chunk by column: n values in all, of which
// empty are empty ones, and those in s.bad failed.
func (s *splicer) countValues(c *chunk, n, empty int) {
	cols := len(s.owner)
	t := &c.tally
	t.column(0, cols)
	switch {
	case cols == 1:
		t.Columns[0].Values += int64(n)
	case s.path != nil:
		for _, p := range s.path {
			t.Columns[p].Values++
		}
	default:
		for i := range cols {
			t.Columns[i].Values += int64(n / cols)
		}
	}
	switch {
	case empty == 0:
	case cols == 1:
		t.Columns[0].Values -= int64(empty)
		t.Columns[0].Empty += int64(empty)
	default:
		s.countEmpty(t)
	}
	if s.passed > 0 { // repeated headers are not values
		for i := range cols {
			t.Columns[i].Empty -= int64(s.passed / cols)
		}
	}
	for _, b := range s.bad {
		t.Columns[b.column].Values--
		t.Columns[b.column].Errors++
	}
}

// countEmpty counts the empty values by column.
func (s *splicer) countEmpty(t *tally) {
	for _, g := range s.groups {
		g.next = 0
	}
	blank := false
	for _, g := range s.groups {
		blank = blank || g.blank() > 0
	}
	forced := s.forced
	for v := range len(s.spans) / 2 {
		col := s.column(v)
		g := s.groups[s.owner[col]]
		value := g.batch.Spans[2*g.next : 2*g.next+2]
		none := value[1] == 0 || blank && g.plan != nil && g.plan.Blank(g.batch.Src, value) > 0
		g.next++
		if len(forced) > 0 && forced[0] == v {
			none, forced = false, forced[1:]
		}
		if none {
			t.Columns[col].Values--
			t.Columns[col].Empty++
		}
	}
}
