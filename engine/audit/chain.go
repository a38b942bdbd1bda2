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

// firstRecords is more than the bytes of the log's own records at the start of a file. A
// file of this size or less is not rotated, however small MaxSize is.
const firstRecords = 700

// beginFile prepares an empty file. If there are rotated files, it writes a record that
// continues the newest one's chain.
func (l *Log) beginFile() (head, int64, error) {
	newest := l.head // of our last write, if any
	rotated, err := rotatedFiles(l.path)
	if err != nil {
		return head{}, 0, fmt.Errorf("audit: %w", err)
	}
	for _, name := range rotated {
		h, err := l.endOfRotated(name, newest.seq)
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

// endOfRotated is recoverEnd for a rotated file. It writes to the file only if its end is
// torn and its last record's number is at least after.
func (l *Log) endOfRotated(name string, after uint64) (head, error) {
	flag := os.O_RDONLY
	for {
		f, err := openFile(name, flag)
		if err != nil {
			return head{}, fmt.Errorf("audit: %w", err)
		}
		h, torn, err := l.lockAndReadEnd(name, f, flag != os.O_RDONLY)
		f.Close()
		if err != nil || !torn || h.seq < after {
			return h, err
		}
		flag = os.O_RDWR | os.O_APPEND
	}
}

// lockAndReadEnd reads the end of a file under its lock, and repairs a torn one if repair
// is set.
func (l *Log) lockAndReadEnd(name string, f file, repair bool) (h head, torn bool, err error) {
	if err := lock(f); err != nil {
		return head{}, false, fmt.Errorf("audit: locking %s: %w", name, err)
	}
	defer unlock(f)
	st, err := f.Stat()
	if err != nil {
		return head{}, false, fmt.Errorf("audit: %w", err)
	}
	if repair {
		h, _, err = l.recoverEnd(name, f, st.Size())
		return h, false, err
	}
	h, rest, err := l.readEnd(name, f, st.Size())
	return h, len(rest) > 0, err
}

// recoverEnd finds the last record of a file and marks a torn line after it with a
// "recovered" record. It returns the file's new size.
func (l *Log) recoverEnd(name string, f file, size int64) (head, int64, error) {
	h, torn, err := l.readEnd(name, f, size)
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

// readEnd finds the last record of a file and the torn line after it, if any. It reads the
// last 16 KiB, and more only if they hold no whole record.
func (l *Log) readEnd(name string, f file, size int64) (head, []byte, error) {
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

// startOfRecord reports whether b can be the rest of a record after a crash. A file
// system may return zeros for bytes that it did not write.
func startOfRecord(b []byte) bool {
	b = bytes.TrimRight(b, "\x00")
	const start = `{"seq":`
	n := min(len(b), len(start))
	return string(b[:n]) == start[:n]
}

func broken(name, why string) error {
	return fmt.Errorf("%w: %s: %s: run velonym audit verify on it, and move it to another folder, with its .heads file, to start a new one", ErrBroken, name, why)
}

// rotatedFiles lists the files that the log rotated, oldest first, and those that other
// programs renamed in the usual ways, such as audit.jsonl.1 or audit.jsonl-20261123,
// unless they are compressed.
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

// lockFile opens and locks the file at l.path and sets l.head and l.size to its end. It
// rotates the file first if need more bytes would exceed MaxSize.
func (l *Log) lockFile(need int64) error {
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
		again, err := l.refresh(need)
		if err != nil {
			unlock(l.f)
			return err
		}
		if !again {
			return nil
		}
		// waitSynced and Err report a failed sync.
		l.drop()
	}
}

// refresh sets l.head and l.size to the end of the locked file. It reports true if the
// path now names another file, or none.
func (l *Log) refresh(need int64) (again bool, err error) {
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
		// Another process has renamed the file. A torn end can only be our own.
		if size != l.size && size > 0 {
			if _, _, err := l.recoverEnd(l.path, l.f, size); err != nil && !errors.Is(err, ErrBroken) {
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
			if l.head, l.size, err = l.beginFile(); err != nil {
				return false, err
			}
			// The file's name must be durable before its first record is.
			if err := syncDir(filepath.Dir(l.path)); err != nil {
				return false, fmt.Errorf("audit: %w", err)
			}
		} else if l.head, l.size, err = l.recoverEnd(l.path, l.f, size); err != nil {
			return false, err
		}
	}
	if l.opt.MaxSize > 0 && l.size+need > l.opt.MaxSize && l.size > firstRecords {
		name := fmt.Sprintf("%s.%012d", l.path, l.head.seq)
		if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
			if l.reservedTo > l.size {
				// Frees the reserved space. If that fails, the file occupies more space
				// than its size.
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
		// The name is taken: a file above MaxSize is better than one overwritten.
	}
	return false, nil
}
