package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// file is an open file of a log. Tests replace it by one that fails.
type file interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Stat() (os.FileInfo, error)
	// Sync returns when content and size are on disk.
	Sync() error
	Truncate(int64) error
	Fd() uintptr
	// reserve allocates n bytes on disk from offset off on, so that a later write of
	// them cannot fail for lack of space. The file's size does not change. It returns
	// errNoReserve if the file system cannot do that.
	reserve(off, n int64) error
}

// errNoReserve is returned by a file system that cannot reserve space.
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

// Free returns the free space in bytes on the log's disk.
func (l *Log) Free() (uint64, error) {
	n, err := freeSpace(filepath.Dir(l.path))
	if err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	return n, nil
}

// Space on disk for delayed records: reserveSize bytes are reserved whenever less than
// reserveLow are left. reserveLow covers the pending records and the current batch of
// two processes.
const (
	reserveSize = 2 << 20
	reserveLow  = 4 * blockAt
	// reserveRetry is the time between a failed reservation and the next attempt.
	reserveRetry = time.Second
)

// recordOverhead bounds the bytes of a record outside its body.
const recordOverhead = 256

// maxFileBytes bounds the size in the file of n records with this many bytes of bodies.
func maxFileBytes(bodies, n int) int64 { return int64(bodies) + recordOverhead*int64(n) }

// spaceReserved reports whether the pending records fit the reserved space; l.mu is held.
func (l *Log) spaceReserved() bool { return l.reserved >= maxFileBytes(len(l.pending), len(l.ends)) }

// reserveAhead reserves space past the end of the locked file if less than reserveLow
// is left, and returns the reserved bytes. Only the leader calls it. A failure is not an
// error: it returns 0, and Append then writes its record before it returns. Another
// process may use up to reserveLow of the space as well.
func (l *Log) reserveAhead() int64 {
	if l.opt.Delay <= 0 || l.size < 0 {
		return 0
	}
	if l.reservedTo-l.size < reserveLow {
		if time.Since(l.reserveFailed) < reserveRetry {
			return 0 // a nearly full disk takes milliseconds to fail
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

// minFreeSpace is the space in bytes that a log needs to be writable again after a failed
// write. Without it a full disk would accept a short record that fits the file's last
// block, and refuse the next.
const minFreeSpace = 64 << 10

// probeSpace returns nil if there is space for minFreeSpace bytes past the end of the
// locked file. Only the leader calls it.
func (l *Log) probeSpace() error {
	err := l.f.reserve(l.size, minFreeSpace)
	if errors.Is(err, errNoReserve) {
		// A crash here leaves zeros, which the next process marks as torn.
		if _, err = l.f.Write(make([]byte, minFreeSpace)); err == nil {
			err = l.f.Sync() // some file systems report a full disk only here
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
