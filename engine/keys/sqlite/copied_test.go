package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// TestCopyWithoutLogIsRefused checks that a copy of only the file, made while the keystore is in
// use, is refused before anything is created beside it, and that a copy with its log holds the
// last commit.
func TestCopyWithoutLogIsRefused(t *testing.T) {
	path, made := create(t)
	var s keys.Store = made
	if err := s.Update(t.Context(), func(tx keys.Tx) error { return tx.SetMeta("last", []byte("here")) }); err != nil {
		t.Fatal(err)
	}
	copyTo := func(t *testing.T, log bool) string {
		t.Helper()
		to := filepath.Join(t.TempDir(), "copy.db")
		for _, end := range []string{"", "-wal"} {
			b, err := os.ReadFile(path + end)
			if err != nil {
				t.Fatal(err)
			}
			if end != "" && len(b) == 0 {
				t.Fatal("the write-ahead log is empty: the test has nothing to check")
			}
			if end == "" || log {
				if err := os.WriteFile(to+end, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		return to
	}
	alone := copyTo(t, false)
	if c, err := Open(alone); !errors.Is(err, keys.ErrCopied) {
		t.Fatalf("opened %v: %v", c, err)
	}
	if list, _ := os.ReadDir(filepath.Dir(alone)); len(list) != 1 {
		t.Errorf("the folder of the copy has %v", list)
	}
	if err := os.Chmod(alone, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenReading(alone); !errors.Is(err, keys.ErrCopied) {
		t.Errorf("opened read-only: %v, want ErrCopied", err)
	}
	whole := copyTo(t, true)
	c, err := Open(whole)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.View(t.Context(), func(tx keys.Tx) error {
		v, err := tx.Meta("last")
		if string(v) != "here" {
			t.Errorf("the copy with its log lacks the last commit: %q", v)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestEmptyLogIsKept checks that a closed keystore keeps an empty log, and that a keystore
// without the flag that requires one gets it when it is opened.
func TestEmptyLogIsKept(t *testing.T) {
	path, made := create(t)
	var s keys.Store = made
	closeAll := func(s keys.Store) {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(path + "-wal"); err != nil || st.Size() != 0 {
			t.Fatalf("after the last close: %v", err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Update(t.Context(), func(tx keys.Tx) error { return tx.SetMeta(metaWALKept, nil) }))
	closeAll(s)
	must(os.Remove(path + "-wal"))
	s, err := Open(path)
	must(err)
	closeAll(s)
	must(os.Remove(path + "-wal"))
	if _, err := Open(path); !errors.Is(err, keys.ErrCopied) {
		t.Errorf("opening has not set the flag that requires a log: %v", err)
	}
	// The remedy that the error names.
	must(os.WriteFile(path+"-wal", nil, 0o600))
	s, err = Open(path)
	must(err)
	closeAll(s)
}

// copyFile copies a file of a keystore.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestCopyInUse checks that a copy of file and log of the same moment, as a snapshot makes it, is
// a whole keystore with every commit, and that a copy of the log from after a checkpoint beside
// a file from before it is refused.
func TestCopyInUse(t *testing.T) {
	dir := t.TempDir()
	path, key := filepath.Join(dir, "keystore.db"), filepath.Join(dir, "master.key")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(keys.NewMasterKeyFile(key))
	open := func(s keys.Store, err error) *keys.Keystore {
		t.Helper()
		must(err)
		mk, err := keys.LoadMasterKey(t.Context(), key)
		must(err)
		ks, err := keys.New(t.Context(), s, mk)
		must(err)
		t.Cleanup(func() { must(ks.Close()) })
		return ks
	}
	store, err := Create(path)
	ks := open(store, err)
	made := 0
	add := func(n int) {
		t.Helper()
		list := make([]keys.Project, n)
		for i := range list {
			made++
			list[i] = keys.Project{Name: fmt.Sprintf("p%d", made), Method: "reversible", Policy: "same", Form: "pair62", Retention: time.Now().Add(24 * time.Hour)}
		}
		must(ks.CreateProjects(t.Context(), list))
	}
	add(20)
	snapshot := filepath.Join(t.TempDir(), "keystore.db")
	must(store.Update(t.Context(), func(tx keys.Tx) error { // nobody else writes meanwhile
		must(tx.SetMeta("unfinished", []byte("x")))
		for _, end := range []string{"", "-wal"} {
			copyFile(t, path+end, snapshot+end)
		}
		return nil
	}))
	copied := open(Open(snapshot))
	must(copied.Verify(t.Context()))
	list, err := copied.Projects(t.Context())
	if must(err); len(list) != made {
		t.Errorf("the snapshot has %d projects, want %d", len(list), made)
	}

	mixed := filepath.Join(t.TempDir(), "keystore.db")
	copyFile(t, path, mixed)
	add(300)
	var busy, logged, moved int
	must(store.(*Store).db.QueryRow("PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &logged, &moved))
	if busy != 0 {
		t.Fatal("the log was not emptied")
	}
	add(1)
	copyFile(t, path+"-wal", mixed+"-wal")
	if err := useAll(t, mixed, key); !errors.Is(err, keys.ErrTampered) && !errors.Is(err, keys.ErrCorrupt) {
		t.Errorf("a file and a log of two moments are used: %v", err)
	}
}

// useAll opens a keystore and reads its projects.
func useAll(t *testing.T, path, key string) error {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		return err
	}
	defer s.Close()
	mk, err := keys.LoadMasterKey(t.Context(), key)
	if err != nil {
		return err
	}
	ks, err := keys.New(t.Context(), s, mk)
	if err != nil {
		return err
	}
	_, err = ks.Projects(t.Context())
	return err
}
