package bulk

import (
	"time"
)

// add adds the counts of one input. The tally of a resumed run includes those of the
// interrupted one.
func (s *Summary) add(t tally, out int64) {
	s.Known += t.Known
	s.RepeatedHeaders += t.Headers
	s.Rows += t.Rows
	s.Values += t.Values
	s.Empty += t.Empty
	s.Errors += t.Errors
	s.Rejected += t.Rejected
	s.BytesOut += out
}

// progress calls Job.Progress, at most ten times a second unless last is set.
func (r *run) progress(v *pipeline, at checkpoint, last bool) {
	if r.Progress == nil {
		return
	}
	now := time.Now()
	if !last && now.Sub(r.lastTo) < 100*time.Millisecond {
		return
	}
	r.lastTo = now
	rows := r.sum.Rows
	if !last { // the summary already includes a finished input
		rows += at.Tally.Rows
	}
	total := v.src.size
	if v.src.at != nil {
		total = v.shareEnd - v.from
	} else if v.src.info != nil && v.src.info.Mode().IsRegular() {
		total = v.src.info.Size()
	}
	r.Progress(Progress{File: v.src.name, Bytes: v.bytesIn(), Total: total, Rows: rows, Elapsed: now.Sub(r.started)})
}
