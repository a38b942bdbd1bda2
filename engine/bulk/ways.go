package bulk

import "sync/atomic"

// ways counts how often chunks take each path through the code. Only tests read it: they fail
// if a fast path is no longer reached. A counter rises once a chunk.
type ways struct {
	rows      atomic.Int64 // the transform wrote whole rows
	placed    atomic.Int64 // the transform wrote results to their final offsets
	copied    atomic.Int64 // results were copied to their final offsets
	slow      atomic.Int64 // value by value
	sameSpans atomic.Int64 // the tokenizer's spans were used unchanged

	within atomic.Int64 // chunks of a file that lie within a row
	beyond atomic.Int64 // further reads of a file for the end of a chunk's last row
	grown  atomic.Int64 // chunks of a stream that grew for a row
}

// countWays returns the counters of the job.
func (j *Job) countWays() *ways {
	if j.ways == nil {
		return new(ways)
	}
	return j.ways
}
