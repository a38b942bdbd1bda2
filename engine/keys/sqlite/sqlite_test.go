package sqlite

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/storetest"
)

func TestMain(m *testing.M) {
	os.Exit(storetest.Main(m, func(address string) storetest.Location { return location{address} }))
}

type location struct{ path string }

func (p location) Create() (keys.Store, error) { return Create(p.path) }
func (p location) Open() (keys.Store, error)   { return Open(p.path) }
func (p location) Address() string             { return p.path }

func (p location) Restore(fill func(keys.Store) error) error { return Restore(p.path, fill) }

// OnDisk searches the raw content of every file in the folder.
func (p location) OnDisk(needles ...[]byte) ([]bool, error) {
	names, err := filepath.Glob(filepath.Dir(p.path) + "/*")
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("no files: %w", err)
	}
	found := make([]bool, len(needles))
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			return nil, err
		}
		for i := range needles {
			found[i] = found[i] || bytes.Contains(b, needles[i])
		}
	}
	return found, nil
}

// Execute implements [storetest.Location].
func (p location) Execute(statements string) error {
	db, err := sql.Open("sqlite", dsn(p.path, true))
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(strings.ReplaceAll(statements, "@", ""))
	return err
}

// TestUpgrade opens the files in testdata/schema1 to schema4, which earlier versions wrote: see
// [storetest.Upgrade].
func TestUpgrade(t *testing.T) {
	for _, schema := range []string{"schema1", "schema2", "schema3", "schema4"} {
		t.Run(schema, func(t *testing.T) { testUpgrade(t, schema) })
	}
}

func testUpgrade(t *testing.T, schema string) {
	p := newLocation(t)
	key := filepath.Join(t.TempDir(), "master.key")
	for from, to := range map[string]string{"keystore.db": p.path, "master.key": key} {
		b, err := os.ReadFile(filepath.Join("testdata", schema, from))
		if err == nil {
			err = os.WriteFile(to, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	storetest.Upgrade(t, key, p.Open, p.Execute)
}

func newLocation(t *testing.T) location {
	return location{filepath.Join(t.TempDir(), "key store?#%41&x=y.db")}
}

// TestStore runs the tests of every store.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Location { return newLocation(t) })
}

func create(t *testing.T) (string, *Store) {
	t.Helper()
	p := newLocation(t)
	s, err := p.Create()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return p.path, s.(*Store)
}

// TestFilesArePrivate checks that the file and its logs have mode 0600.
func TestFilesArePrivate(t *testing.T) {
	path, s := create(t)
	if err := s.Update(t.Context(), func(tx keys.Tx) error { return tx.RaiseChange() }); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		st, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%q has mode %v", suffix, st.Mode())
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path + "-wal"); err != nil || st.Size() != 0 {
		t.Errorf("after the last close the write-ahead log is missing or not empty: %v", err)
	}
}

// refused checks that Open returns this error with a remedy, and that neither Open nor Create
// changes the folder.
func refused(t *testing.T, path string, want error, remedy string) {
	t.Helper()
	before := snapshot(t, path)
	s, err := Open(path)
	if err == nil {
		s.Close()
		t.Fatal("Open succeeded, want an error")
	}
	if !errors.Is(err, want) || !strings.Contains(err.Error(), remedy) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %q, want %q with path and %q", err, want, remedy)
	}
	if after := snapshot(t, path); after != before {
		t.Error("the file was changed")
	}
	if before == "" {
		return
	}
	if _, err := Create(path); !errors.Is(err, keys.ErrKeystoreExists) {
		t.Errorf("Create over it: %v", err)
	}
	if after := snapshot(t, path); after != before {
		t.Error("Create changed the file")
	}
}

func snapshot(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// TestOpenRefuses checks files that are not keystores, or damaged ones: the errors, their
// remedies, and that nothing is changed. Its cases make it long.
func TestOpenRefuses(t *testing.T) {
	t.Run("missing", func(t *testing.T) {
		path := newLocation(t).path
		refused(t, path, keys.ErrNoKeystore, "velonym init")
		if names, _ := filepath.Glob(filepath.Dir(path) + "/*"); len(names) > 0 {
			t.Errorf("Open made %q", names)
		}
	})
	for name, content := range map[string]string{
		"empty":        "",
		"short":        "SQLite format 3\x00",
		"text":         strings.Repeat("national number,name\n", 100),
		"binary":       strings.Repeat("\x00\xff", 5000),
		"header alone": "SQLite format 3\x00" + strings.Repeat("\x00", 84),
	} {
		t.Run(name, func(t *testing.T) {
			path := newLocation(t).path
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := Open(path)
			if !errors.Is(err, keys.ErrForeign) {
				t.Fatal(s, err)
			}
			if content != "" {
				refused(t, path, keys.ErrForeign, "")
			} else if _, err := Create(path); !errors.Is(err, keys.ErrKeystoreExists) {
				t.Errorf("Create over an empty file: %v", err)
			}
		})
	}
	t.Run("directory", func(t *testing.T) {
		if _, err := Open(t.TempDir()); !errors.Is(err, keys.ErrForeign) {
			t.Error(err)
		}
	})
	t.Run("other database", func(t *testing.T) {
		path := newLocation(t).path
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", dsn(path, false))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec("CREATE TABLE schema_version (version INTEGER); INSERT INTO schema_version VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		db.Close()
		refused(t, path, keys.ErrForeign, "name the right one")
	})
	t.Run("newer schema", func(t *testing.T) {
		path, s := create(t)
		if _, err := s.db.Exec("UPDATE schema_version SET version = 99"); err != nil {
			t.Fatal(err)
		}
		s.Close()
		refused(t, path, keys.ErrSchema, "newer version")
	})
	t.Run("truncated", func(t *testing.T) {
		path, s := create(t)
		s.Close()
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int64{st.Size() / 2, 4096, 1000} {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			refused(t, path, keys.ErrCorrupt, "restore it from a backup")
		}
	})
	t.Run("lost table", func(t *testing.T) {
		path, s := create(t)
		if _, err := s.db.Exec("DROP TABLE schema_version"); err != nil {
			t.Fatal(err)
		}
		s.Close()
		refused(t, path, keys.ErrCorrupt, "restore it from a backup")
	})
	t.Run("overwritten pages", func(t *testing.T) {
		path, s := create(t)
		s.Close()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 4096; i < len(b); i++ {
			b[i] = byte(i * 7)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, path, keys.ErrCorrupt, "restore it from a backup")
	})
}

// TestCreateBesideALeftOverJournal checks that Create refuses a path beside which an old journal
// lies, which SQLite would apply to the new file.
func TestCreateBesideALeftOverJournal(t *testing.T) {
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		path := newLocation(t).path
		if err := os.WriteFile(path+suffix, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Create(path); !errors.Is(err, keys.ErrKeystoreExists) {
			t.Errorf("%s: %v", suffix, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: a keystore was created nevertheless", suffix)
		}
	}
}

// TestCreateOnce checks that only one of several concurrent calls creates the keystore.
func TestCreateOnce(t *testing.T) {
	path := newLocation(t).path
	var wg sync.WaitGroup
	made := make(chan keys.Store, 8)
	for range 8 {
		wg.Go(func() {
			s, err := Create(path)
			if err == nil {
				made <- s
			} else if !errors.Is(err, keys.ErrKeystoreExists) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	close(made)
	n := 0
	for s := range made {
		n++
		s.Close()
	}
	if n != 1 {
		t.Errorf("the keystore was created %d times, want once", n)
	}
}

// TestConcurrentFirstOpens opens a keystore that is not in WAL mode yet from many handles at
// once.
func TestConcurrentFirstOpens(t *testing.T) {
	for range 5 {
		path := newLocation(t).path
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(createTables(path), createWAL(path)); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				s, err := Open(path)
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Update(t.Context(), func(tx keys.Tx) error { return tx.RaiseChange() }); err != nil {
					t.Error(err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// TestEveryConnectionHasThePragmas checks the settings of several connections of the pool.
func TestEveryConnectionHasThePragmas(t *testing.T) {
	_, s := create(t)
	var conns []*sql.Conn
	for range 4 {
		c, err := s.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "secure_delete": "1", "foreign_keys": "1", "busy_timeout": "10000", "temp_store": "2",
		} {
			var got string
			if err := c.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %q, want %q (%v)", pragma, got, want, err)
			}
		}
	}
	for _, c := range conns {
		c.Close()
	}
}

// TestSQLiteVersion checks that the library is recent enough not to lose committed writes.
func TestSQLiteVersion(t *testing.T) {
	_, s := create(t)
	var v string
	if err := s.db.QueryRow("SELECT sqlite_version()").Scan(&v); err != nil {
		t.Fatal(err)
	}
	if !atLeast(v, minVersion) {
		t.Errorf("SQLite %s can lose committed writes", v)
	}
	for _, c := range []struct {
		have string
		ok   bool
	}{{"3.51.3", true}, {"3.51.2", false}, {"3.51.10", true}, {"3.52.0", true}, {"4.0.0", true}, {"3.9.9", false}, {"3.51", false}, {"", false}, {"x.y.z", false}} {
		if atLeast(c.have, "3.51.3") != c.ok {
			t.Errorf("atLeast(%q, 3.51.3) = %v, want %v", c.have, !c.ok, c.ok)
		}
	}
}

// TestScrubReportsRemainingTraces checks that Scrub returns an error while an open view makes the
// log keep pages.
func TestScrubReportsRemainingTraces(t *testing.T) {
	path, s := create(t)
	other, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	err = other.View(t.Context(), func(tx keys.Tx) error {
		if _, err := tx.Projects(); err != nil {
			return err
		}
		// One connection, which does not wait for long.
		s.db.SetMaxOpenConns(1)
		if _, err := s.db.Exec("PRAGMA busy_timeout = 10; UPDATE change_number SET n = n + 1"); err != nil {
			return err
		}
		if err := s.Scrub(t.Context()); err == nil {
			t.Error("Scrub returned nil although a view keeps the pages")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Scrub(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLockedKeystoreIsReported checks that a keystore that another process locks is reported as
// locked, not as broken, and is not changed.
func TestLockedKeystoreIsReported(t *testing.T) {
	path, s := create(t)
	other, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	err = other.Update(t.Context(), func(keys.Tx) error {
		// One connection, which does not wait for long.
		s.db.SetMaxOpenConns(1)
		if _, err := s.db.Exec("PRAGMA busy_timeout = 10"); err != nil {
			return err
		}
		err := s.Update(t.Context(), func(tx keys.Tx) error { return tx.RaiseChange() })
		if err == nil || errors.Is(err, keys.ErrCorrupt) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "try again") {
			t.Errorf("%v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(tx keys.Tx) error { return tx.RaiseChange() }); err != nil {
		t.Error(err)
	}
}

// A full disk is reported as full, and nothing is left half done.
func TestFullDisk(t *testing.T) {
	path, s := create(t)
	defer s.Close()
	s.db.SetMaxOpenConns(1) // so that the limit, which stands for the disk's, holds for all
	var pages int
	if err := s.db.QueryRow("PRAGMA max_page_count = 1").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 1<<20)
	err := s.Update(t.Context(), func(tx keys.Tx) error {
		if err := tx.SetMeta("small", []byte("x")); err != nil {
			return err
		}
		return tx.SetMeta("big", big)
	})
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "disk is full") || !strings.Contains(err.Error(), "make room") {
		t.Errorf("got %v", err)
	}
	err = s.View(t.Context(), func(tx keys.Tx) error {
		if b, err := tx.Meta("small"); b != nil || err != nil {
			t.Errorf("half of it is there: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
