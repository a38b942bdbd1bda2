package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

func (t *tx) Metas(f func(name string, value []byte)) error {
	rows, err := t.t.QueryContext(t.ctx, "SELECT name, value FROM meta ORDER BY name")
	if err != nil {
		return t.s.wrapErr(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var value []byte
		if err := rows.Scan(&name, &value); err != nil {
			return t.s.wrapErr(err)
		}
		f(name, value)
	}
	return t.s.wrapErr(rows.Err())
}

func (t *tx) Budgets(f func(jti string, spent int64, exp time.Time)) error {
	rows, err := t.t.QueryContext(t.ctx, "SELECT jti, spent, expires FROM budget")
	if err != nil {
		return t.s.wrapErr(err)
	}
	defer rows.Close()
	for rows.Next() {
		var jti []byte
		var spent, expires int64
		if err := rows.Scan(&jti, &spent, &expires); err != nil {
			return t.s.wrapErr(err)
		}
		f(string(jti), spent, fromExpiry(expires))
	}
	return t.s.wrapErr(rows.Err())
}

func (t *tx) ReceiptsAfter(id int64) (docs [][]byte, last int64, err error) {
	rows, err := t.t.QueryContext(t.ctx, "SELECT id, doc FROM receipt WHERE id > ? ORDER BY id", id)
	if err != nil {
		return nil, id, t.s.wrapErr(err)
	}
	defer rows.Close()
	for last = id; rows.Next(); {
		var doc []byte
		if err := rows.Scan(&last, &doc); err != nil {
			return nil, id, t.s.wrapErr(err)
		}
		docs = append(docs, doc)
	}
	return docs, last, t.s.wrapErr(rows.Err())
}

func (t *tx) SetChange(n uint64) error { return t.execOne("UPDATE change_number SET n = ?", int64(n)) }

// Move renames a keystore file that no process has open. Both names must be in the same
// file system. It never overwrites: Errors: [keys.ErrKeystoreExists].
func Move(from, to string) error {
	removeStaleWAL(to)
	for _, end := range []string{"-wal", "-journal"} {
		if st, err := os.Lstat(from + end); err == nil && st.Size() > 0 {
			return fmt.Errorf("keys: %s: it was not closed", from)
		}
	}
	if err := createWAL(to); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if err := os.Link(from, to); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", keys.ErrKeystoreExists, to)
	} else if err != nil {
		if _, e := os.Lstat(to); e == nil {
			return fmt.Errorf("%w: %s", keys.ErrKeystoreExists, to)
		}
		if err := os.Rename(from, to); err != nil { // the file system has no hard links
			return fmt.Errorf("keys: %w", err)
		}
	} else if err := os.Remove(from); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if runtime.GOOS == "windows" {
		return nil // directories cannot be synced there
	}
	d, err := os.Open(filepath.Dir(to))
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
