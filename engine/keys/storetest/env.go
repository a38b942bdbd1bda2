package storetest

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// env is a new keystore with a clock that the test controls.
type env struct {
	*testing.T
	ctx      context.Context
	location Location
	again    func(*testing.T) Location
	keyAt    string
	mk       *keys.MasterKey
	store    keys.Store
	ks       *keys.Keystore
	began    time.Time
	muNow    sync.Mutex
	offset   time.Duration // time that passed in the test
	wrong    time.Duration // error of the clock
}

func newEnv(t *testing.T, p Location) *env {
	t.Helper()
	e := &env{T: t, ctx: t.Context(), location: p, began: time.Now(), keyAt: filepath.Join(t.TempDir(), "master.key")}
	e.must(keys.NewMasterKeyFile(e.keyAt))
	mk, err := keys.LoadMasterKey(e.ctx, e.keyAt)
	e.must(err)
	e.mk = mk
	e.store, err = p.Create()
	e.must(err)
	e.ks = e.join(e.store)
	return e
}

func (e *env) must(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// is fails the test unless err is the sentinel and begins with the package's name.
func (e *env) is(err, sentinel error) {
	e.Helper()
	if !errors.Is(err, sentinel) {
		e.Fatalf("got %v, want %v", err, sentinel)
	}
	if !strings.HasPrefix(err.Error(), "keys: ") {
		e.Fatalf("the error does not name its package: %v", err)
	}
}

func (e *env) now() time.Time {
	e.muNow.Lock()
	defer e.muNow.Unlock()
	return time.Now().Add(e.offset + e.wrong)
}

// uptime returns the boot and the time since boot. An error of the clock does not change
// it.
func (e *env) uptime() (boot string, span time.Duration) {
	e.muNow.Lock()
	defer e.muNow.Unlock()
	return "boot", time.Since(e.began) + e.offset
}

// later lets time pass, by the clock and since boot.
func (e *env) later(d time.Duration) {
	e.muNow.Lock()
	defer e.muNow.Unlock()
	e.offset += d
}

// set moves the clock without time passing.
func (e *env) set(d time.Duration) {
	e.muNow.Lock()
	defer e.muNow.Unlock()
	e.wrong += d
}

func (e *env) join(s keys.Store) *keys.Keystore {
	e.Helper()
	ks, err := keys.New(e.ctx, s, e.mk, keys.WithClock(e.now), keys.WithStoreClock(e.now), keys.WithUptime(e.uptime))
	e.must(err)
	e.Cleanup(func() { ks.Close() })
	return ks
}

// second opens another handle on the same keystore.
func (e *env) second() *keys.Keystore {
	e.Helper()
	s, err := e.location.Open()
	e.must(err)
	return e.join(s)
}

func (e *env) project(name string, orgs ...string) keys.Project {
	return keys.Project{
		Name: name, Method: "reversible", Policy: "same", Form: "pair62",
		Orgs: orgs, Retention: e.now().Add(24 * time.Hour),
	}
}

func (e *env) create(name string, orgs ...string) keys.Project {
	e.Helper()
	e.must(e.ks.CreateProject(e.ctx, e.project(name, orgs...), nil))
	p, err := e.ks.Project(e.ctx, name)
	e.must(err)
	return p
}

func (e *env) secrets(ks *keys.Keystore, prj, org string) []keys.Generation {
	e.Helper()
	g, err := ks.Secrets(e.ctx, keys.Domain{Prj: prj, Org: org})
	e.must(err)
	return g
}

func (e *env) change() uint64 {
	e.Helper()
	n, err := e.ks.Change(e.ctx)
	e.must(err)
	return n
}

func (e *env) blobs(prj string) [][]byte {
	e.Helper()
	var out [][]byte
	e.must(e.store.View(e.ctx, func(tx keys.Tx) error {
		rows, err := tx.Keys(prj)
		for _, r := range rows {
			if r.Wrapped != nil {
				out = append(out, r.Wrapped)
			}
		}
		return err
	}))
	return out
}

func (e *env) onDisk(needles ...[]byte) (any bool, all bool) {
	e.Helper()
	found, err := e.location.OnDisk(needles...)
	e.must(err)
	return slices.Contains(found, true), !slices.Contains(found, false)
}
