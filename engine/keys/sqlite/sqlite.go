// Package sqlite keeps a keystore in one SQLite file, which several processes
// may use at the same time.
//
// The file is in WAL mode: "-wal" and "-shm" stand beside it while it is open,
// with its own mode, 0600. It must be on a local file system.
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
	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// applicationID marks the file as a keystore, in the header that SQLite keeps
// for that: "VLNY".
const applicationID = 0x564c4e59

// minVersion is the first SQLite that does not lose committed writes in WAL
// mode when a checkpoint meets a write.
const minVersion = "3.51.3"

// busyTimeout is how long a transaction waits for that of another connection.
const busyTimeout = 10 * time.Second

const schema = `
CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT;
CREATE TABLE change (n INTEGER NOT NULL) STRICT;
CREATE TABLE meta (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE project (
	name       TEXT PRIMARY KEY,
	method     TEXT NOT NULL,
	policy     TEXT NOT NULL,
	format     TEXT NOT NULL,
	tag        INTEGER NOT NULL,
	orgs       BLOB NOT NULL,
	retention  INTEGER,
	imported   INTEGER NOT NULL,
	created    INTEGER NOT NULL,
	severed_at INTEGER,
	reason     TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE TABLE generation (
	prj       TEXT NOT NULL REFERENCES project (name),
	org       TEXT NOT NULL,
	gen       INTEGER NOT NULL CHECK (gen BETWEEN 0 AND 11),
	state     TEXT NOT NULL CHECK (state IN ('active', 'deactivated', 'destroyed')),
	imported  INTEGER NOT NULL,
	created   INTEGER NOT NULL,
	destroyed INTEGER,
	wrapped   BLOB,
	PRIMARY KEY (prj, org, gen),
	CHECK ((wrapped IS NULL) = (state = 'destroyed'))
) STRICT;
CREATE UNIQUE INDEX one_active ON generation (prj, org) WHERE state = 'active';
CREATE TABLE receipt (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	project TEXT NOT NULL,
	doc     BLOB NOT NULL
) STRICT;
CREATE TABLE revocation (
	jti     BLOB PRIMARY KEY,
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE budget (
	jti     BLOB PRIMARY KEY,
	spent   INTEGER NOT NULL,
	expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO schema_version VALUES (1);
INSERT INTO change VALUES (1);
`

// upgrades[i] brings tables of version i+1 to version i+2. They are what makes new
// stores too, so that both have the same tables.
var upgrades = []string{`
ALTER TABLE change RENAME TO changes;
ALTER TABLE project ADD COLUMN keys_mac BLOB NOT NULL DEFAULT x'';
ALTER TABLE project ADD COLUMN seal BLOB NOT NULL DEFAULT x'';
CREATE TABLE seal_list (
	bucket INTEGER PRIMARY KEY,
	doc    BLOB NOT NULL
) STRICT;
UPDATE schema_version SET version = 2;
PRAGMA user_version = 2;
`, `
ALTER TABLE changes RENAME TO counter;
ALTER TABLE project ADD COLUMN grace INTEGER NOT NULL DEFAULT 604800;
ALTER TABLE project ADD COLUMN ended INTEGER;
ALTER TABLE project ADD COLUMN sever_at INTEGER;
UPDATE schema_version SET version = 3;
PRAGMA user_version = 3;
`, `
ALTER TABLE counter RENAME TO change_counter;
ALTER TABLE revocation ADD COLUMN seq INTEGER NOT NULL DEFAULT 0;
CREATE INDEX revocation_seq ON revocation (seq);
CREATE INDEX revocation_expires ON revocation (expires);
CREATE INDEX budget_expires ON budget (expires);
CREATE TABLE revocation_rule (
	issuer TEXT NOT NULL,
	prj    TEXT NOT NULL,
	before INTEGER NOT NULL,
	seq    INTEGER NOT NULL,
	PRIMARY KEY (issuer, prj)
) STRICT, WITHOUT ROWID;
CREATE TABLE issued (
	jti     BLOB PRIMARY KEY,
	issuer  TEXT NOT NULL,
	kid     TEXT NOT NULL,
	op      TEXT NOT NULL,
	prj     TEXT NOT NULL,
	org     TEXT NOT NULL,
	src_prj TEXT NOT NULL,
	src_org TEXT NOT NULL,
	issued  INTEGER NOT NULL,
	expires INTEGER NOT NULL,
	most    INTEGER NOT NULL,
	seal    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX issued_expires ON issued (expires, jti);
CREATE INDEX issued_prj ON issued (prj, expires);
CREATE INDEX issued_src ON issued (src_prj, expires) WHERE src_prj <> '';
UPDATE schema_version SET version = 4;
PRAGMA user_version = 4;
`}

// Store is a keystore in an SQLite file. It implements [keys.Store].
type Store struct {
	path string
	db   *sql.DB

	readOnly bool
	frozen   os.FileInfo // of a file that was opened as one that nobody changes; nil otherwise
}

var _ keys.Store = (*Store)(nil)

// Create makes an empty keystore in a new file of mode 0600. It never
// overwrites: for a path that exists it returns [keys.ErrKeystoreExists].
func Create(path string) (keys.Store, error) {
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
	if _, err := tx.Exec(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d;", applicationID, keys.SchemaVersion) + schema + strings.Join(upgrades, "")); err != nil {
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
	s := &Store{path: path, readOnly: true}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
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
	return s, nil
}

// unchanged says whether a file that was opened as one that nobody changes is one.
func (s *Store) unchanged() error {
	if s.frozen == nil {
		return nil
	}
	now, err := os.Stat(s.path)
	_, log := os.Lstat(s.path + "-wal")
	if err != nil || !os.SameFile(now, s.frozen) || now.Size() != s.frozen.Size() || !now.ModTime().Equal(s.frozen.ModTime()) || log == nil {
		return fmt.Errorf("%w: %s was opened for reading only, and somebody writes to it since: start again, where its folder can be written if it is in use", keys.ErrUnreadable, s.path)
	}
	return nil
}

func openWriting(path string) (*Store, error) {
	if err := checkHeader(path, os.O_RDWR); err != nil {
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
	var result string
	if err := s.db.QueryRow("PRAGMA quick_check(1)").Scan(&result); err != nil {
		return s.fault(err)
	}
	if result != "ok" {
		return fmt.Errorf("%w: %s: restore it from a backup; it is left as it is", keys.ErrCorrupt, s.path)
	}
	return nil
}

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

func code(err error) int {
	var e *driver.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff // without the extension
	}
	return -1
}

func isBusy(err error) bool {
	c := code(err)
	return c == sqlite3.SQLITE_BUSY || c == sqlite3.SQLITE_LOCKED
}

// fault gives an error of the driver its place, and its sentinel.
func (s *Store) fault(err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: %s lacks a row that it must have: restore it from a backup; it is left as it is", keys.ErrCorrupt, s.path)
	}
	switch code(err) {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("keys: keystore %s: its disk is full, and nothing was changed: make room there and try again: %w", s.path, err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("keys: keystore %s: reading or writing it or its -wal and -shm failed, and nothing was changed: is its disk full or faulty? %w", s.path, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR:
		// With statements fixed at compile time, SQLITE_ERROR is a table or
		// column that is not there.
		return fmt.Errorf("%w: %s: restore it from a backup; it is left as it is: %w", keys.ErrCorrupt, s.path, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("keys: keystore %s is held by another process, for %v by now: try again when that is done: %w", s.path, busyTimeout, err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY:
		return fmt.Errorf("%w %s: its directory must be writable too: %w", keys.ErrUnreadable, s.path, err)
	}
	return fmt.Errorf("keys: keystore %s: %w", s.path, err)
}

// Name returns the path of the file.
func (s *Store) Name() string { return s.path }

// Close closes the file. The last process to do so removes the "-wal" and
// "-shm" beside it.
func (s *Store) Close() error { return s.fault(s.db.Close()) }

// View implements [keys.Store].
func (s *Store) View(ctx context.Context, f func(keys.Tx) error) error {
	if err := s.unchanged(); err != nil {
		return err
	}
	t, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s.fault(err)
	}
	defer t.Rollback()
	return f(&tx{s: s, t: t, ctx: ctx})
}

// Update implements [keys.Store].
func (s *Store) Update(ctx context.Context, f func(keys.Tx) error) error {
	if s.readOnly {
		return fmt.Errorf("%w: %s: the file, its folder or the medium cannot be written by this user, and this has to write: use it where it can", keys.ErrReadOnly, s.path)
	}
	t, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return s.fault(err)
	}
	defer t.Rollback()
	if err := f(&tx{s: s, t: t, ctx: ctx}); err != nil {
		return err
	}
	return s.fault(t.Commit())
}

// Change implements [keys.Store].
func (s *Store) Change(ctx context.Context, meta string) (n uint64, clock time.Time, value []byte, err error) {
	if err := s.unchanged(); err != nil {
		return 0, clock, nil, err
	}
	var signed int64
	err = s.db.QueryRowContext(ctx, "SELECT n, (SELECT value FROM meta WHERE name = ?) FROM change_counter", meta).Scan(&signed, &value)
	return uint64(signed), clock, value, s.fault(err)
}

// Scrub implements [keys.Store]: it rebuilds the file from what is alive, since
// a page that SQLite balanced can hold a copy of a deleted row in its gap, and
// then empties the write-ahead log.
func (s *Store) Scrub(ctx context.Context) error {
	if _, err := s.db.ExecContext(ctx, "VACUUM"); err != nil {
		return s.fault(err)
	}
	var busy, logged, moved int
	if err := s.db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &logged, &moved); err != nil {
		return s.fault(err)
	}
	if busy != 0 {
		return fmt.Errorf("keys: keystore %s: another process holds the write-ahead log", s.path)
	}
	return nil
}
