package bulk

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/velonym/velonym/internal/panics"
)

// share limits v, which is set up for the whole file, to the i-th of n shares: the rows whose
// preceding byte lies in the i-th of n equal pieces of the file. Whether a piece starts
// within quotes depends on all bytes before it, so share reads those to count their quotes
// and lines.
func (v *pipeline) share(ctx context.Context, i, n, workers int) error {
	start, end := v.shareStart, v.shareEnd
	size := end - start
	cutAt := func(k int) int64 {
		return start + size/int64(n)*int64(k) + size%int64(n)*int64(k)/int64(n)
	}
	v.shareStart, v.shareEnd = cutAt(i-1), cutAt(i)
	if i == 1 {
		return nil
	}
	v.from = v.shareStart
	v.read.Store(0)
	v.midRow = true
	inside, lines, err := v.countQuotes(ctx, start, v.shareStart, workers)
	if err != nil {
		return err
	}
	v.begin.Inside = inside
	v.begin.Tally.Lines += lines
	// Line numbers count from the first row of the share.
	rest := make([]byte, 0, 64<<10)
	in := inside
	for at := v.shareStart; ; {
		rest = rest[:cap(rest)]
		k, err := v.pread(rest, at)
		if err != nil {
			return err
		}
		rest = rest[:k]
		e := v.cut.FirstRowEnd(rest, in)
		if e < 0 && k > 0 {
			v.begin.Tally.Lines += int64(bytes.Count(rest, lf))
			in = in != v.cut.Parity(rest)
			at += int64(k)
			if at-v.shareStart > v.max {
				return nil // the previous share reports the error
			}
			continue
		}
		v.begin.Tally.Lines += int64(bytes.Count(rest[:max(e, 0)], lf))
		v.begin.In = at + int64(max(e, 0))
		return nil
	}
}

// countQuotes reads [from, to) and returns whether it holds an odd number of quotes, and the
// number of its line feeds.
func (v *pipeline) countQuotes(ctx context.Context, from, to int64, workers int) (odd bool, lines int64, err error) {
	const piece = 1 << 20
	var next, count, quotes atomic.Int64
	next.Store(from)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var broken error
			defer func() {
				if broken != nil {
					mu.Lock()
					err = broken
					mu.Unlock()
					next.Store(to)
				}
			}()
			defer panics.Recover(&broken)
			buf := make([]byte, piece)
			for ctx.Err() == nil {
				at := next.Add(piece) - piece
				if at >= to {
					return
				}
				b := buf[:min(piece, to-at)]
				k, e := v.pread(b, at)
				if e == nil && k < len(b) {
					e = fmt.Errorf("%s: %w: it became shorter while it was read", v.src.name, ErrChanged)
				}
				if e != nil {
					mu.Lock()
					err = e
					mu.Unlock()
					next.Store(to)
					return
				}
				count.Add(int64(bytes.Count(b, lf)))
				if v.cut.Parity(b) {
					quotes.Add(1)
				}
			}
		}()
	}
	wg.Wait()
	if err == nil && ctx.Err() != nil {
		err = ErrInterrupted
	}
	return quotes.Load()&1 == 1, count.Load(), err
}
