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

// Create creates an empty keystore in a new file of mode 0600. It never overwrites: if
// the path exists it returns [keys.ErrKeystoreExists].
func Create(path string) (keys.Store, error) {
	removeStaleWAL(path)
	for _, p := range []string{path + "-wal", path + "-shm", path + "-journal"} {
		// SQLite would use a left-over journal as that of the new file.
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
		err = createTables(path)
	}
	if err == nil {
		err = createWAL(path)
	}
	if err != nil {
		// This call created the file.
		os.Remove(path)
		os.Remove(path + "-journal")
		return nil, fmt.Errorf("keys: making keystore %s: %w", path, err)
	}
	return Open(path)
}

// createTables creates the tables before the file is switched to WAL mode, so that the
// application id and the schema version are in the file's first page from the start.
func createTables(path string) error {
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
	if _, err := tx.Exec(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d;", applicationID, keys.SchemaVersion) + schema + strings.Join(upgrades, "") + "DELETE FROM meta; INSERT INTO meta VALUES ('" + metaWALKept + "', x'01');"); err != nil {
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

// dsn returns the data source name. Its pragmas apply to every pooled connection.
func dsn(path string, wal bool) string {
	q := url.Values{}
	q.Set("mode", "rw") // never creates a file
	q.Set("_txlock", "immediate")
	if wal {
		q.Add("_pragma", "journal_mode(WAL)")
	}
	return dataSource(path, q)
}

// readDSN is dsn for a file that is only read. immutable means that nobody changes the
// file: SQLite then needs no write-ahead log, which it might be unable to create.
func readDSN(path string, immutable bool) string {
	q := url.Values{}
	q.Set("mode", "ro")
	if immutable {
		q.Set("immutable", "1")
	}
	return dataSource(path, q)
}

func dataSource(path string, q url.Values) string {
	registerPages()
	keepWALs()
	q.Set(dsnMarker, "1")
	q.Add("_pragma", "journal_size_limit(0)") // truncate the log when it is emptied
	q.Add("_pragma", fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()))
	q.Add("_pragma", "secure_delete(ON)")
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", "foreign_keys(ON)")
	q.Add("_pragma", "temp_store(MEMORY)") // VACUUM must not copy wrapped secrets to a temporary file
	q.Add("_pragma", "trusted_schema(OFF)")
	return "file:" + (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath() + "?" + q.Encode()
}

// Open opens an existing keystore. It never creates one and never changes a file that is
// not a keystore. If the file, its folder or the medium is not writable, it opens the
// keystore for reading, and every Update returns [keys.ErrReadOnly]. Errors:
// [keys.ErrNoKeystore], [keys.ErrUnreadable], [keys.ErrForeign], [keys.ErrSchema],
// [keys.ErrCorrupt], [keys.ErrCopied].
func Open(path string) (keys.Store, error) {
	path, err := filepath.Abs(path) // the process may change its working directory
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

// openReading opens a keystore for reading only.
func openReading(path string) (*Store, error) {
	if err := checkHeader(path, os.O_RDONLY); err != nil {
		return nil, err
	}
	if err := checkCopied(path); err != nil {
		return nil, err
	}
	s := &Store{path: path, readOnly: true}
	if st, err := os.Stat(walPath(path)); errors.Is(err, fs.ErrNotExist) || err == nil && st.Size() == 0 {
		if s.immutable, err = os.Stat(path); err != nil {
			return nil, fmt.Errorf("%w: %w", keys.ErrUnreadable, err)
		}
	}
	db, err := sql.Open("sqlite", readDSN(path, s.immutable != nil))
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

// checkUnchanged returns ErrUnreadable if the file was opened as immutable and has
// changed since.
func (s *Store) checkUnchanged() error {
	if s.immutable == nil {
		return nil
	}
	now, err := os.Stat(s.path)
	log, noLog := os.Stat(walPath(s.path))
	if err != nil || !os.SameFile(now, s.immutable) || now.Size() != s.immutable.Size() || !now.ModTime().Equal(s.immutable.ModTime()) || noLog == nil && log.Size() > 0 {
		return fmt.Errorf("%w: %s was opened for reading only, and somebody writes to it since: start again, where its folder can be written if it is in use", keys.ErrUnreadable, s.path)
	}
	return nil
}

// openWriting opens a keystore for reading and writing.
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
	s := &Store{path: path, db: db, turn: make(chan struct{}, 1)}
	// The first switch to WAL mode needs exclusive access. If another process is
	// switching too, it fails at once whatever the busy timeout is.
	pause, end := 5*time.Millisecond, time.Now().Add(busyTimeout)
	for {
		if err = s.check(); !isBusy(err) || time.Now().After(end) {
			break
		}
		time.Sleep(pause)
		pause = min(2*pause, 100*time.Millisecond)
	}
	if err == nil {
		err = s.markWALKept()
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

// checkHeader checks the file's first bytes, before SQLite may touch the file.
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

// check verifies SQLite's version, the schema, and the structure of a small file.
func (s *Store) check() error {
	var version string
	if err := s.db.QueryRow("SELECT sqlite_version()").Scan(&version); err != nil {
		return s.wrapErr(err)
	}
	if !atLeast(version, minVersion) {
		return fmt.Errorf("keys: SQLite %s can lose writes: this program needs %s or later", version, minVersion)
	}
	var schema int
	if err := s.db.QueryRow("SELECT version FROM schema_version").Scan(&schema); err != nil {
		return s.wrapErr(err)
	}
	if schema > keys.SchemaVersion {
		return fmt.Errorf("%w: %s was made by a newer version of velonym (schema %d, this one reads %d): use that version", keys.ErrSchema, s.path, schema, keys.SchemaVersion)
	}
	if schema < keys.OldestSchema {
		return fmt.Errorf("%w: %s has schema %d, this version reads %d", keys.ErrSchema, s.path, schema, keys.SchemaVersion)
	}
	// The structure of large files is checked by keys.Keystore.Verify.
	if st, err := os.Stat(s.path); err != nil || st.Size() > maxQuickCheck {
		return nil
	}
	return s.Verify(context.Background())
}

// maxQuickCheck is the size in bytes up to which each Open checks the whole file, which
// takes a few milliseconds.
const maxQuickCheck = 1 << 20

// atLeast reports whether the dotted version have is want or later.
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
