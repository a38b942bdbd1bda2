package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/velonym/velonym/engine/keys"
	driver "modernc.org/sqlite"
)

// SQLite keeps the last commits in the write-ahead log, "-wal", until a checkpoint copies
// them into the file, and by default deletes the log when the last connection closes. A
// copy of the file alone, made while it is in use, would then look like a file that was
// closed. Therefore this package empties the log of a keystore but never deletes it, and
// a flag in the file says that it must have a log: a file with the flag but without a log is
// an incomplete copy.

// metaWALKept is the flag, an entry of the meta table.
const metaWALKept = "wal kept"

// dsnMarker marks the data source names of this package for the connection hook.
const dsnMarker = "velonym_keystore"

var keepOnce sync.Once

// keepWALs makes connections of this package keep the log when they close.
func keepWALs() {
	keepOnce.Do(func() {
		driver.RegisterConnectionHook(func(c driver.ExecQuerierContext, dsn string) error {
			if !strings.Contains(dsn, dsnMarker) {
				return nil
			}
			if f, ok := c.(driver.FileControl); ok {
				_, err := f.FileControlPersistWAL("main", 1)
				return err
			}
			return errors.New("keys: this SQLite cannot keep its write-ahead log")
		})
	})
}

// walPath returns the path of the write-ahead log of the file at path. SQLite puts it
// beside the target of a symbolic link.
func walPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return path + "-wal"
}

// checkCopied returns ErrCopied for a file with the flag but without a log. It must run
// before anything that creates the log.
func checkCopied(path string) error {
	if _, err := os.Lstat(walPath(path)); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := sql.Open("sqlite", readDSN(path, true))
	if err != nil {
		return nil // opening the file reports what is wrong with it
	}
	defer db.Close()
	var one int
	if db.QueryRow("SELECT 1 FROM meta WHERE name = ?", metaWALKept).Scan(&one) != nil {
		return nil
	}
	if _, err := os.Lstat(walPath(path)); err == nil {
		return nil // another process has opened the file meanwhile
	}
	return fmt.Errorf("%w: %s has no %s beside it: it was copied or moved without that file, which holds what was committed last, or another program opened it and deleted that. Stop what uses the keystore and copy both, or use 'velonym backup' and 'velonym restore'. Only if nothing of velonym had it open then, make an empty file of that name and try again",
		keys.ErrCopied, path, filepath.Base(walPath(path)))
}

// markWALKept sets the flag in a keystore of an earlier version.
func (s *Store) markWALKept() error {
	var one int
	err := s.db.QueryRow("SELECT 1 FROM meta WHERE name = ?", metaWALKept).Scan(&one)
	if !errors.Is(err, sql.ErrNoRows) {
		return s.wrapErr(err)
	}
	if _, err := s.db.ExecContext(context.Background(), "INSERT INTO meta VALUES (?, x'01') ON CONFLICT DO NOTHING", metaWALKept); err != nil {
		return s.wrapErr(err)
	}
	_, err = s.db.Exec("PRAGMA wal_checkpoint(PASSIVE)")
	return s.wrapErr(err)
}

// createWAL creates the empty log of a new keystore.
func createWAL(path string) error {
	f, err := os.OpenFile(path+"-wal", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// removeStaleWAL removes an empty log, and its index, whose keystore file is gone.
func removeStaleWAL(path string) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if st, err := os.Lstat(path + "-wal"); err == nil && st.Mode().IsRegular() && st.Size() == 0 {
		_ = os.Remove(path + "-wal") // if this fails, Create reports the file
		_ = os.Remove(path + "-shm")
	}
}
