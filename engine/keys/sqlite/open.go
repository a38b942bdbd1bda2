package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// Create makes an empty keystore in a new file of mode 0600. It never
// overwrites: for a path that exists it returns [keys.ErrKeystoreExists].
func Create(path string) (keys.Store, error) {
	clearEmpty(path)
	for _, p := range []string{path + "-wal", path + "-shm", path + "-journal"} {
		// SQLite would take a left-over journal for that of the new file.
		if _, err := os.Lstat(p); err == nil {
			return nil, fmt.Errorf("%w: %s: a keystore was here: restore it, or move this file away", keys.ErrKeystoreExists, p)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w: keystore %s: choose another directory, or keep using this one", keys.ErrKeystoreExists, path)
	}
	if err != nil {
		return nil, fmt.Errorf("keys: making a keystore: %w", err)
	}
	if err = f.Close(); err == nil {
		err = fill(path)
	}
	if err == nil {
		err = makeLog(path)
	}
	if err != nil {
		// The file is ours: it was not there before.
		os.Remove(path)
		os.Remove(path + "-journal")
		return nil, fmt.Errorf("keys: making keystore %s: %w", path, err)
	}
	return Open(path)
}

// fill makes the tables, before the file is switched to WAL, so that the marks
// of a keystore are in its first page from the start.
func fill(path string) error {
	db, err := sql.Open("sqlite", dsn(path, false))
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.Exec(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d;", applicationID, keys.SchemaVersion) + schema + strings.Join(upgrades, "") + "DELETE FROM meta; INSERT INTO meta VALUES ('" + metaKept + "', x'01');"); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// dsn spells every pragma as _pragma, so that each pooled connection has it.
func dsn(path string, wal bool) string {
	q := url.Values{}
	q.Set("mode", "rw") // never creates
	q.Set("_txlock", "immediate")
	if wal {
		q.Add("_pragma", "journal_mode(WAL)")
	}
	return source(path, q)
}

// readDSN is dsn for a place where nothing can be written. Without a write-ahead
// log beside it, which could not be made, the file is read as one that nobody
// changes.
func readDSN(path string, frozen bool) string {
	q := url.Values{}
	q.Set("mode", "ro")
	if frozen {
		q.Set("immutable", "1")
	}
	return source(path, q)
}

func source(path string, q url.Values) string {
	registerPages()
	keepLogs()
	q.Set(ownName, "1")
	q.Add("_pragma", "journal_size_limit(0)") // an emptied log takes no space
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()))
	q.Add("_pragma", "secure_delete(ON)")
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", "foreign_keys(ON)")
	q.Add("_pragma", "temp_store(MEMORY)") // VACUUM must not copy wrapped secrets to a temporary file
	q.Add("_pragma", "trusted_schema(OFF)")
	return "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() + "?" + q.Encode()
}

// Open opens an existing keystore, and never makes or changes one that it does
// not know. Where it cannot be written (the file, its folder or the medium), it is
// opened for reading: every Update then is [keys.ErrReadOnly]. Errors:
// [keys.ErrNoKeystore], [keys.ErrUnreadable], [keys.ErrForeign],
// [keys.ErrSchema], [keys.ErrCorrupt].
func Open(path string) (keys.Store, error) {
	path, err := filepath.Abs(path) // the process may change its directory
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keys.ErrUnreadable, err)
	}
	s, err := openWriting(path)
	if err == nil {
		return s, nil
	}
	if errors.Is(err, keys.ErrUnreadable) {
		if r, e := openReading(path); e == nil {
			return r, nil
		}
	}
	return nil, err
}

// openReading opens a keystore that cannot be written here.
func openReading(path string) (*Store, error) {
	if err := checkHeader(path, os.O_RDONLY); err != nil {
		return nil, err
	}
	if err := checkCopied(path); err != nil {
		return nil, err
	}
	s := &Store{path: path, readOnly: true}
	if st, err := os.Stat(logOf(path)); errors.Is(err, fs.ErrNotExist) || err == nil && st.Size() == 0 {
		if s.frozen, err = os.Stat(path); err != nil {
			return nil, fmt.Errorf("%w: %w", keys.ErrUnreadable, err)
		}
	}
	db, err := sql.Open("sqlite", readDSN(path, s.frozen != nil))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keys.ErrUnreadable, err)
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	s.db = db
	if err := s.check(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := s.prepare(context.Background()); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// unchanged says whether a file that was opened as one that nobody changes is one.
func (s *Store) unchanged() error {
	if s.frozen == nil {
		return nil
	}
	now, err := os.Stat(s.path)
	log, noLog := os.Stat(logOf(s.path))
	if err != nil || !os.SameFile(now, s.frozen) || now.Size() != s.frozen.Size() || !now.ModTime().Equal(s.frozen.ModTime()) || noLog == nil && log.Size() > 0 {
		return fmt.Errorf("%w: %s was opened for reading only, and somebody writes to it since: start again, where its folder can be written if it is in use", keys.ErrUnreadable, s.path)
	}
	return nil
}

func openWriting(path string) (*Store, error) {
	if err := checkHeader(path, os.O_RDWR); err != nil {
		return nil, err
	}
	if err := checkCopied(path); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", dsn(path, true))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keys.ErrUnreadable, err)
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	s := &Store{path: path, db: db}
	// The first switch to WAL wants the file for itself, and another process
	// at the same point makes it fail at once, busy timeout or not.
	pause, end := 5*time.Millisecond, time.Now().Add(busyTimeout)
	for {
		if err = s.check(); !isBusy(err) || time.Now().After(end) {
			break
		}
		time.Sleep(pause)
		pause = min(2*pause, 100*time.Millisecond)
	}
	if err == nil {
		err = s.markKept()
	}
	if err == nil {
		err = s.prepare(context.Background())
	}
	if err != nil {
		db.Close()
		return nil, err
	}
	return s, nil
}

// checkHeader looks at the first bytes before SQLite may touch the file.
func checkHeader(path string, mode int) error {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w at %s: make one with velonym init, or name its directory", keys.ErrNoKeystore, path)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", keys.ErrUnreadable, err)
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is not a regular file", keys.ErrForeign, path)
	}
	f, err := os.OpenFile(path, mode, 0)
	if err != nil {
		return fmt.Errorf("%w: %w: run as the user who owns it", keys.ErrUnreadable, err)
	}
	defer f.Close()
	var head [100]byte
	switch _, err := io.ReadFull(f, head[:]); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %s is too short to be one: restore it from a backup, or move it away", keys.ErrForeign, path)
	case err != nil:
		return fmt.Errorf("%w: %w", keys.ErrUnreadable, err)
	}
	if !bytes.HasPrefix(head[:], []byte("SQLite format 3\x00")) {
		return fmt.Errorf("%w: %s is not an SQLite file: restore it from a backup, or name the right one", keys.ErrForeign, path)
	}
	if binary.BigEndian.Uint32(head[68:]) != applicationID {
		return fmt.Errorf("%w: %s is an SQLite file of something else: name the right one", keys.ErrForeign, path)
	}
	return nil
}

// check looks at what a keystore must be like before anything uses it.
func (s *Store) check() error {
	var version string
	if err := s.db.QueryRow("SELECT sqlite_version()").Scan(&version); err != nil {
		return s.fault(err)
	}
	if !atLeast(version, minVersion) {
		return fmt.Errorf("keys: SQLite %s can lose writes: this program needs %s or later", version, minVersion)
	}
	var schema int
	if err := s.db.QueryRow("SELECT version FROM schema_version").Scan(&schema); err != nil {
		return s.fault(err)
	}
	if schema > keys.SchemaVersion {
		return fmt.Errorf("%w: %s was made by a newer version of velonym (schema %d, this one reads %d): use that version", keys.ErrSchema, s.path, schema, keys.SchemaVersion)
	}
	if schema < keys.OldestSchema {
		return fmt.Errorf("%w: %s has schema %d, this version reads %d", keys.ErrSchema, s.path, schema, keys.SchemaVersion)
	}
	// Large files are checked where there is time: see keys.Keystore.Verify.
	if st, err := os.Stat(s.path); err != nil || st.Size() > maxQuickCheck {
		return nil
	}
	return s.Verify(context.Background())
}

// maxQuickCheck is the size of the files that are checked whole whenever they are opened,
// in bytes: reading those takes some milliseconds.
const maxQuickCheck = 1 << 20

// atLeast compares dotted versions.
func atLeast(have, want string) bool {
	h, w := strings.Split(have, "."), strings.Split(want, ".")
	for i := range w {
		if i >= len(h) {
			return false
		}
		a, errA := strconv.Atoi(h[i])
		b, errB := strconv.Atoi(w[i])
		if errA != nil || errB != nil || a < b {
			return false
		}
		if a > b {
			return true
		}
	}
	return true
}
