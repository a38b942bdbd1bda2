package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// file is what a log needs of an open file; tests break it.
type file interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Stat() (os.FileInfo, error)
	// Sync returns when the content and the size are on disk.
	Sync() error
	Truncate(int64) error
	Fd() uintptr
	// reserve allocates the n bytes from offset off on, without changing the
	// file's size, so that a full disk cannot refuse them later. The error is
	// errNoReserve where the file system cannot do that.
	reserve(off, n int64) error
}

// errNoReserve is returned where space cannot be set aside.
var errNoReserve = errors.New("audit: this file system cannot set space aside")

// osFile is a file of the operating system.
type osFile struct{ *os.File }

func (f osFile) Sync() error { return syncData(f.File) }

func (f osFile) reserve(off, n int64) error { return allocate(f.File, off, n) }

// openFile is replaced by tests.
var openFile = func(path string, flag int) (file, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err // not f: an interface that holds a nil pointer is not nil
	}
	return osFile{f}, nil
}

// freeSpace is replaced by tests.
var freeSpace = statFree

// Free returns the space in bytes that is left on the log's disk.
func (l *Log) Free() (uint64, error) {
	n, err := freeSpace(filepath.Dir(l.path))
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	return n, nil
}

// Space on disk for records that are delayed: reserveSize is set aside at a time,
// again when less than reserveLow is left. reserveLow covers what waits in this
// process and a batch on its way, and as much in another one.
const (
	reserveSize = 2 << 20
	reserveLow  = 4 * blockAt
	// reserveRetry is the least time between a failure to set space aside and the
	// next attempt.
	reserveRetry = time.Second
)

// frame bounds the bytes that stand around the body of a record.
const frame = 256

// sized bounds what n records whose bodies have that many bytes take in the file.
func sized(bodies, n int) int64 { return int64(bodies) + frame*int64(n) }

// covered says whether what waits has its space on disk; l.mu is held.
func (l *Log) covered() bool { return l.reserved >= sized(len(l.pending), len(l.ends)) }

// reserveAhead sets space aside behind the end of the locked file, if too little
// is left, and returns how much there is. It is called by the leader. What cannot
// be set aside is no error: records are then written before Append returns. So are
// those for which less than reserveLow is left, as another process may take it.
func (l *Log) reserveAhead() int64 {
	if l.opt.Delay <= 0 || l.size < 0 {
		return 0
	}
	if l.reservedTo-l.size < reserveLow {
		if time.Since(l.reserveFailed) < reserveRetry {
			return 0 // a nearly full disk takes milliseconds to say so again
		}
		if err := l.f.reserve(l.size, reserveSize); err != nil {
			l.noReserve.Store(errors.Is(err, errNoReserve))
			l.reserveFailed = time.Now()
			return 0
		}
		l.reservedTo = l.size + reserveSize
	}
	return l.reservedTo - l.size
}

// roomNeeded is how much space there must be before a log that could not be written
// counts as writable again. Without such a bound a full disk lets a short record in
// wherever the file's last block has room for it, and refuses the next.
const roomNeeded = 64 << 10

// needRoom returns nil when there is space for roomNeeded bytes behind the end of
// the locked file. It is called by the leader.
func (l *Log) needRoom() error {
	err := l.f.reserve(l.size, roomNeeded)
	if errors.Is(err, errNoReserve) {
		// A crash here leaves zeros, which the next process closes off as torn.
		if _, err = l.f.Write(make([]byte, roomNeeded)); err == nil {
			err = l.f.Sync() // some file systems refuse no earlier
		}
		if e := l.f.Truncate(l.size); err == nil {
			err = e
		}
	}
	if err != nil {
		l.size, l.reservedTo = -1, 0
		return fmt.Errorf("audit: writing %s: %w", l.path, err)
	}
	return nil
}
