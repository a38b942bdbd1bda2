package bulk

import (
	"time"
)

// add adds what was done to one input. Tallies of a resumed run hold what the
// run before did.
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

// progress tells how far the run is, a few times a second.
func (r *run) progress(v *pipeline, at mark, last bool) {
	if r.Progress == nil {
		return
	}
	now := time.Now()
	if !last && now.Sub(r.lastTo) < 100*time.Millisecond {
		return
	}
	r.lastTo = now
	rows := r.sum.Rows
	if !last { // a finished input is in the sum already
		rows += at.Tally.Rows
	}
	total := v.src.size
	if v.src.at != nil {
		total = v.hi - v.from
	} else if v.src.info != nil && v.src.info.Mode().IsRegular() {
		total = v.src.info.Size()
	}
	r.Progress(Progress{File: v.src.name, Bytes: v.bytesIn(), Total: total, Rows: rows, Elapsed: now.Sub(r.started)})
}
