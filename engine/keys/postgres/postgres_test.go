package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/postgres/pgtest"
	"github.com/velonym/velonym/engine/keys/storetest"
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	defer pgtest.Stop()
	return storetest.Main(m, func(address string) storetest.Location { return location{address} })
}

type location struct {
	url string
}

// newLocation creates a database for one test.
func newLocation(t *testing.T, options string) location {
	t.Helper()
	return location{pgtest.Database(t, options)}
}

func (p location) Create() (keys.Store, error) { return Create(context.Background(), p.url) }
func (p location) Open() (keys.Store, error)   { return Open(context.Background(), p.url) }
func (p location) Address() string             { return p.url }

func (p location) Restore(fill func(keys.Store) error) error {
	return Restore(context.Background(), p.url, fill)
}

// OnDisk searches the raw content of every file of the tables, but not of the write-ahead
// log, as the package documentation says.
func (p location) OnDisk(needles ...[]byte) ([]bool, error) {
	ctx := context.Background()
	c, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return nil, err
	}
	defer c.Close(ctx)
	found := make([]bool, len(needles))
	if pgtest.Data() == "" {
		// The files are on another machine, so only the rows are checked.
		for i := range needles {
			err := c.QueryRow(ctx, "SELECT EXISTS (SELECT FROM velonym.secret_0 WHERE position($1 IN wrapped) > 0)", needles[i]).Scan(&found[i])
			if err != nil {
				return nil, err
			}
		}
		return found, nil
	}
	if _, err := c.Exec(ctx, "CHECKPOINT"); err != nil {
		return nil, err
	}
	var oid uint32
	if err := c.QueryRow(ctx, "SELECT oid FROM pg_database WHERE datname = current_database()").Scan(&oid); err != nil {
		return nil, err
	}
	return found, filepath.WalkDir(filepath.Join(pgtest.Data(), "base", fmt.Sprint(oid)), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		for i := range needles {
			found[i] = found[i] || bytes.Contains(b, needles[i])
		}
		return err
	})
}

// AwaitIdle waits until no other connection has a transaction: the server may still be
// ending one whose client was killed.
func (p location) AwaitIdle() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	for n := 1; n > 0; {
		const busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'"
		if err := c.QueryRow(ctx, busy).Scan(&n); err != nil {
			return err
		}
	}
	return nil
}

// Execute implements [storetest.Location].
func (p location) Execute(statements string) error {
	ctx := context.Background()
	c, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, strings.ReplaceAll(statements, "@", "velonym."))
	return err
}

// TestUpgrade opens databases of earlier versions: see [storetest.Upgrade]. testdata/schema1
// to schema5 hold their dumps (pg_dump --inserts).
func TestUpgrade(t *testing.T) {
	for version := 1; version <= keys.SchemaVersion; version++ {
		t.Run(fmt.Sprintf("schema%d", version), func(t *testing.T) {
			folder := filepath.Join("testdata", fmt.Sprintf("schema%d", version))
			dump, err := os.ReadFile(filepath.Join(folder, "dump.sql"))
			if err != nil {
				t.Fatal(err)
			}
			p := newLocation(t, "ENCODING 'UTF8'")
			execute(t, p.url, string(dump))
			key, err := os.ReadFile(filepath.Join(folder, "master.key"))
			if err != nil {
				t.Fatal(err)
			}
			private := filepath.Join(t.TempDir(), "master.key")
			if err := os.WriteFile(private, key, 0o600); err != nil {
				t.Fatal(err)
			}
			storetest.Upgrade(t, private, p.Open, p.Execute)
		})
	}
}

// TestStore runs the tests of every store.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Location { return newLocation(t, "ENCODING 'UTF8'") })
}

func execute(t *testing.T, url, statements string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(t.Context(), statements); err != nil {
		t.Fatal(err)
	}
}

// TestOpenRefuses checks the error and the remedy for databases that are not keystores.
func TestOpenRefuses(t *testing.T) {
	ctx := t.Context()
	p := newLocation(t, "ENCODING 'UTF8'")
	expect := func(err, want error, remedy string) {
		t.Helper()
		if !errors.Is(err, want) || !strings.Contains(err.Error(), remedy) {
			t.Errorf("got %v, want %v with %q", err, want, remedy)
		}
	}
	_, err := Open(ctx, p.url)
	expect(err, keys.ErrNoKeystore, "velonym init")
	execute(t, p.url, "CREATE SCHEMA velonym")
	_, err = Open(ctx, p.url)
	expect(err, keys.ErrForeign, "name the right database")
	_, err = Create(ctx, p.url)
	expect(err, keys.ErrKeystoreExists, "another database")
	execute(t, p.url, "DROP SCHEMA velonym")
	s, err := Create(ctx, p.url)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	execute(t, p.url, "UPDATE velonym.schema_version SET version = 99")
	_, err = Open(ctx, p.url)
	expect(err, keys.ErrSchema, "newer version")
	execute(t, p.url, "DELETE FROM velonym.schema_version")
	_, err = Open(ctx, p.url)
	expect(err, keys.ErrCorrupt, "restore it from a backup")
}

// TestConnectionErrors checks that the error of a failed connection is one line without the
// password.
func TestConnectionErrors(t *testing.T) {
	pgtest.Server(t)
	const password = "hunter2secret"
	for _, address := range []string{
		"postgres://u:" + password + "@127.0.0.1:1/db",
		"postgres://u:" + password + "@127.0.0.1:notaport/db",
		"postgres://u:" + password + "@[::1/db",
		"postgres://u:" + password + "%zz@h/db",
		"host=/nonexistent user=u password=" + password,
		"postgres://u:" + password + "@x@127.0.0.1:1/db",
		"postgres://u:a/" + password + "@127.0.0.1:1/db",
		"postgres://u:12/" + password + "@127.0.0.1:1/db",
		"postgres://u:#" + password + "@127.0.0.1:1/db",
		"postgres://u:?x=" + password + "@127.0.0.1:1/db",
		"postgres://127.0.0.1:1/db?user=u&password=" + password,
		"postgres://:" + password + "@127.0.0.1:1/db",
		"POSTGRES://u:" + password + "@127.0.0.1:1/db",
		"host=127.0.0.1 port=1 password='" + password,
		"host=127.0.0.1 port=1 user=u password='x " + password + "'",
		"host=127.0.0.1 port=x user=u password=" + password,
	} {
		_, err := Open(t.Context(), address)
		if !errors.Is(err, keys.ErrUnreadable) || strings.Contains(err.Error(), password) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %q", err)
		}
	}
}

// TestSilentServerTimesOut checks that a server that accepts connections and never answers gives
// an error.
func TestSilentServerTimesOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	address := "postgres://u@" + l.Addr().String() + "/db?sslmode=disable"
	conf, err := configure(address)
	if err != nil || conf.ConnConfig.ConnectTimeout != connectTimeout {
		t.Errorf("waits %v for a connection: %v", conf.ConnConfig.ConnectTimeout, err)
	}
	if _, err := Open(t.Context(), address+"&connect_timeout=1"); !errors.Is(err, keys.ErrUnreadable) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %q", err)
	}
}

// TestCreateRequiresUTF8 checks that a database in another encoding is refused.
func TestCreateRequiresUTF8(t *testing.T) {
	p := newLocation(t, "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
	if _, err := p.Create(); err == nil || !strings.Contains(err.Error(), "UTF8") {
		t.Errorf("got %v", err)
	}
}

// TestCreateOnce checks that only one of several concurrent calls creates the keystore.
func TestCreateOnce(t *testing.T) {
	p := newLocation(t, "ENCODING 'UTF8'")
	var wg sync.WaitGroup
	var made atomic.Int64
	for range 6 {
		wg.Go(func() {
			s, err := p.Create()
			if err == nil {
				made.Add(1)
				s.Close()
			} else if !errors.Is(err, keys.ErrKeystoreExists) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 1 {
		t.Errorf("the keystore was created %d times, want once", made.Load())
	}
}

// TestScrubDespiteOldSnapshot checks that Scrub removes destroyed secrets although a session has
// a snapshot from before, for which VACUUM would keep the rows.
func TestScrubDespiteOldSnapshot(t *testing.T) {
	ctx := t.Context()
	p := newLocation(t, "ENCODING 'UTF8'")
	s, err := p.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	blob := bytes.Repeat([]byte("wrapped!"), 8)
	d := keys.Domain{Prj: "p"}
	err = s.Update(ctx, func(tx keys.Tx) error {
		return errors.Join(
			tx.AddProject(keys.ProjectRow{Project: keys.Project{Name: "p", Orgs: []string{""}}}),
			tx.AddKey(keys.KeyRow{Domain: d, State: keys.Active, Wrapped: blob}),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(ctx, p.url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT n FROM velonym.change_number"); err != nil {
		t.Fatal(err)
	}
	if found, err := p.OnDisk(blob); err != nil || !found[0] {
		t.Fatal("the search does not find a secret that is on disk", err)
	}
	if err := s.Update(ctx, func(tx keys.Tx) error { return tx.EraseKeys("p", time.Now()) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Scrub(ctx); err != nil {
		t.Fatal(err)
	}
	if pgtest.Data() == "" {
		return
	}
	if found, err := p.OnDisk(blob); err != nil || found[0] {
		t.Error("a destroyed secret is still on disk", err)
	}
}

// TestWatchHearsOtherProcesses checks that Watch reports another process's changes, also after
// its connection was cut.
func TestWatchHearsOtherProcesses(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := newLocation(t, "ENCODING 'UTF8'")
	s, err := p.Create()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	heard, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		s.(*Store).Watch(ctx, func() { heard <- struct{}{} })
	}()
	wait := func(what string) {
		t.Helper()
		select {
		case <-heard:
		case <-time.After(time.Minute):
			t.Fatal("Watch did not report ", what)
		}
	}
	wait("the beginning")
	other, err := p.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	raise := func() {
		t.Helper()
		if err := other.Update(ctx, func(tx keys.Tx) error { return tx.RaiseChange() }); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		raise()
		wait("a change")
	}
	execute(t, p.url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
	wait("the new connection")
	raise()
	wait("a change after it")
	cancel()
	for {
		select {
		case <-heard: // an earlier notification, or the first one of a new connection
			continue
		case <-done:
		}
		break
	}
}
