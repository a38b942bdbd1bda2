package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"time"
)

// Options of a log. The zero value is a log that is never rotated, and whose
// records are handed to the system before Append returns.
type Options struct {
	// MaxSize rotates the file before it would grow beyond so many bytes: it
	// is renamed to its name, a dot and the number of its last record in
	// twelve digits. 0 means never.
	MaxSize int64

	// Delay lets records without Sync wait in memory for so long, or until
	// 24 KiB are waiting or a record with Sync comes; a crash of the process
	// loses them. Append then returns before they are written, unless 256 KiB
	// are waiting. The space that they will take is set aside on the disk
	// before (fallocate), so that a full disk refuses the first call; where that
	// cannot be done, as on a disk with little space, on NFS before 4.2 and on
	// other systems than Linux, Append returns when its record is written.
	// Another failure shows in [Log.Err], in later calls and as a gap record.
	// 0 means no delay.
	Delay time.Duration

	// Now is the clock; time.Now when nil.
	Now func() time.Time

	// Signer signs heads: see [Head]. Nil: none are signed.
	Signer Signer
	// A head is signed after HeadEvery records (0: 1,000), though at most once a
	// second, at the latest HeadPeriod (0: 30 s) after a record, and by Close.
	HeadEvery  int
	HeadPeriod time.Duration
	// OnHead gets every head when it is on disk and in the heads file, in order,
	// to keep it elsewhere too; nil: nobody does.
	OnHead func(Head) error
	// HeadFailed gets the error of a head that could not be kept. The next one
	// covers the same records. Nil: only Close tells.
	HeadFailed func(error)
}

// Bytes of delayed records: so many start a write, which none of their callers
// waits for, and so many make callers wait for it. On one core a batch holds up the
// requests that come meanwhile: one of 64 KiB for 150 to 190 µs, which doubles the
// 99th percentile at half load; one of 24 KiB takes half of that or less, for a
// hundredth more work.
const (
	maxWaiting = 24 << 10
	maxBehind  = 256 << 10
)

// maxSpare is how large a buffer may be that is kept for the next batch.
const maxSpare = maxBehind

// lettingGo is after how many records of a batch whoever else is ready to run goes
// first: the digests of a full batch take longer than most requests.
const lettingGo = 16

// Log appends records to a file. It is safe for concurrent use, and other
// processes may append to the same file.
type Log struct {
	path string
	opt  Options

	mu      sync.Mutex
	waiting []byte // bodies of records to write, one after the other
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
	bad          bool  // a sync failed: the file must be opened again
	err          error // of the last attempt to write or sync
	unsigned     int   // records since the last head that this process signed
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
	reservedTo int64
	head       head
	line       []byte
	sha        hash.Hash

	syncing sync.Mutex
	synced  uint64 // number of the last batch that a sync covered
	failed  []span // batches among those, or after them, whose sync failed
}

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
	l.reserved = l.reserveAhead()
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
	before := len(l.waiting)
	l.waiting = r.appendBody(l.waiting, now, &l.clock)
	l.ends = append(l.ends, len(l.waiting))
	if l.opt.Delay > 0 && !r.Sync && len(l.waiting) < maxBehind && l.covered() {
		switch {
		case l.timer == nil:
			l.timer = time.AfterFunc(l.opt.Delay, l.flushDelayed)
		case before == 0:
			l.timer.Reset(l.opt.Delay)
		case before < maxWaiting && len(l.waiting) >= maxWaiting:
			l.timer.Reset(0)
		}
		err := l.err
		l.mu.Unlock()
		return err
	}
	return l.wait(r.Sync)
}

// flushDelayed writes what waits; a failure is kept in l.err.
func (l *Log) flushDelayed() {
	l.mu.Lock()
	if l.closed || len(l.ends) == 0 {
		l.mu.Unlock()
		return
	}
	l.wait(false)
}

// wait sees to it that what waits is written, and unlocks l.mu, which is held
// when it is called.
func (l *Log) wait(sync bool) error {
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
	return l.settle(batch)
}

// lead writes everything that waits as one batch, tells those who wait for it,
// and hands the lead to the first of those who came meanwhile. self is among
// the batch's callers and is not told.
func (l *Log) lead(self *caller) error {
	l.mu.Lock()
	bodies, ends, callers := l.waiting, l.ends, l.callers
	l.waiting, l.ends, l.callers = l.spare[:0], l.spareN[:0], l.spareC[:0]
	l.spare, l.spareN, l.spareC = nil, nil, nil
	lost := l.lost
	reopen := l.bad
	l.bad = false
	sign := l.headDue(len(ends))
	l.reserved -= sized(len(bodies), len(ends)) // until it is known what is left
	l.mu.Unlock()

	if reopen {
		l.drop()
	}
	reserved, signed, err := l.write(bodies, ends, lost, sign)

	l.mu.Lock()
	l.written++
	l.reserved = reserved
	batch := l.written
	if err != nil {
		l.lost += int64(len(ends))
		l.bad = l.bad || reopen
	} else {
		l.lost -= lost
		l.headWritten(len(ends), batch, signed)
	}
	if err != nil || !l.bad {
		l.err = err
	}
	if cap(bodies) <= maxSpare {
		l.spare, l.spareN = bodies, ends
	}
	l.mu.Unlock()

	for _, c := range callers {
		c.batch = batch
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

// settle returns when a batch is on disk. Whoever comes first syncs for all
// that is written by then.
func (l *Log) settle(batch uint64) error {
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

// write appends one batch, with a signed head at its end if that is wanted, and
// returns how much space is set aside behind it. On
// error nothing of it is left in the file, unless the system refuses to cut it
// off; then the next write closes it off as torn.
func (l *Log) write(bodies []byte, ends []int, lost int64, sign bool) (reserved int64, signed *Head, err error) {
	if err := l.acquire(sized(len(bodies), len(ends)+3)); err != nil {
		return 0, nil, err
	}
	defer unlock(l.f)
	h := l.head
	b := l.line[:0]
	if lost > 0 {
		b = h.appendLine(b, l.note(kindGap, `,"lost":`+strconv.FormatInt(lost, 10)), l.sha)
	}
	start := 0
	for i, end := range ends {
		if i%lettingGo == lettingGo-1 {
			runtime.Gosched()
		}
		b = h.appendLine(b, bodies[start:end], l.sha)
		start = end
	}
	if sign && h.seq > 0 {
		s, body := l.signHead(h)
		signed = &s
		b = h.appendLine(b, body, l.sha)
	}
	if cap(b) <= 2*maxSpare {
		l.line = b
	}
	if err := l.put(l.f, b, l.size); err != nil {
		l.size = -1
		return 0, nil, err
	}
	l.head = h
	l.size += int64(len(b))
	return l.reserveAhead(), signed, nil
}

// put writes b at the end of f, which has the size given, or nothing.
func (l *Log) put(f file, b []byte, size int64) error {
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

// note is the body of a record of the log's own.
func (l *Log) note(kind, members string) []byte {
	b := append([]byte(nil), `"time":"`...)
	b = l.opt.Now().UTC().AppendFormat(b, timeFormat)
	b = append(b, `","kind":"`...)
	b = append(b, kind...)
	b = append(b, '"')
	return append(b, members...)
}

// acquire returns with the file at l.path open and locked, with l.head and
// l.size its end, and with room for that many bytes before it is to be rotated.
func (l *Log) acquire(room int64) error {
	for {
		if l.f == nil {
			f, err := openFile(l.path, os.O_RDWR|os.O_CREATE|os.O_APPEND)
			if err != nil {
				return fmt.Errorf("audit: %w", err)
			}
			l.syncing.Lock()
			l.f, l.size, l.reservedTo = f, -1, 0
			l.syncing.Unlock()
		}
		if err := lock(l.f); err != nil {
			return fmt.Errorf("audit: locking %s: %w", l.path, err)
		}
		again, err := l.current(room)
		if err != nil {
			unlock(l.f)
			return err
		}
		if !again {
			return nil
		}
		// Whatever a failed sync loses shows in settle and in Err.
		l.drop()
	}
}

// current brings l.head and l.size to the end of the locked file. It reports
// true when the path now names another file, or none.
func (l *Log) current(room int64) (again bool, err error) {
	st, err := l.f.Stat()
	if err != nil {
		return false, fmt.Errorf("audit: %w", err)
	}
	if !st.Mode().IsRegular() {
		return false, fmt.Errorf("audit: %s is not a regular file", l.path)
	}
	size := st.Size()
	at, err := os.Stat(l.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(st, at) {
		// Renamed by another process or by whoever rotates logs here. Only
		// the torn end of our own crash could still be open in it.
		if size != l.size && size > 0 {
			if _, _, err := l.end(l.path, l.f, size); err != nil && !errors.Is(err, ErrBroken) {
				return false, err
			}
		}
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("audit: %w", err)
	}
	if size != l.size {
		if size == 0 {
			if l.head, l.size, err = l.begin(); err != nil {
				return false, err
			}
		} else if l.head, l.size, err = l.end(l.path, l.f, size); err != nil {
			return false, err
		}
	}
	if l.opt.MaxSize > 0 && l.size+room > l.opt.MaxSize && l.size > firstRecords {
		name := fmt.Sprintf("%s.%012d", l.path, l.head.seq)
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			if l.reservedTo > l.size {
				// Gives back what is set aside. Where that fails, the file only
				// takes more space than it shows.
				_ = l.f.Truncate(l.size)
			}
			if err := os.Rename(l.path, name); err != nil {
				return false, fmt.Errorf("audit: rotating: %w", err)
			}
			if err := syncDir(filepath.Dir(l.path)); err != nil {
				return false, fmt.Errorf("audit: rotating: %w", err)
			}
			return true, nil
		}
		// Something else has that name: rather a long file than one lost.
	}
	return false, nil
}

// firstRecords is more than the log's own records at the start of a file take:
// one that holds no others is not rotated, however small MaxSize is.
const firstRecords = 700

// begin starts an empty file: with nothing, if it is the first of its log, else
// with a record that follows the last one of the newest rotated file.
func (l *Log) begin() (head, int64, error) {
	newest := l.head // what we wrote last, if anything
	rotated, err := rotatedFiles(l.path)
	if err != nil {
		return head{}, 0, fmt.Errorf("audit: %w", err)
	}
	for _, name := range rotated {
		h, err := l.endOf(name, newest.seq)
		if err != nil {
			return head{}, 0, err
		}
		if h.seq > newest.seq {
			newest = h
		}
	}
	if newest.seq == 0 {
		return newest, 0, nil
	}
	b := newest.appendLine(nil, l.note(kindRotated, ""), l.sha)
	return newest, int64(len(b)), l.put(l.f, b, 0)
}

// endOf is end for a rotated file. It writes to it only if it is torn and its
// last record does not come before the number given.
func (l *Log) endOf(name string, after uint64) (head, error) {
	flag := os.O_RDONLY
	for {
		f, err := openFile(name, flag)
		if err != nil {
			return head{}, fmt.Errorf("audit: %w", err)
		}
		h, torn, err := l.lockedEnd(name, f, flag != os.O_RDONLY)
		f.Close()
		if err != nil || !torn || h.seq < after {
			return h, err
		}
		flag = os.O_RDWR | os.O_APPEND
	}
}

func (l *Log) lockedEnd(name string, f file, mend bool) (h head, torn bool, err error) {
	if err := lock(f); err != nil {
		return head{}, false, fmt.Errorf("audit: locking %s: %w", name, err)
	}
	defer unlock(f)
	st, err := f.Stat()
	if err != nil {
		return head{}, false, fmt.Errorf("audit: %w", err)
	}
	if mend {
		h, _, err = l.end(name, f, st.Size())
		return h, false, err
	}
	h, rest, err := l.last(name, f, st.Size())
	return h, len(rest) > 0, err
}

// end finds the last record of a file, and closes off what is torn after it. It
// returns the file's size then.
func (l *Log) end(name string, f file, size int64) (head, int64, error) {
	h, torn, err := l.last(name, f, size)
	if err != nil || len(torn) == 0 {
		return h, size, err
	}
	b := []byte{'\n'}
	if p, err := parseLine(torn); err == nil && p.Seq == h.seq+1 && p.Prev == hex.EncodeToString(h.sum[:]) {
		// Only the line end is missing.
		if err := l.put(f, b, size); err != nil {
			return head{}, 0, err
		}
		return head{seq: p.Seq, sum: sha256.Sum256(torn)}, size + 1, nil
	}
	sum := sha256.Sum256(torn)
	b = h.appendLine(b, l.note(kindRecovered, `,"torn":`+strconv.Itoa(len(torn))+`,"torn_sum":"`+hex.EncodeToString(sum[:])+`"`), l.sha)
	if err := l.put(f, b, size); err != nil {
		return head{}, 0, err
	}
	return h, size + int64(len(b)), nil
}

// last finds the last record of a file and what stands torn after it. All but
// the rarest records are in the last few kilobytes.
func (l *Log) last(name string, f file, size int64) (head, []byte, error) {
	for _, n := range []int64{16 << 10, 2 * maxLine} {
		n = min(size, n)
		tail := make([]byte, n)
		if _, err := f.ReadAt(tail, size-n); err != nil {
			return head{}, nil, fmt.Errorf("audit: reading %s: %w", name, err)
		}
		whole := bytes.LastIndexByte(tail, '\n') + 1
		torn := tail[whole:]
		if whole == 0 {
			if n < size {
				continue
			}
			// No record at all: the first one torn, or no log.
			if !startOfRecord(torn) || len(torn) > maxLine {
				return head{}, nil, broken(name, "it is not an audit log")
			}
			return head{}, torn, nil
		}
		start := bytes.LastIndexByte(tail[:whole-1], '\n') + 1
		if start == 0 && n < size {
			continue
		}
		line := tail[start : whole-1]
		r, err := parseLine(line)
		if err != nil {
			return head{}, nil, broken(name, "its last record: "+err.Error())
		}
		if len(torn) > maxLine {
			return head{}, nil, broken(name, "what follows its last record is longer than any record")
		}
		return head{seq: r.Seq, sum: sha256.Sum256(line)}, torn, nil
	}
	return head{}, nil, broken(name, "its end holds no record")
}

// startOfRecord says whether b can be what a crash left of a record. A file
// system may give back zeros for what it did not get to write.
func startOfRecord(b []byte) bool {
	b = bytes.TrimRight(b, "\x00")
	const start = `{"seq":`
	n := min(len(b), len(start))
	return string(b[:n]) == start[:n]
}

func broken(name, why string) error {
	return fmt.Errorf("%w: %s: %s: run velonym audit verify on it, and move it to another folder, with its .heads file, to start a new one", ErrBroken, name, why)
}

// Reopen closes the file and opens the one that now has its name, making it if
// need be, so that a rotated file can be taken away at once. Appends notice a
// renamed file by themselves; Reopen only makes them do so now.
func (l *Log) Reopen() error { return l.nudge() }

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
// failure it tries, by writing the gap record that is due.
func (l *Log) Check() error {
	if l.Err() == nil {
		return nil
	}
	return l.nudge()
}

// nudge writes what waits, if only a gap record, to a file opened anew.
func (l *Log) nudge() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.bad = true
	return l.wait(true)
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
	err := l.wait(true)
	// Appends that were let in before are finished before the file goes.
	for {
		l.mu.Lock()
		if !l.leading && len(l.ends) == 0 {
			break
		}
		l.wait(false)
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

// rotatedFiles lists the files that were rotated by us, oldest first, and those
// that others renamed in the usual ways, as audit.jsonl.1 or audit.jsonl-20261123,
// as long as they are not compressed.
func rotatedFiles(path string) ([]string, error) {
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		n := e.Name()
		if len(n) <= len(base)+1 || n[:len(base)] != base || n[len(base)] != '.' && n[len(base)] != '-' || !e.Type().IsRegular() {
			continue
		}
		if digits(n[len(base)+1:]) {
			out = append(out, filepath.Join(dir, n))
		}
	}
	sort.Strings(out)
	return out, nil
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
