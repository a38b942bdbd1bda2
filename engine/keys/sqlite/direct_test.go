package sqlite

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// TestDirectReads checks that secrets are read directly, on many goroutines at once, and
// that direct reads see at once what another handle changes.
func TestDirectReads(t *testing.T) {
	ctx := t.Context()
	path, s := create(t)
	key := filepath.Join(t.TempDir(), "master.key")
	if err := keys.NewMasterKeyFile(key); err != nil {
		t.Fatal(err)
	}
	open := func(s keys.Store) *keys.Keystore {
		mk, err := keys.LoadMasterKey(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		ks, err := keys.New(ctx, s, mk)
		if err != nil {
			t.Fatal(err)
		}
		return ks
	}
	ks := open(s)
	second, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	other := open(second)
	p := keys.Project{Name: "p", Method: "reversible", Policy: "same", Form: "pair62", Orgs: []string{"a", "b"}, Retention: time.Now().Add(time.Hour)}
	if err := other.CreateProject(ctx, p, nil); err != nil {
		t.Fatal(err)
	}
	d := keys.Domain{Prj: "p", Org: "b"}
	read := func() []keys.Generation {
		t.Helper()
		got, gens, err := ks.ProjectSecrets(ctx, d)
		if err != nil {
			t.Fatal(err)
		}
		want, err := ks.Project(ctx, "p")
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("a direct read gives the project\n%v, a transaction\n%v", got, want)
		}
		return gens
	}
	first := read()
	before := s.directReads.Load()
	var all sync.WaitGroup
	for range 3 * maxReaders {
		all.Go(func() {
			for range 20 {
				gens, err := ks.Secrets(ctx, d)
				if err != nil || len(gens) != 1 || gens[0].Secret != first[0].Secret {
					t.Errorf("%d generations: %v", len(gens), err)
					return
				}
			}
		})
	}
	all.Wait()
	if n := s.directReads.Load() - before; n < 20 {
		t.Errorf("%d direct reads, want 20 or more", n)
	}
	if n := s.readers.open; n > maxReaders {
		t.Errorf("%d connections, want %d at most", n, maxReaders)
	}
	if err := other.Rotate(ctx, "p"); err != nil {
		t.Fatal(err)
	}
	if gens := read(); len(gens) != 2 || gens[0].Secret != first[0].Secret || gens[1].State != keys.Active {
		t.Errorf("after a rotation: %d generations, want the first and an active second one", len(gens))
	}
	// Scrub rebuilds the file and so changes its schema number.
	if _, err := other.Sever(ctx, "p"); err != nil {
		t.Fatal(err)
	}
	before = s.directReads.Load()
	for range 2 { // the first has to read the new root of the seals
		if _, err := ks.Secrets(ctx, d); !errors.Is(err, keys.ErrSevered) {
			t.Fatalf("a severed project: %v", err)
		}
	}
	if s.directReads.Load() == before {
		t.Error("no direct read after the file was rebuilt")
	}
}
