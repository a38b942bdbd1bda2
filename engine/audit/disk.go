package audit

import (
	"errors"
	"io"
	"os"
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

// Space on disk for records that are delayed: reserveSize is set aside at a time,
// again when less than reserveLow is left. reserveLow covers what waits in this
// process and a batch on its way, and as much in another one.
const (
	reserveSize = 2 << 20
	reserveLow  = 4 * blockAt
)

// frame bounds the bytes that stand around the body of a record.
const frame = 256

// sized bounds what n records whose bodies have that many bytes take in the file.
func sized(bodies, n int) int64 { return int64(bodies) + frame*int64(n) }

// covered says whether what waits has its space on disk; l.mu is held.
func (l *Log) covered() bool { return l.reserved >= sized(len(l.pending), len(l.ends)) }

// reserveAhead sets space aside behind the end of the locked file, if too little
// is left, and returns how much there is. It is called by the leader. What cannot
// be set aside is no error: records are then written before Append returns.
func (l *Log) reserveAhead() int64 {
	if l.opt.Delay <= 0 || l.size < 0 {
		return 0
	}
	if l.reservedTo-l.size < reserveLow {
		if err := l.f.reserve(l.size, reserveSize); err == nil {
			l.reservedTo = l.size + reserveSize
		}
	}
	return max(0, l.reservedTo-l.size)
}
