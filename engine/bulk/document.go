package bulk

import (
	"context"

	"github.com/velonym/velonym/engine/bulk/internal/hyperloglog"
)

// Policy document counts how often each value came before in the whole run. Its chunks are
// therefore transformed in the order of the input, and its memory grows with the number of
// different values. The counters are identifiers and stay in memory: a resumed run counts
// again.

// documentWorker finds values in parallel and transforms them in the order of the input.
type documentWorker struct {
	finder
	counters *counters
	found    bool
}

// finder is a worker whose two steps, finding and replacing, can run separately.
type finder interface {
	find(c *chunk) bool
	splice(ctx context.Context, c *chunk)
	// counted calls f with the values of the chunk that policy document has counted.
	counted(f func(src []byte, spans []uint32))
}

func (w *documentWorker) work(_ context.Context, c *chunk) { w.found = w.find(c) }

func (w *documentWorker) inOrder(ctx context.Context, c *chunk) {
	if !w.found {
		return
	}
	w.splice(ctx, c)
	if c.err != nil || c.fail != nil {
		return
	}
	w.counted(w.counters.add)
	c.fail = w.counters.check()
}

func (s *splicer) counted(f func(src []byte, spans []uint32)) {
	for _, g := range s.groups {
		if g.batch.Doc != nil {
			f(g.batch.Src, g.batch.Spans)
		}
	}
}

// counters estimates the memory of the counters of policy document. Each distinct value
// costs bytesPerValue for its record and table slot, and 1.5 times its length for its
// text. One goroutine uses it at a time.
type counters struct {
	seen          *hyperloglog.Counter
	values, bytes int64
	limit         int64
}

const bytesPerValue = 64

func (c *counters) add(src []byte, spans []uint32) {
	c.seen.Add(src, spans, false)
	for i := 1; i < len(spans); i += 2 {
		if spans[i] > 0 {
			c.values++
			c.bytes += int64(spans[i])
		}
	}
}

// check returns a CountersError if the estimate exceeds the limit.
func (c *counters) check() error {
	if c.values == 0 || c.values*bytesPerValue+c.bytes*3/2 < c.limit {
		return nil // even if all values are different
	}
	n := c.seen.Estimate()
	if n*bytesPerValue+n*c.bytes/c.values*3/2 <= c.limit {
		return nil
	}
	return &refusal{&CountersError{n, c.limit}}
}
