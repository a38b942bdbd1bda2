// Package sqlite keeps a keystore in one SQLite file, which several processes may use at
// the same time.
//
// The file is in WAL mode: the files "-wal" and "-shm" beside it have the same mode,
// 0600. "-wal" must accompany the file always, see copied.go. The file must be on a local
// file system.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/velonym/velonym/engine/keys"
	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// applicationID, "VLNY", marks the file as a keystore in SQLite's file header.
const applicationID = 0x564c4e59

// minVersion is the first version of SQLite that does not lose committed writes in WAL
// mode when a checkpoint and a write coincide.
const minVersion = "3.51.3"

// busyTimeout is how long a transaction waits for another connection.
const busyTimeout = 10 * time.Second

// Store is a keystore in an SQLite file. It implements [keys.Store].
type Store struct {
	path     string
	db       *sql.DB
	prepared map[string]*sql.Stmt // by query text; nil for a file of an older schema
	turn     chan struct{}        // holds an element while a transaction writes
	readers  readers
	totals   totals

	directReads atomic.Uint64 // for tests

	readOnly  bool
	immutable os.FileInfo // state of a file that was opened as immutable; nil for others
}

var _ keys.Store = (*Store)(nil)

// code returns SQLite's primary result code, -1 for other errors.
func code(err error) int {
	var e *driver.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return -1
}

func isBusy(err error) bool {
	c := code(err)
	return c == sqlite3.SQLITE_BUSY || c == sqlite3.SQLITE_LOCKED
}

// wrapErr adds the file's path, what to do, and a sentinel of package keys to an error
// of the driver.
func (s *Store) wrapErr(err error) error {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, errHeld):
		return fmt.Errorf("keys: keystore %s is held by another writer, for %v by now: try again when that is done: %w", s.path, busyTimeout, err)
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%w: %s lacks a row that it must have: restore it from a backup; it is left as it is", keys.ErrCorrupt, s.path)
	}
	switch code(err) {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("keys: keystore %s: its disk is full, and nothing was changed: make room there and try again: %w", s.path, err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("keys: keystore %s: reading or writing it or its -wal and -shm failed, and nothing was changed: is its disk full or faulty? %w", s.path, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR:
		// Statements are constant, so SQLITE_ERROR means a missing table or column.
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

// Close closes the file. The last process to close it removes "-shm" and empties "-wal".
func (s *Store) Close() error {
	s.readers.close()
	return s.wrapErr(s.db.Close())
}

// View implements [keys.Store].
func (s *Store) View(ctx context.Context, f func(keys.Tx) error) error {
	if err := s.checkUnchanged(); err != nil {
		return err
	}
	t, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return s.wrapErr(err)
	}
	defer t.Rollback()
	return f(&tx{s: s, t: t, ctx: ctx})
}

// Update implements [keys.Store].
func (s *Store) Update(ctx context.Context, f func(keys.Tx) error) error {
	if s.readOnly {
		return fmt.Errorf("%w: %s: the file, its folder or the medium cannot be written by this user, and this has to write: use it where it can", keys.ErrReadOnly, s.path)
	}
	t, done, err := s.beginWrite(ctx)
	if err != nil {
		return s.wrapErr(err)
	}
	defer done()
	defer t.Rollback()
	if err := f(&tx{s: s, t: t, ctx: ctx}); err != nil {
		return err
	}
	return s.wrapErr(t.Commit())
}

// Change implements [keys.Store].
func (s *Store) Change(ctx context.Context, q keys.ChangeQuery) (row keys.ChangeRow, err error) {
	if err := s.checkUnchanged(); err != nil {
		return row, err
	}
	var n int64
	err = s.db.QueryRowContext(ctx, "SELECT n, (SELECT value FROM meta WHERE name = ?1), iif(n = ?2, NULL, (SELECT value FROM meta WHERE name = ?3)) FROM change_number",
		q.Meta, int64(q.Known), q.Changed).Scan(&n, &row.Meta, &row.Changed)
	row.Number = uint64(n)
	return row, s.wrapErr(err)
}
