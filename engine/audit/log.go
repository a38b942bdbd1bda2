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

	mu      sync.Mutex
	pending []byte // bodies of records to write, one after the other
	ends    []int  // where each ends
	clock   clock
	callers []*caller // who waits for them
	spare   []byte    // waiting, ends and callers of the batch before, to be reused
	spareN  []int
	spareC  []*caller
	leading bool // a goroutine is writing
	timer   *time.Timer
	closed  bool
	written uint64 // number of the last batch written
	lost    int64  // records that could not be written since the last gap record
	// Bytes set aside on disk for what waits; see covered.
	reserved     int64
	noReserve    atomic.Bool // the file system cannot
	bad          bool        // a sync failed: the file must be opened again
	err          error       // of the last attempt to write or sync
	probe        bool        // the next batch is to see whether there is room
	unsigned     int         // records since the last head that this process signed
	lastHead     time.Time
	headNow      bool // the next batch ends with a head
	headTimer    *time.Timer
	headTimed    bool // headTimer runs
	headErr      error
	toPublish    *Head // newest head that is not in the heads file yet
	publishBatch uint64
	publishing   bool
	publishers   sync.WaitGroup

	// For the goroutine that leads, and under syncing where it changes f.
	f    file
	size int64 // of f at the end of our last write; -1: unknown
	// The offset in f up to which space is set aside.
	reservedTo    int64
	reserveFailed time.Time // last
	head          head
	line          []byte
	sha           hash.Hash

	syncing sync.Mutex
	synced  uint64 // number of the last batch that a sync covered
	failed  []span // batches among those, or after them, whose sync failed
}

// Open opens a log for appending, and makes it when there is none. A line that
// a crash left torn at its end is closed off with a record that says so. When
// the file is missing or empty and rotated files of it are in the same folder,
// their chain is continued. Errors: ErrBroken, and those of the system.
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
	if err := l.acquire(0); err != nil {
		return nil, err
	}
	l.reserved, l.opened = l.reserveAhead(), l.head.seq
	err = unlock(l.f)
	if err == nil {
		err = l.f.Sync()
	}
	if err == nil {
		err = syncDir(filepath.Dir(abs))
	}
	if err != nil {
		l.f.Close()
		return nil, fmt.Errorf("audit: %s: %w", abs, err)
	}
	return l, nil
}

// Opened returns the number of the last record that the log had when it was opened. A
// signed head of a later one means that the log was cut or begun anew.
func (l *Log) Opened() uint64 { return l.opened }

// Append adds a record. When it returns nil, the record is on disk if r.Sync is
// set, and otherwise with the system, or waiting if [Options.Delay] lets it.
// Many concurrent calls share one write and one sync. When it returns an error
// other than ErrRecord, the record is counted in a gap record as soon as the
// log can be written again; after a failed sync it may stand in the log all the
// same. Memory is allocated for writes, not for records.
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
	before := len(l.pending)
	l.pending = r.appendBody(l.pending, now, &l.clock)
	l.ends = append(l.ends, len(l.pending))
	if l.opt.Delay > 0 && !r.Sync && l.err == nil && len(l.pending) < blockAt && l.covered() {
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

// Reopen closes the file and opens the one that now has its name, making it if
// need be, so that a rotated file can be taken away at once. Appends notice a
// renamed file by themselves; Reopen only makes them do so now.
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

// Check returns nil when the log can be written as far as is known. After a
// failure it tries, by writing the gap record that is due, and finds the log
// writable only when there is room for many more. It also returns an error when the
// disk is full though space that was set aside is left: records still find room there,
// as those of calls that are refused from then on.
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
		// The probe may have found its room in what this log set aside before.
	default:
		l.mu.Unlock()
	}
	if n, err := freeSpace(filepath.Dir(l.path)); err == nil && n < roomNeeded {
		return fmt.Errorf("audit: %s: its disk is full: %d bytes are free", l.path, n)
	}
	return nil
}

// reopenAndFlush writes what waits, if only a gap record, to a file opened anew.
func (l *Log) reopenAndFlush() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.bad = true
	return l.commit(true)
}

// Close writes and syncs what waits, and closes the file.
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
	l.headNow = true
	err := l.commit(true)
	// Appends that were let in before are finished before the file goes.
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
