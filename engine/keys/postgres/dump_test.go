package postgres

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/postgres/pgtest"
)

// TestDump checks that what pg_dump writes of a keystore in use is a whole keystore of one
// moment once pg_restore has brought it into another database. That moment is before what
// was destroyed later, which the copy still holds.
func TestDump(t *testing.T) {
	dump, restore := pgtest.Program(t, "pg_dump"), pgtest.Program(t, "pg_restore")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	key := filepath.Join(t.TempDir(), "master.key")
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
	from, to := newLocation(t, ""), newLocation(t, "")
	ks := open(from.Create())
	create := func(name string) error {
		return ks.CreateProject(t.Context(), keys.Project{Name: name, Method: "reversible", Policy: "same", Form: "pair62", Retention: time.Now().Add(24 * time.Hour)}, nil)
	}
	must(create("before"))

	var stop atomic.Bool
	var running sync.WaitGroup
	began := make(chan struct{})
	running.Go(func() {
		for i := 0; !stop.Load(); i++ {
			if err := create(fmt.Sprintf("meanwhile%d", i)); err != nil {
				t.Error(err)
			}
			if _, err := ks.Lease(t.Context(), "budget", 1<<40, 3); err != nil {
				t.Error(err)
			}
			if i == 3 {
				close(began)
			}
		}
	})
	<-began
	file := filepath.Join(t.TempDir(), "dump")
	out, err := exec.CommandContext(t.Context(), dump, "--format=custom", "--file="+file, from.url).CombinedOutput()
	stop.Store(true)
	running.Wait()
	if err != nil {
		t.Fatalf("pg_dump: %v: %s", err, out)
	}
	if _, err := ks.Sever(t.Context(), "before"); err != nil && !errors.Is(err, keys.ErrTraces) {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), restore, "--no-owner", "--exit-on-error", "--dbname="+to.url, file).CombinedOutput(); err != nil {
		t.Fatalf("pg_restore: %v: %s", err, out)
	}

	copied := open(to.Open())
	must(copied.Verify(t.Context()))
	list, err := copied.Projects(t.Context())
	if must(err); len(list) < 5 {
		t.Errorf("the copy has %d projects, want those of before the dump", len(list))
	}
	spent, err := copied.Spent(t.Context(), "budget")
	if must(err); spent < 9 {
		t.Errorf("the copy has %d values spent", spent)
	}
	if p, err := copied.Project(t.Context(), "before"); err != nil || p.Severed {
		t.Errorf("severed after the dump: %+v, %v; the copy is of before", p, err)
	}
	must(copied.Rotate(t.Context(), "before"))
}
