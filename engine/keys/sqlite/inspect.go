package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/velonym/velonym/engine/keys"
)

// ErrSideFile is returned for a file beside a keystore that SQLite would use as its log
// or journal, but that cannot belong to the keystore.
var ErrSideFile = errors.New("keys: beside the keystore")

// Files describes the files beside a keystore.
type Files struct {
	Log         int64 // size of the write-ahead log in bytes; -1 if there is none
	Unrecovered bool  // the log has no index; opening the keystore creates one
}

// walMagic and walMagic+1 begin a write-ahead log (https://sqlite.org/fileformat2.html#walformat).
const walMagic = 0x377f0682

// InspectFiles checks the file of a keystore and those beside it without opening them as
// a database and without writing. Errors: [keys.ErrNoKeystore], [keys.ErrForeign],
// [keys.ErrUnreadable], [keys.ErrCopied], ErrSideFile.
func InspectFiles(path string) (Files, error) {
	about := Files{Log: -1}
	if err := checkHeader(path, os.O_RDONLY); err != nil {
		return about, err
	}
	own, err := os.Stat(path)
	if err != nil {
		return about, fmt.Errorf("%w: %w", keys.ErrUnreadable, err)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // SQLite puts its files beside the target of a link
	}
	if _, err := os.Lstat(path + "-journal"); err == nil {
		return about, fmt.Errorf("%w: %s-journal is the journal of another mode, which a keystore never has", ErrSideFile, path)
	}
	for _, name := range []string{path + "-wal", path + "-shm"} {
		st, err := os.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return about, fmt.Errorf("%w: %w", keys.ErrUnreadable, err)
		case !st.Mode().IsRegular():
			return about, fmt.Errorf("%w: %s is a link or no file", ErrSideFile, name)
		case !sameOwner(own, st):
			return about, fmt.Errorf("%w: %s has another owner than the keystore", ErrSideFile, name)
		case st.Mode().Perm()&^own.Mode().Perm() != 0:
			return about, fmt.Errorf("%w: %s has mode %04o, and the keystore %04o", ErrSideFile, name, st.Mode().Perm(), own.Mode().Perm())
		}
	}
	st, err := os.Stat(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) {
		return about, checkCopied(path)
	}
	if err != nil {
		return about, fmt.Errorf("%w: %w", keys.ErrUnreadable, err)
	}
	about.Log = st.Size()
	if about.Log == 0 {
		return about, nil
	}
	if _, err := os.Stat(path + "-shm"); errors.Is(err, fs.ErrNotExist) {
		about.Unrecovered = true
	}
	return about, checkLog(path)
}

// checkLog checks that a write-ahead log has the magic number and the page size of its
// keystore.
func checkLog(path string) error {
	page, err := readAt(path, 16, 2)
	if err != nil {
		return err
	}
	head, err := readAt(path+"-wal", 0, 12)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil // the log is empty or was just created
	}
	if err != nil {
		return err
	}
	if m := binary.BigEndian.Uint32(head); m != walMagic && m != walMagic+1 {
		return fmt.Errorf("%w: %s-wal is no write-ahead log", ErrSideFile, path)
	}
	size := uint32(binary.BigEndian.Uint16(page))
	if size == 1 {
		size = 1 << 16
	}
	if n := binary.BigEndian.Uint32(head[8:]); n != size {
		return fmt.Errorf("%w: %s-wal is that of another file: its pages have %d bytes, the keystore's %d", ErrSideFile, path, n, size)
	}
	return nil
}

// readAt reads n bytes of a file from offset off.
func readAt(path string, off int64, n int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keys.ErrUnreadable, err)
	}
	defer f.Close()
	b := make([]byte, n)
	if _, err := io.ReadFull(io.NewSectionReader(f, off, int64(n)), b); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", keys.ErrUnreadable, path, err)
	}
	return b, nil
}

// OpenReading opens a keystore for reading only, even if it is writable: every Update
// returns [keys.ErrReadOnly]. Without a write-ahead log nothing is created or changed;
// with one, SQLite updates the log's index.
func OpenReading(path string) (keys.Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keys.ErrUnreadable, err)
	}
	s, err := openReading(path)
	if err != nil {
		return nil, err
	}
	return s, nil
}
