package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// Restore makes a new keystore at path from what fill puts into an empty one. The file
// gets its name only when it is complete; a restore that was killed can be repeated.
// Errors: [keys.ErrKeystoreExists], and that of fill.
func Restore(path string, fill func(keys.Store) error) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%w: keystore %s: a backup is never restored over one: stop what uses it, and move it away with its -wal and -shm", keys.ErrKeystoreExists, path)
	}
	for _, end := range []string{"-wal", "-journal"} {
		if st, err := os.Lstat(path + end); err == nil && st.Size() > 0 {
			return fmt.Errorf("%w: %s: a keystore was here: move this file away, too", keys.ErrKeystoreExists, path+end)
		}
	}
	folder := filepath.Dir(path)
	removeAbandoned(folder)
	dir, err := os.MkdirTemp(folder, ".restore-*")
	if err != nil {
		return fmt.Errorf("keys: restore: %w", err)
	}
	defer os.RemoveAll(dir)
	temp := filepath.Join(dir, "keystore.db")
	store, err := Create(temp)
	if err != nil {
		return err
	}
	if err := errors.Join(fill(store), store.Close()); err != nil {
		return err
	}
	return Move(temp, path)
}

// removeAbandoned removes the temporary folders, older than an hour, of killed restores.
func removeAbandoned(folder string) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	for _, e := range entries {
		if ok, _ := filepath.Match(".restore-*", e.Name()); !ok || !e.IsDir() {
			continue
		}
		if st, err := e.Info(); err == nil && time.Since(st.ModTime()) > time.Hour {
			_ = os.RemoveAll(filepath.Join(folder, e.Name())) // useless to anyone without the master key
		}
	}
}
