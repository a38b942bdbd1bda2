package audit

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Log appends records to a file. It is safe for concurrent use, and other
// processes may append to the same file.
type Log struct {
	path   string
	opt    Options
	opened uint64 // number of the last record when the log was opened

	mu      sync.Mutex // guards the fields up to publishers
	pending []byte     // bodies of records to write, one after the other
	ends    []int      // end of each body in pending
	clock   clock
	waiters []*waiter // for pending
	// Buffers of the last batch, for reuse.
	spareBodies  []byte
	spareEnds    []int
	spareWaiters []*waiter
	leading      bool // a goroutine is writing
	timer        *time.Timer
	closed       bool
	written      uint64      // number of the last batch written
	lost         int64       // records that could not be written since the last gap record
	reserved     int64       // bytes reserved on disk for pending; see spaceReserved
	noReserve    atomic.Bool // the file system cannot reserve space
	mustReopen   bool        // a sync failed
	err          error       // of the last attempt to write or sync
	probe        bool        // the next batch must check for free space
	unsigned     int         // records since the last head that this process signed
	lastHead     time.Time
	headNow      bool // the next batch ends with a head
	headTimer    *time.Timer
	headTimed    bool // headTimer is running
	headErr      error
	toPublish    *Head // newest head that is not in the heads file
	publishBatch uint64
	publishing   bool
	publishers   sync.WaitGroup

	// Only the leader uses these; it also holds syncing when it changes f.
	f             file
	size          int64 // of f after our last write; -1: unknown
	reservedTo    int64 // offset in f up to which space is reserved
	reserveFailed time.Time
	head          head
	line          []byte
	sha           hash.Hash

	syncing sync.Mutex
	synced  uint64       // number of the last batch that a sync covered
	failed  []batchRange // batches whose sync failed
}

// Open opens a log for appending, and creates it if there is none. A line that a crash
// left torn at its end is followed by a "recovered" record. If the file is missing or
// empty and rotated files are beside it, the log continues their chain. Errors: ErrBroken,
// and those of the system.
func Open(path string, opt Options) (*Log, error) {
	abs, err := filepath.Abs(path) // the process may change its directory
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.HeadEvery <= 0 {
		opt.HeadEvery = defaultHeadEvery
	}
	if opt.HeadPeriod <= 0 {
		opt.HeadPeriod = defaultHeadPeriod
	}
	l := &Log{path: abs, opt: opt, size: -1, sha: sha256.New()}
	if err := l.lockFile(0); err != nil {
		return nil, err
	}
	l.reserved, l.opened = l.reserveAhead(), l.head.seq
	if err := unlock(l.f); err != nil {
		l.f.Close()
		return nil, fmt.Errorf("audit: %s: %w", abs, err)
	}
	return l, nil
}

// Opened returns the number of the last record when the log was opened. A signed head of
// a later record means that the log was cut or replaced.
func (l *Log) Opened() uint64 { return l.opened }

// Append adds a record. After it returns nil, the record is on disk if r.Sync is set;
// otherwise the system has it, or it is pending within [Options.Delay]. Concurrent calls
// share one write and one sync. After an error other than ErrRecord, a gap record counts
// the record as soon as the log can be written again; after a failed sync the record may
// be in the log all the same. Append does not allocate for each record.
func (l *Log) Append(r Record) error {
	if err := r.check(); err != nil {
		return err
	}
	now := r.Time
	if now.IsZero() {
		now = l.opt.Now()
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.headNow = l.headNow || r.Head
	before := len(l.pending)
	l.pending = r.appendBody(l.pending, now, &l.clock)
	l.ends = append(l.ends, len(l.pending))
	if l.opt.Delay > 0 && !r.Sync && l.err == nil && len(l.pending) < blockAt && l.spaceReserved() {
		switch {
		case l.timer == nil:
			l.timer = time.AfterFunc(l.opt.Delay, l.flushDelayed)
		case before == 0:
			l.timer.Reset(l.opt.Delay)
		case before < flushAt && len(l.pending) >= flushAt:
			l.timer.Reset(0)
		}
		l.mu.Unlock()
		return nil
	}
	return l.commit(r.Sync)
}

// Reopen closes the file and opens, or creates, the one that now has its name, so that a
// rotated file can be moved away at once. The next Append would notice the renamed file
// as well.
func (l *Log) Reopen() error { return l.reopenAndFlush() }

// Err returns the error of the last attempt to write or sync, nil when it
// succeeded.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	return l.err
}

// Check returns nil if the log can be written, as far as is known. After a failure it
// tries, by writing the gap record, and requires space for many more records. It also
// returns an error if the disk is full while reserved space is left; that space is for
// the records of calls that are refused from then on.
func (l *Log) Check() error {
	l.mu.Lock()
	switch {
	case l.closed:
		l.mu.Unlock()
		return ErrClosed
	case l.err != nil:
		l.mu.Unlock()
		return l.reopenAndFlush()
	case l.opt.Delay > 0 && l.reserved == 0 && !l.noReserve.Load():
		l.probe = true
		if err := l.commit(false); err != nil {
			return err
		}
		// The probe may have succeeded only because of reserved space.
	default:
		l.mu.Unlock()
	}
	if n, err := freeSpace(filepath.Dir(l.path)); err == nil && n < minFreeSpace {
		return fmt.Errorf("audit: %s: its disk is full: %d bytes are free", l.path, n)
	}
	return nil
}

// reopenAndFlush opens the file again and writes the pending records and a gap record
// that is due.
func (l *Log) reopenAndFlush() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.mustReopen = true
	return l.commit(true)
}

// Close writes and syncs the pending records and closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	if l.headTimer != nil {
		l.headTimer.Stop()
	}
	var err error
	if len(l.ends) > 0 || l.unsigned > 0 || l.lost > 0 || l.err != nil {
		l.headNow = true
		err = l.commit(true)
	} else {
		l.mu.Unlock() // everything is on disk under a head, or drop syncs it
	}
	// Appends that began before must end before the file is closed.
	for {
		l.mu.Lock()
		if !l.leading && len(l.ends) == 0 {
			break
		}
		l.commit(false)
	}
	l.closed = true
	l.mu.Unlock()
	l.publishers.Wait()
	if err == nil {
		err = l.headErr
	}
	if e := l.drop(); err == nil {
		err = e
	}
	return err
}
