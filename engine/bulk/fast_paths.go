package bulk

import "sync/atomic"

// fastPaths counts the chunks that take each path through the code. Only tests read it: they
// fail if a fast path is no longer reached.
type fastPaths struct {
	rows      atomic.Int64 // the transform wrote whole rows
	scattered atomic.Int64 // the transform wrote results to their final offsets
	copied    atomic.Int64 // results were copied to their final offsets
	slow      atomic.Int64 // value by value
	sameSpans atomic.Int64 // the tokenizer's spans were used unchanged

	withinRow atomic.Int64 // chunks of a file that lie within one row
	readOn    atomic.Int64 // further reads of a file for the end of a chunk's last row
	grown     atomic.Int64 // chunks of a stream that grew for a row
}

// countFastPaths returns the job's counters, or new ones that nobody reads.
func (j *Job) countFastPaths() *fastPaths {
	if j.fastPaths == nil {
		return new(fastPaths)
	}
	return j.fastPaths
}
