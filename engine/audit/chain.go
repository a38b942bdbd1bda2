package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
)

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
	b := newest.appendLine(nil, l.ownRecord(kindRotated, ""), l.sha)
	return newest, int64(len(b)), l.appendBytes(l.f, b, 0)
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
		if err := l.appendBytes(f, b, size); err != nil {
			return head{}, 0, err
		}
		return head{seq: p.Seq, sum: sha256.Sum256(torn)}, size + 1, nil
	}
	sum := sha256.Sum256(torn)
	b = h.appendLine(b, l.ownRecord(kindRecovered, `,"torn":`+strconv.Itoa(len(torn))+`,"torn_sum":"`+hex.EncodeToString(sum[:])+`"`), l.sha)
	if err := l.appendBytes(f, b, size); err != nil {
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
