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

// SQLite keeps what was committed last in the write-ahead log, "-wal", until it moves it
// into the file, and deletes the log when the last process closes it. A copy of the file
// alone, made while it is in use, then looks like one that was closed. So the log of a
// keystore is never deleted, only emptied, and the file holds a mark that says so: where
// the mark is and the log is not, the file is a copy.

// metaKept is the mark, an entry of the meta table.
const metaKept = "wal kept"

// ownName marks the data source names of this package, for the hook.
const ownName = "velonym_keystore"

var keepOnce sync.Once

// keepLogs has connections of this package leave the log where it is.
func keepLogs() {
	keepOnce.Do(func() {
		driver.RegisterConnectionHook(func(c driver.ExecQuerierContext, dsn string) error {
			if !strings.Contains(dsn, ownName) {
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

// logOf is the write-ahead log of the file at path. SQLite looks for it where a link
// leads.
func logOf(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return path + "-wal"
}

// checkCopied refuses a file whose log is missing although it was never deleted. It must
// come before anything that makes one.
func checkCopied(path string) error {
	if _, err := os.Lstat(logOf(path)); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := sql.Open("sqlite", readDSN(path, true))
	if err != nil {
		return nil // what is wrong is said by who opens it
	}
	defer db.Close()
	var one int
	if db.QueryRow("SELECT 1 FROM meta WHERE name = ?", metaKept).Scan(&one) != nil {
		return nil
	}
	if _, err := os.Lstat(logOf(path)); err == nil {
		return nil // another process has opened it meanwhile, and made both
	}
	return fmt.Errorf("%w: %s has no %s beside it: it was copied or moved without that file, which holds what was committed last, or another program opened it and deleted that. Stop what uses the keystore and copy both, or use 'velonym backup' and 'velonym restore'. Only if nothing of velonym had it open then, make an empty file of that name and try again",
		keys.ErrCopied, path, filepath.Base(logOf(path)))
}

// markKept sets the mark of a keystore that was made before there was one.
func (s *Store) markKept() error {
	var one int
	err := s.db.QueryRow("SELECT 1 FROM meta WHERE name = ?", metaKept).Scan(&one)
	if !errors.Is(err, sql.ErrNoRows) {
		return s.fault(err)
	}
	if _, err := s.db.ExecContext(context.Background(), "INSERT INTO meta VALUES (?, x'01') ON CONFLICT DO NOTHING", metaKept); err != nil {
		return s.fault(err)
	}
	_, err = s.db.Exec("PRAGMA wal_checkpoint(PASSIVE)")
	return s.fault(err)
}

// makeLog makes the empty log of a new keystore.
func makeLog(path string) error {
	f, err := os.OpenFile(path+"-wal", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// clearEmpty removes what a keystore that is not there any more left beside it, if
// nothing is in it.
func clearEmpty(path string) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if st, err := os.Lstat(path + "-wal"); err == nil && st.Mode().IsRegular() && st.Size() == 0 {
		_ = os.Remove(path + "-wal") // a failure shows as a file that is in the way
		_ = os.Remove(path + "-shm")
	}
}
