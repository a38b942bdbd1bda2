package audit

import (
	"fmt"
	"io"
	"runtime"
	"strconv"
	"sync"
)

// span is the batches after from, up to to.
type span struct {
	from, to uint64
	err      error
}

// maxFailed is how many failed syncs are remembered for callers that have not
// asked yet. They ask at once; a log that failed so often has other worries.
const maxFailed = 64

// caller waits for a batch.
type caller struct {
	wake  chan signal
	batch uint64
}

type signal struct {
	lead bool // nobody wrote the record yet: take over
	err  error
}

var callerPool = sync.Pool{New: func() any { return &caller{wake: make(chan signal, 1)} }}

// commit sees to it that what waits is written, and unlocks l.mu, which is held
// when it is called.
func (l *Log) commit(sync bool) error {
	c := callerPool.Get().(*caller)
	l.callers = append(l.callers, c)
	var s signal
	if l.leading {
		l.mu.Unlock()
		s = <-c.wake
		if s.lead {
			s.err = l.lead(c)
		}
	} else {
		l.leading = true
		l.mu.Unlock()
		s.err = l.lead(c)
	}
	batch := c.batch
	callerPool.Put(c)
	if s.err != nil || !sync {
		return s.err
	}
	return l.waitSynced(batch)
}

// lead writes everything that waits as one batch, tells those who wait for it,
// and hands the lead to the first of those who came meanwhile. self is among
// the batch's callers and is not told.
func (l *Log) lead(self *caller) error {
	l.mu.Lock()
	bodies, ends, callers := l.pending, l.ends, l.callers
	l.pending, l.ends, l.callers = l.spare[:0], l.spareN[:0], l.spareC[:0]
	l.spare, l.spareN, l.spareC = nil, nil, nil
	lost := l.lost
	reopen := l.bad
	l.bad = false
	probe := l.probe || l.err != nil
	l.probe = false
	sign := l.headDue(len(ends))
	l.reserved -= sized(len(bodies), len(ends)) // until it is known what is left
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
		l.bad = l.bad || reopen
	} else {
		l.lost -= lost
		l.headWritten(len(ends), number, signed)
	}
	if err != nil || !l.bad {
		l.err = err
	}
	if cap(bodies) <= maxRetained {
		l.spare, l.spareN = bodies, ends
	}
	l.mu.Unlock()

	for _, c := range callers {
		c.batch = number
		if c != self {
			c.wake <- signal{err: err}
		}
	}
	clear(callers)

	l.mu.Lock()
	l.spareC = callers
	var next *caller
	if len(l.callers) > 0 {
		next = l.callers[0]
	} else {
		l.leading = false
	}
	l.mu.Unlock()
	if next != nil {
		next.wake <- signal{lead: true}
	}
	return err
}

// waitSynced returns when a batch is on disk. Whoever comes first syncs for all
// that is written by then.
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
		// Dropped by a leader that could not sync it, or could not open the
		// next: see drop.
		return fmt.Errorf("audit: %s: closed before it was synced", l.path)
	}
	return l.syncLocked(upTo)
}

// Bytes of delayed records: so many start a write, which none of their callers
// waits for, and so many make callers wait for it. On one core a batch holds up the
// requests that come meanwhile: one of 64 KiB for 150 to 190 µs, which doubles the
// 99th percentile at half load; one of 24 KiB takes half of that or less, for a
// hundredth more work.
const (
	flushAt = 24 << 10
	blockAt = 256 << 10
)

// maxRetained is how large a buffer may be that is kept for the next batch.
const maxRetained = blockAt

// yieldEvery is after how many records of a batch whoever else is ready to run goes
// first: the digests of a full batch take longer than most requests.
const yieldEvery = 16

// flushDelayed writes what waits; a failure is kept in l.err.
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
		// The system may have thrown the pages away: a second sync that
		// succeeds would prove nothing of them.
		err = fmt.Errorf("audit: syncing %s: %w", l.path, err)
		if len(l.failed) == maxFailed {
			l.failed = append(l.failed[:0], l.failed[1:]...)
		}
		l.failed = append(l.failed, span{l.synced, upTo, err})
		l.synced = upTo
		l.mu.Lock()
		l.bad, l.err = true, err
		l.mu.Unlock()
		return err
	}
	l.synced = upTo
	return nil
}

// drop closes the file, after a sync so that those who wait for one get it.
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
	lost   int64 // records to count in a gap record before
	sign   bool  // a signed head is to end it
	probe  bool  // only if there is room for more than this batch: see needRoom
}

// write appends one batch, and returns how much space is set aside behind it. On
// error nothing of it is left in the file, unless the system refuses to cut it
// off; then the next write closes it off as torn.
func (l *Log) write(w batch) (reserved int64, signed *Head, err error) {
	if err := l.acquire(sized(len(w.bodies), len(w.ends)+3)); err != nil {
		return 0, nil, err
	}
	defer unlock(l.f)
	if w.probe {
		if err := l.needRoom(); err != nil {
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
		// What was set aside is gone when a half-written record was cut off.
		l.size, l.reservedTo = -1, 0
		return 0, nil, err
	}
	l.head = h
	l.size += int64(len(b))
	return l.reserveAhead(), signed, nil
}

// appendBytes writes b at the end of f, which has the size given, or nothing.
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

// ownRecord is the body of a record of the log's own.
func (l *Log) ownRecord(kind, members string) []byte {
	b := append([]byte(nil), `"time":"`...)
	b = l.opt.Now().UTC().AppendFormat(b, timeFormat)
	b = append(b, `","kind":"`...)
	b = append(b, kind...)
	b = append(b, '"')
	return append(b, members...)
}
