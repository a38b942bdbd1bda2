package bulk

// ColumnCount is what a run met of one column, for the summary.
type ColumnCount struct {
	Name string `json:"name"`
	// JSON: rows that have no value at the path; nulls there, or on the way to it;
	// and values that passed as they were, for Job.AllowOther.
	Missing int64 `json:"missing"`
	Null    int64 `json:"null"`
	Other   int64 `json:"other_shapes"`
}

// columnTally is ColumnCount for a chunk, or a run so far.
type columnTally struct {
	Missing int64 `json:"missing,omitempty"`
	Null    int64 `json:"null,omitempty"`
	Other   int64 `json:"other,omitempty"`
}

// addColumns returns the sums of t and u in a slice of their own: marks hold the
// old one.
func addColumns(t, u []columnTally) []columnTally {
	sum := make([]columnTally, max(len(t), len(u)))
	copy(sum, t)
	for i, c := range u {
		sum[i].Missing += c.Missing
		sum[i].Null += c.Null
		sum[i].Other += c.Other
	}
	return sum
}

// addColumns adds the columns of one input, whose names are given, to the summary.
func (s *Summary) addColumns(names []string, t []columnTally) {
	for i, name := range names {
		k := 0
		for k < len(s.Columns) && s.Columns[k].Name != name {
			k++
		}
		if k == len(s.Columns) {
			s.Columns = append(s.Columns, ColumnCount{Name: name})
		}
		if i < len(t) {
			s.Columns[k].Missing += t[i].Missing
			s.Columns[k].Null += t[i].Null
			s.Columns[k].Other += t[i].Other
		}
	}
}
