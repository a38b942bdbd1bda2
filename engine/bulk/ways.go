package bulk

import "sync/atomic"

// ways counts the ways that chunks have gone, for tests: one that no longer reaches
// a fast way must fail. A count goes up once a chunk.
type ways struct {
	rows      atomic.Int64 // written row by row by the transform, as nothing stands between the values
	placed    atomic.Int64 // results written to their places
	copied    atomic.Int64 // results copied to their places
	slow      atomic.Int64 // value by value
	sameSpans atomic.Int64 // the tokenizer's positions served as they were

	within atomic.Int64 // chunks of a file that lie within a row
	beyond atomic.Int64 // further reads of a file for the end of a chunk's last row
	grown  atomic.Int64 // chunks of a stream that grew for a row
}

// countWays returns where the chunks of the job are counted.
func (j *Job) countWays() *ways {
	if j.ways == nil {
		return new(ways)
	}
	return j.ways
}
