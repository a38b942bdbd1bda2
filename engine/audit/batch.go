package audit

import (
	"fmt"
	"io"
	"runtime"
	"strconv"
	"sync"
)

// batchRange is the batches after from up to to, whose sync failed with err.
type batchRange struct {
	from, to uint64
	err      error
}

// maxFailed bounds the failed syncs that are kept for callers that have yet to ask.
// Callers ask right after their batch is written, so this many are enough.
const maxFailed = 64

// waiter is a caller of Append that waits for its batch.
type waiter struct {
	wake  chan signal
	batch uint64
}

// signal ends the wait: the batch was written, or failed, or the waiter must write it.
type signal struct {
	lead bool // the waiter becomes the leader and writes the batch itself
	err  error
}

var waiterPool = sync.Pool{New: func() any { return &waiter{wake: make(chan signal, 1)} }}

// commit returns when the pending records are written and, if sync is set, on disk. It
// is called with l.mu held and unlocks it.
//
// Commits are grouped: one caller at a time, the leader, writes what all others have
// added, and hands the lead to one that came meanwhile.
func (l *Log) commit(sync bool) error {
	w := waiterPool.Get().(*waiter)
	l.waiters = append(l.waiters, w)
	var s signal
	if l.leading {
		l.mu.Unlock()
		s = <-w.wake
		if s.lead {
			s.err = l.writeAsLeader(w)
		}
	} else {
		l.leading = true
		l.mu.Unlock()
		s.err = l.writeAsLeader(w)
	}
	batch := w.batch
	waiterPool.Put(w)
	if s.err != nil || !sync {
		return s.err
	}
	return l.waitSynced(batch)
}

// writeAsLeader writes all pending records as one batch, wakes their waiters, and hands
// the lead to the first waiter that came meanwhile. self is one of the batch's waiters
// and is not woken.
func (l *Log) writeAsLeader(self *waiter) error {
	l.mu.Lock()
	bodies, ends, waiters := l.pending, l.ends, l.waiters
	l.pending, l.ends, l.waiters = l.spareBodies[:0], l.spareEnds[:0], l.spareWaiters[:0]
	l.spareBodies, l.spareEnds, l.spareWaiters = nil, nil, nil
	lost := l.lost
	reopen := l.mustReopen
	l.mustReopen = false
	probe := l.probe || l.err != nil
	l.probe = false
	sign := l.headDue(len(ends))
	l.reserved -= maxFileBytes(len(bodies), len(ends)) // until write returns what is left
	l.mu.Unlock()

	if reopen {
		l.drop()
	}
	reserved, signed, err := l.write(batch{bodies, ends, lost, sign, probe})

	l.mu.Lock()
	l.written++
	l.reserved = reserved
	number := l.written
	if err != nil {
		l.lost += int64(len(ends))
		l.mustReopen = l.mustReopen || reopen
	} else {
		l.lost -= lost
		l.headWritten(len(ends), number, signed)
	}
	if err != nil || !l.mustReopen {
		l.err = err
	}
	if cap(bodies) <= maxRetained {
		l.spareBodies, l.spareEnds = bodies, ends
	}
	l.mu.Unlock()

	for _, w := range waiters {
		w.batch = number
		if w != self {
			w.wake <- signal{err: err}
		}
	}
	clear(waiters)

	l.mu.Lock()
	l.spareWaiters = waiters
	var next *waiter
	if len(l.waiters) > 0 {
		next = l.waiters[0]
	} else {
		l.leading = false
	}
	l.mu.Unlock()
	if next != nil {
		next.wake <- signal{lead: true}
	}
	return err
}

// waitSynced returns when a batch is on disk. The first caller syncs for all batches that
// are written by then.
func (l *Log) waitSynced(batch uint64) error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	for _, f := range l.failed {
		if f.from < batch && batch <= f.to {
			return f.err
		}
	}
	if batch <= l.synced {
		return nil
	}
	l.mu.Lock()
	upTo := l.written
	l.mu.Unlock()
	if l.f == nil {
		// A leader closed it after a failed sync, or could not open the next: see drop.
		return fmt.Errorf("audit: %s: closed before it was synced", l.path)
	}
	return l.syncLocked(upTo)
}

// Bytes of delayed records at which a write starts in the background, and at which
// callers wait for it. On one core a batch delays the requests that come meanwhile: one
// of 64 KiB by 150 to 190 µs, which doubles the 99th percentile at half load; one of
// 24 KiB by half of that or less, for a hundredth more work.
const (
	flushAt = 24 << 10
	blockAt = 256 << 10
)

// maxRetained is the capacity above which a buffer is not reused for the next batch.
const maxRetained = blockAt

// yieldEvery is the number of records hashed between scheduler yields: the digests of a
// full batch take longer than most requests.
const yieldEvery = 16

// flushDelayed writes the pending records and keeps a failure in l.err.
func (l *Log) flushDelayed() {
	l.mu.Lock()
	if l.closed || len(l.ends) == 0 {
		l.mu.Unlock()
		return
	}
	l.commit(false)
}

// syncLocked syncs the file; l.syncing is held.
func (l *Log) syncLocked(upTo uint64) error {
	if err := l.f.Sync(); err != nil {
		// The kernel may have dropped the dirty pages, so a later sync that succeeds
		// proves nothing about them.
		err = fmt.Errorf("audit: syncing %s: %w", l.path, err)
		if len(l.failed) == maxFailed {
			l.failed = append(l.failed[:0], l.failed[1:]...)
		}
		l.failed = append(l.failed, batchRange{l.synced, upTo, err})
		l.synced = upTo
		l.mu.Lock()
		l.mustReopen, l.err = true, err
		l.mu.Unlock()
		return err
	}
	l.synced = upTo
	return nil
}

// drop syncs the file for those who wait for that, and closes it.
func (l *Log) drop() error {
	if l.f == nil {
		return nil
	}
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	upTo := l.written
	l.mu.Unlock()
	var err error
	if upTo > l.synced {
		err = l.syncLocked(upTo)
	}
	if e := l.f.Close(); err == nil && e != nil {
		err = fmt.Errorf("audit: closing %s: %w", l.path, e)
	}
	l.f, l.size, l.reservedTo = nil, -1, 0
	return err
}

// batch is what one write appends.
type batch struct {
	bodies []byte
	ends   []int
	lost   int64 // records that a gap record before the batch counts
	sign   bool  // append a signed head
	probe  bool  // require space for more than this batch: see probeSpace
}

// write appends one batch and returns the bytes reserved on disk after it. On error
// nothing of the batch remains in the file, unless the truncation fails too; the next
// write then marks the rest as torn.
func (l *Log) write(w batch) (reserved int64, signed *Head, err error) {
	if err := l.lockFile(maxFileBytes(len(w.bodies), len(w.ends)+3)); err != nil {
		return 0, nil, err
	}
	defer unlock(l.f)
	if w.probe {
		if err := l.probeSpace(); err != nil {
			return 0, nil, err
		}
	}
	h := l.head
	b := l.line[:0]
	if w.lost > 0 {
		b = h.appendLine(b, l.ownRecord(kindGap, `,"lost":`+strconv.FormatInt(w.lost, 10)), l.sha)
	}
	start := 0
	for i, end := range w.ends {
		if i%yieldEvery == yieldEvery-1 {
			runtime.Gosched()
		}
		b = h.appendLine(b, w.bodies[start:end], l.sha)
		start = end
	}
	if w.sign && h.seq > 0 {
		s, body := l.signHead(h)
		signed = &s
		b = h.appendLine(b, body, l.sha)
	}
	if cap(b) <= 2*maxRetained {
		l.line = b
	}
	if err := l.appendBytes(l.f, b, l.size); err != nil {
		// Cutting off a half-written record also frees the reserved space.
		l.size, l.reservedTo = -1, 0
		return 0, nil, err
	}
	l.head = h
	l.size += int64(len(b))
	return l.reserveAhead(), signed, nil
}

// appendBytes appends b to f, whose size is given. On error it cuts off what was written.
func (l *Log) appendBytes(f file, b []byte, size int64) error {
	if len(b) == 0 {
		return nil
	}
	n, err := f.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("audit: writing %s: %w", l.path, err)
	if n > 0 {
		if e := f.Truncate(size); e != nil {
			err = fmt.Errorf("%w; cutting the half-written record off: %w", err, e)
		}
	}
	return err
}

// ownRecord returns the body of a record that the log itself makes.
func (l *Log) ownRecord(kind, members string) []byte {
	b := append([]byte(nil), `"time":"`...)
	b = l.opt.Now().UTC().AppendFormat(b, timeFormat)
	b = append(b, `","kind":"`...)
	b = append(b, kind...)
	b = append(b, '"')
	return append(b, members...)
}
