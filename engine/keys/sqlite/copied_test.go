package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

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
