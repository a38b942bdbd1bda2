// Package storetest holds the tests that every store of a keystore passes: what
// a keystore promises, seen through the store, by several handles and several
// processes at the same time.
package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// Place is where one test has its keystore.
type Place interface {
	Create() (keys.Store, error)
	Open() (keys.Store, error)
	// Address is what a child process opens the same keystore by: see Main.
	Address() string
	// OnDisk says of each needle whether it stands anywhere in what the
	// store promises to clean.
	OnDisk(needles ...[]byte) ([]bool, error)
	// Execute changes the stored rows without a key.
	Execute(statements string) error
}

// Run runs all tests, each in a new place.
func Run(t *testing.T, place func(t *testing.T) Place) {
	for _, test := range []struct {
		name string
		run  func(*env)
	}{
		{"Project", testProject},
		{"Names", testNames},
		{"Invalid", testInvalid},
		{"NotFound", testNotFound},
		{"Imported", testImported},
		{"Rotate", testRotate},
		{"RetentionAtUse", testRetentionAtUse},
		{"Sweep", testSweep},
		{"Shorten", testShorten},
		{"Sever", testSever},
		{"Receipts", testReceipts},
		{"NoTraces", testNoTraces},
		{"TracesTriedAgain", testTracesTriedAgain},
		{"NothingInClear", testNothingInClear},
		{"MasterKey", testMasterKey},
		{"BoundOnce", testBoundOnce},
		{"MovedSecrets", testMovedSecrets},
		{"Tampered", testTampered},
		{"TamperedGenerations", testTamperedGenerations},
		{"TamperedRevocations", testTamperedRevocations},
		{"TamperedSweep", testTamperedSweep},
		{"Issuer", testIssuer},
		{"Change", testChange},
		{"Revoke", testRevoke},
		{"Lease", testLease},
		{"LeaseConcurrent", testLeaseConcurrent},
		{"LeaseProcesses", testLeaseProcesses},
		{"LeaseCrash", testLeaseCrash},
		{"Concurrent", testConcurrent},
		{"ScrubBesideReaders", testScrubBesideReaders},
		{"CreateRefuses", testCreateRefuses},
		{"Rollback", testRollback},
		{"Cancelled", testCancelled},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := newEnv(t, place(t))
			e.again = place
			test.run(e)
		})
	}
}

// env is a new keystore and what a test needs around it.
type env struct {
	*testing.T
	ctx    context.Context
	place  Place
	again  func(*testing.T) Place
	keyAt  string
	mk     *keys.MasterKey
	store  keys.Store
	ks     *keys.Keystore
	muNow  sync.Mutex
	offset time.Duration
}

func newEnv(t *testing.T, p Place) *env {
	t.Helper()
	e := &env{T: t, ctx: t.Context(), place: p, keyAt: filepath.Join(t.TempDir(), "master.key")}
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

// is fails the test unless err is the sentinel, and names its room.
func (e *env) is(err, sentinel error) {
	e.Helper()
	if !errors.Is(err, sentinel) {
		e.Fatalf("got %v, want %v", err, sentinel)
	}
	if !strings.HasPrefix(err.Error(), "keys: ") {
		e.Fatalf("error without its room: %v", err)
	}
}

func (e *env) now() time.Time {
	e.muNow.Lock()
	defer e.muNow.Unlock()
	return time.Now().Add(e.offset)
}

// later moves the clock.
func (e *env) later(d time.Duration) {
	e.muNow.Lock()
	defer e.muNow.Unlock()
	e.offset += d
}

func (e *env) join(s keys.Store) *keys.Keystore {
	e.Helper()
	ks, err := keys.New(e.ctx, s, e.mk, keys.WithClock(e.now))
	e.must(err)
	e.Cleanup(func() { ks.Close() })
	return ks
}

// second is another handle on the same keystore.
func (e *env) second() *keys.Keystore {
	e.Helper()
	s, err := e.place.Open()
	e.must(err)
	return e.join(s)
}

func (e *env) project(name string, orgs ...string) keys.Project {
	return keys.Project{
		Name: name, Method: "reversible", Policy: "same", Format: "pair62",
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
	found, err := e.place.OnDisk(needles...)
	e.must(err)
	return slices.Contains(found, true), !slices.Contains(found, false)
}

func testProject(e *env) {
	p := e.project("Étude 7 \"x\" <&> 'y'", "b", "", "a")
	p.Policy, p.Format, p.Tag = "document", "fpe:ab\\\"'", 128
	p.Retention = time.Date(2150, 2, 28, 1, 2, 3, 999e6, time.FixedZone("", 7200))
	orgs := slices.Clone(p.Orgs)
	e.must(e.ks.CreateProject(e.ctx, p, nil))
	for _, ks := range []*keys.Keystore{e.ks, e.second()} {
		got, err := ks.Project(e.ctx, p.Name)
		e.must(err)
		if d := e.now().Sub(got.Created); d < 0 || d > time.Minute {
			e.Errorf("made at %v", got.Created)
		}
		want := p
		want.Created = got.Created
		want.Retention = time.Date(2150, 2, 27, 23, 2, 3, 0, time.UTC)
		if !reflect.DeepEqual(got, want) {
			e.Errorf("got  %+v\nwant %+v", got, want)
		}
		// A secret of its own for every domain, the same in every handle.
		seen := map[[32]byte]bool{{}: true}
		for _, org := range orgs {
			g := e.secrets(ks, p.Name, org)
			if len(g) != 1 || g[0].Gen != 0 || g[0].State != keys.Active || g[0].Imported || seen[g[0].Secret] {
				e.Fatalf("org %q: %d generations", org, len(g))
			}
			if again := e.secrets(e.ks, p.Name, org); again[0].Secret != g[0].Secret {
				e.Error("another handle has another secret")
			}
			seen[g[0].Secret] = true
			keys.WipeSecrets(g)
			if g[0].Secret != ([32]byte{}) {
				e.Error("not wiped")
			}
		}
		gens, err := ks.Generations(e.ctx, p.Name)
		e.must(err)
		if len(gens) != 3 || len(gens["a"]) != 1 || gens["a"][0].Secret != ([32]byte{}) {
			e.Errorf("listing: %d organisations, or a secret in it", len(gens))
		}
	}
	// Without organisations there is the one named "".
	q := e.create("Z")
	if !reflect.DeepEqual(q.Orgs, []string{""}) {
		e.Errorf("orgs %q", q.Orgs)
	}
	e.create("a")
	ps, err := e.ks.Projects(e.ctx)
	e.must(err)
	var names []string
	for _, p := range ps {
		names = append(names, p.Name)
	}
	if want := []string{"Z", "a", p.Name}; !slices.Equal(names, want) {
		e.Errorf("listed %q, want %q", names, want)
	}
	err = e.ks.CreateProject(e.ctx, e.project("a", "other"), nil)
	e.is(err, keys.ErrExists)
	if g, _ := e.ks.Generations(e.ctx, "a"); len(g) != 1 || len(g[""]) != 1 {
		e.Error("a refused project left something behind")
	}
}

func testNames(e *env) {
	long := strings.Repeat("é", 127) + "x"
	for _, name := range []string{"x", long, " ", "日本語", "a/b?c#d%e", "'; DROP TABLE project; --", "Ⅷ\u200b"} {
		e.must(e.ks.CreateProject(e.ctx, e.project(name, name), nil))
		e.secrets(e.ks, name, name)
	}
	// Names are bytes: no folding, no trimming.
	for _, name := range []string{"X", "x ", "  "} {
		_, err := e.ks.Project(e.ctx, name)
		e.is(err, keys.ErrNotFound)
	}
}

func testInvalid(e *env) {
	ok := e.project("p")
	for what, change := range map[string]func(*keys.Project){
		"no name":                 func(p *keys.Project) { p.Name = "" },
		"long name":               func(p *keys.Project) { p.Name = strings.Repeat("x", 256) },
		"line feed in name":       func(p *keys.Project) { p.Name = "a\nb" },
		"NUL in name":             func(p *keys.Project) { p.Name = "a\x00" },
		"DEL in name":             func(p *keys.Project) { p.Name = "a\x7f" },
		"C1 control in name":      func(p *keys.Project) { p.Name = "a\u0085" },
		"invalid UTF-8 in name":   func(p *keys.Project) { p.Name = "a\xff" },
		"long org":                func(p *keys.Project) { p.Orgs = []string{strings.Repeat("x", 256)} },
		"control in org":          func(p *keys.Project) { p.Orgs = []string{"a", "b\t"} },
		"org twice":               func(p *keys.Project) { p.Orgs = []string{"a", "b", "a"} },
		"method":                  func(p *keys.Project) { p.Method = "Reversible" },
		"no policy":               func(p *keys.Project) { p.Policy = "" },
		"tag":                     func(p *keys.Project) { p.Tag = 32 },
		"no format":               func(p *keys.Project) { p.Format = "" },
		"control in format":       func(p *keys.Project) { p.Format = "fpe:a\n" },
		"reversible for ever":     func(p *keys.Project) { p.Retention = time.Time{} },
		"retention over":          func(p *keys.Project) { p.Retention = e.now().Add(-time.Second) },
		"retention now":           func(p *keys.Project) { p.Retention = e.now() },
		"retention beyond 9999":   func(p *keys.Project) { p.Retention = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"irreversible, ret. over": func(p *keys.Project) { p.Method, p.Retention = "irreversible", time.Unix(1, 0) },
	} {
		p := ok
		change(&p)
		err := e.ks.CreateProject(e.ctx, p, nil)
		if !errors.Is(err, keys.ErrInvalid) {
			e.Errorf("%s: got %v", what, err)
		}
	}
	ps, err := e.ks.Projects(e.ctx)
	e.must(err)
	if len(ps) != 0 {
		e.Errorf("%d projects came of it", len(ps))
	}
	p := ok
	p.Method, p.Retention = "irreversible", time.Time{}
	e.must(e.ks.CreateProject(e.ctx, p, nil))
	if got, _ := e.ks.Project(e.ctx, "p"); !got.Retention.IsZero() {
		e.Errorf("retention %v out of nothing", got.Retention)
	}
	e.later(200 * 365 * 24 * time.Hour)
	e.secrets(e.ks, "p", "")
}

func testNotFound(e *env) {
	e.create("p", "a", "b")
	for _, d := range []keys.Domain{{Prj: "q", Org: "a"}, {Prj: "p", Org: "c"}, {Prj: "p"}, {}, {Prj: "p\x00", Org: "a"}, {Prj: "p", Org: "a\x00"}, {Prj: "\xff"}} {
		_, err := e.ks.Secrets(e.ctx, d)
		e.is(err, keys.ErrNotFound)
	}
	for _, name := range []string{"q", "", "p\x00", "\xff"} {
		_, err := e.ks.Project(e.ctx, name)
		e.is(err, keys.ErrNotFound)
		_, err = e.ks.Generations(e.ctx, name)
		e.is(err, keys.ErrNotFound)
		e.is(e.ks.Rotate(e.ctx, name), keys.ErrNotFound)
		e.is(e.ks.Shorten(e.ctx, name, e.now()), keys.ErrNotFound)
		_, err = e.ks.Sever(e.ctx, name)
		e.is(err, keys.ErrNotFound)
	}
}

func testImported(e *env) {
	secrets := make([][32]byte, 3)
	for i := range secrets {
		rand.Read(secrets[i][:])
	}
	p := e.project("p", "a", "b")
	e.must(e.ks.CreateProject(e.ctx, p, secrets))
	e.must(e.ks.Rotate(e.ctx, "p"))
	got, err := e.ks.Project(e.ctx, "p")
	e.must(err)
	if !got.Imported {
		e.Error("the listing does not say that the secret came from outside")
	}
	for _, org := range p.Orgs {
		g := e.secrets(e.ks, "p", org)
		if len(g) != 4 {
			e.Fatalf("%d generations", len(g))
		}
		for i := range g {
			own := i == 3
			if g[i].Gen != i || g[i].Imported == own || (g[i].State == keys.Active) != own || !own && g[i].Secret != secrets[i] {
				e.Errorf("generation %d: number %d, %s, imported %v", i, g[i].Gen, g[i].State, g[i].Imported)
			}
		}
	}
	r, err := e.ks.Sever(e.ctx, "p")
	e.must(err)
	if !r.Imported || len(r.Orgs) != 2 || !r.Orgs[1].Generations[2].Imported || r.Orgs[1].Generations[3].Imported {
		e.Errorf("receipt %+v", r)
	}
	e.is(e.ks.CreateProject(e.ctx, e.project("twice"), [][32]byte{secrets[0], secrets[1], secrets[0]}), keys.ErrInvalid)
	many := make([][32]byte, 13)
	for i := range many {
		rand.Read(many[i][:])
	}
	e.must(e.ks.CreateProject(e.ctx, e.project("twelve"), many[:12]))
	e.is(e.ks.Rotate(e.ctx, "twelve"), keys.ErrTooManyGenerations)
	e.is(e.ks.CreateProject(e.ctx, e.project("thirteen"), many), keys.ErrTooManyGenerations)
}

func testRotate(e *env) {
	e.create("p", "a", "b")
	first := e.secrets(e.ks, "p", "b")[0].Secret
	seen := map[[32]byte]bool{first: true}
	for gen := 1; gen < 12; gen++ {
		e.must(e.ks.Rotate(e.ctx, "p"))
		g := e.secrets(e.ks, "p", "b")
		if len(g) != gen+1 || g[0].Secret != first {
			e.Fatalf("%d generations after %d rotations, or the first has changed", len(g), gen)
		}
		for i := range g {
			want := keys.Deactivated
			if i == gen {
				want = keys.Active
			}
			if g[i].Gen != i || g[i].State != want {
				e.Fatalf("generation %d is %s, want %s", g[i].Gen, g[i].State, want)
			}
		}
		if seen[g[gen].Secret] {
			e.Fatal("a secret came twice")
		}
		seen[g[gen].Secret] = true
	}
	before := e.change()
	e.is(e.ks.Rotate(e.ctx, "p"), keys.ErrTooManyGenerations)
	gens, err := e.ks.Generations(e.ctx, "p")
	e.must(err)
	for org, g := range gens {
		if len(g) != 12 || g[11].State != keys.Active {
			e.Errorf("a refused rotation changed organisation %s", org)
		}
	}
	if e.change() != before {
		e.Error("a refused rotation raised the counter")
	}
}

func testRetentionAtUse(e *env) {
	p := e.create("p")
	other := e.second()
	e.later(p.Retention.Sub(e.now()) - time.Second)
	e.secrets(e.ks, "p", "")
	e.later(2 * time.Second)
	for _, ks := range []*keys.Keystore{e.ks, other} {
		_, err := ks.Secrets(e.ctx, keys.Domain{Prj: "p"})
		e.is(err, keys.ErrRetentionOver)
		e.is(ks.Rotate(e.ctx, "p"), keys.ErrRetentionOver)
		e.is(ks.Shorten(e.ctx, "p", e.now()), keys.ErrRetentionOver)
	}
	// Nothing was swept yet; who severs then is told the true reason.
	r, err := e.ks.Sever(e.ctx, "p")
	e.must(err)
	if r.Reason != keys.ReasonRetention {
		e.Errorf("reason %q", r.Reason)
	}
}

func testSweep(e *env) {
	e.create("p", "a", "b")
	e.must(e.ks.Rotate(e.ctx, "p"))
	p := e.project("longer")
	p.Retention = e.now().Add(48 * time.Hour)
	e.must(e.ks.CreateProject(e.ctx, p, nil))
	if r, err := e.ks.Sweep(e.ctx, e.now()); len(r) != 0 || err != nil {
		e.Fatalf("swept %d too early, error %v", len(r), err)
	}
	e.later(25 * time.Hour)
	before := e.change()
	rs, err := e.second().Sweep(e.ctx, e.now())
	e.must(err)
	if len(rs) != 1 || rs[0].Project != "p" || rs[0].Reason != keys.ReasonRetention || len(rs[0].Orgs) != 2 || len(rs[0].Orgs[0].Generations) != 2 {
		e.Fatalf("receipts %+v", rs)
	}
	if e.change() == before {
		e.Error("nobody is told")
	}
	pub, err := e.ks.ReceiptKey(e.ctx)
	e.must(err)
	e.must(keys.VerifyReceipt(rs[0], pub))
	if r, err := e.ks.Sweep(e.ctx, e.now()); len(r) != 0 || err != nil {
		e.Errorf("swept %d again, error %v", len(r), err)
	}
	_, err = e.ks.Secrets(e.ctx, keys.Domain{Prj: "p", Org: "a"})
	e.is(err, keys.ErrRetentionOver)
	// Not even with the clock set back: there is nothing left.
	e.later(-25 * time.Hour)
	_, err = e.ks.Secrets(e.ctx, keys.Domain{Prj: "p", Org: "a"})
	e.is(err, keys.ErrRetentionOver)
	got, err := e.ks.Project(e.ctx, "p")
	e.must(err)
	gens, err := e.ks.Generations(e.ctx, "p")
	e.must(err)
	if !got.Severed || got.SeveredAt.IsZero() || gens["b"][1].State != keys.Destroyed || gens["b"][1].Destroyed != got.SeveredAt {
		e.Errorf("after the sweep: %+v, %+v", got, gens["b"][1])
	}
	if len(e.blobs("p")) != 0 {
		e.Error("wrapped secrets are left")
	}
	e.secrets(e.ks, "longer", "")

	// Many sweepers, one receipt.
	e.later(50 * time.Hour)
	var wg sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for range 3 {
		ks := e.second()
		wg.Go(func() {
			rs, err := ks.Sweep(e.ctx, e.now())
			mu.Lock()
			defer mu.Unlock()
			if err != nil && !errors.Is(err, keys.ErrTraces) {
				e.Error(err)
			}
			total += len(rs)
		})
	}
	wg.Wait()
	if total != 1 {
		e.Errorf("%d receipts for one project", total)
	}
	// And in the background.
	e.create("last")
	e.later(25 * time.Hour)
	ctx, stop := context.WithCancel(e.ctx)
	e.ks.Sweeper(ctx, time.Hour, func(rs []keys.Receipt, err error) {
		if len(rs) != 1 || rs[0].Project != "last" || err != nil {
			e.Errorf("told of %d, error %v", len(rs), err)
		}
		stop()
	})
}

func testShorten(e *env) {
	p := e.create("p")
	e.is(e.ks.Shorten(e.ctx, "p", p.Retention.Add(time.Second)), keys.ErrExtend)
	e.is(e.ks.Shorten(e.ctx, "p", time.Time{}), keys.ErrInvalid)
	before := e.change()
	e.must(e.ks.Shorten(e.ctx, "p", p.Retention.Add(500*time.Millisecond))) // the same second
	if e.change() != before {
		e.Error("no change raised the counter")
	}
	want := p.Retention.Add(-time.Hour)
	e.must(e.ks.Shorten(e.ctx, "p", want.Add(999*time.Millisecond)))
	got, err := e.second().Project(e.ctx, "p")
	e.must(err)
	if !got.Retention.Equal(want) || e.change() == before {
		e.Errorf("retention %v, want %v", got.Retention, want)
	}
	e.is(e.ks.Shorten(e.ctx, "p", p.Retention), keys.ErrExtend)
	// An end that has come is what Sever is for.
	e.is(e.ks.Shorten(e.ctx, "p", e.now().Add(-time.Hour)), keys.ErrInvalid)
	e.is(e.ks.Shorten(e.ctx, "p", e.now()), keys.ErrInvalid)
	e.secrets(e.ks, "p", "")
	e.must(e.ks.Shorten(e.ctx, "p", e.now().Add(time.Minute)))
	e.later(time.Minute)
	_, err = e.ks.Secrets(e.ctx, keys.Domain{Prj: "p"})
	e.is(err, keys.ErrRetentionOver)

	// A project without retention can be given one.
	q := keys.Project{Name: "q", Method: "irreversible", Policy: "same", Format: "hex"}
	e.must(e.ks.CreateProject(e.ctx, q, nil))
	e.must(e.ks.Shorten(e.ctx, "q", e.now().Add(time.Hour)))
	e.is(e.ks.Shorten(e.ctx, "q", e.now().Add(2*time.Hour)), keys.ErrExtend)
}

func testSever(e *env) {
	p := e.create("p", "a", "b")
	other := e.second()
	before := e.change()
	r, err := e.ks.Sever(e.ctx, "p")
	e.must(err)
	if e.change() == before {
		e.Error("nobody is told")
	}
	if r.V != 1 || r.Project != "p" || r.Reason != keys.ReasonSevered || r.Imported || !r.Retention.Equal(p.Retention) ||
		len(r.Orgs) != 2 || r.Orgs[0].Org != "a" || len(r.Orgs[0].Generations) != 1 || !r.Orgs[0].Generations[0].Created.Equal(p.Created) {
		e.Errorf("receipt %+v", r)
	}
	for _, ks := range []*keys.Keystore{e.ks, other} {
		_, err := ks.Secrets(e.ctx, keys.Domain{Prj: "p", Org: "b"})
		e.is(err, keys.ErrSevered)
		e.is(ks.Rotate(e.ctx, "p"), keys.ErrSevered)
		e.is(ks.Shorten(e.ctx, "p", e.now()), keys.ErrSevered)
		_, err = ks.Sever(e.ctx, "p")
		e.is(err, keys.ErrSevered)
	}
	e.is(e.ks.CreateProject(e.ctx, e.project("p"), nil), keys.ErrExists)
	e.later(48 * time.Hour)
	_, err = e.ks.Secrets(e.ctx, keys.Domain{Prj: "p", Org: "b"})
	e.is(err, keys.ErrSevered)
	if rs, err := e.ks.Sweep(e.ctx, e.now()); len(rs) != 0 || err != nil {
		e.Errorf("swept %d of what is severed, error %v", len(rs), err)
	}
}

func testReceipts(e *env) {
	e.create("p", "<&>")
	e.create("q")
	r, err := e.ks.Sever(e.ctx, "p")
	e.must(err)
	_, err = e.ks.Sever(e.ctx, "q")
	e.must(err)
	pub, err := e.second().ReceiptKey(e.ctx)
	e.must(err)
	kept, err := e.second().Receipts(e.ctx, "p")
	e.must(err)
	all, err := e.ks.Receipts(e.ctx, "")
	e.must(err)
	if len(kept) != 1 || !reflect.DeepEqual(kept[0], r) || len(all) != 2 || all[1].Project != "q" {
		e.Fatalf("kept %+v, returned %+v; %d in all", kept, r, len(all))
	}
	for _, r := range all {
		e.must(keys.VerifyReceipt(r, pub))
	}
	if none, err := e.ks.Receipts(e.ctx, "\x00"); len(none) != 0 || err != nil {
		e.Error("receipts of nothing")
	}
}

func testNoTraces(e *env) {
	// Enough rows that pages are split and merged, and that a deleted one can
	// linger in a page that is otherwise in use.
	var doomed, living [][]byte
	for i := range 40 {
		name := fmt.Sprintf("project %02d", i)
		e.create(name, "a", "b", "c")
		if i%4 == 0 {
			e.must(e.ks.Rotate(e.ctx, name))
		}
	}
	reader := e.second() // a handle that is open all the while
	for i := range 40 {
		name := fmt.Sprintf("project %02d", i)
		if i%2 == 0 {
			doomed = append(doomed, e.blobs(name)...)
		} else {
			living = append(living, e.blobs(name)...)
		}
	}
	if _, all := e.onDisk(doomed...); !all {
		e.Fatal("the search does not find what is there")
	}
	for i := 0; i < 40; i += 2 {
		name := fmt.Sprintf("project %02d", i)
		if i%4 == 0 {
			e.must(e.ks.Rotate(e.ctx, name))
			doomed = append(doomed, e.blobs(name)...)
		}
		_, err := e.ks.Sever(e.ctx, name)
		e.must(err)
	}
	// Nor the half of one that a split page might hold.
	for _, b := range slices.Clone(doomed) {
		doomed = append(doomed, b[:30], b[30:])
	}
	if any, _ := e.onDisk(doomed...); any {
		e.Error("a wrapped secret, or half of one, is still on disk")
	}
	if _, all := e.onDisk(living...); !all {
		e.Error("a living secret is gone")
	}
	if g := e.secrets(reader, "project 01", "c"); len(g) != 1 {
		e.Fatal("a living project lost its secret")
	}
}

// hooked is a store with one method replaced.
type hooked struct {
	keys.Store
	scrub func() error
	rows  func([]keys.KeyRow) []keys.KeyRow
}

func (h *hooked) Scrub(ctx context.Context) error {
	if h.scrub != nil {
		if err := h.scrub(); err != nil {
			return err
		}
	}
	return h.Store.Scrub(ctx)
}

func (h *hooked) View(ctx context.Context, f func(keys.Tx) error) error {
	return h.Store.View(ctx, func(tx keys.Tx) error { return f(&hookedTx{tx, h}) })
}

type hookedTx struct {
	keys.Tx
	h *hooked
}

func (t *hookedTx) DomainKeys(d keys.Domain) ([]keys.KeyRow, error) {
	rows, err := t.Tx.DomainKeys(d)
	if t.h.rows != nil {
		rows = t.h.rows(rows)
	}
	return rows, err
}

func testTracesTriedAgain(e *env) {
	e.create("p")
	blob := e.blobs("p")[0]
	broken := errors.New("a reader holds the file")
	h := &hooked{Store: e.store, scrub: func() error { return broken }}
	ks := e.join(h)
	r, err := ks.Sever(e.ctx, "p")
	e.is(err, keys.ErrTraces)
	if !errors.Is(err, broken) || r.Project != "p" || len(r.Signature) == 0 {
		e.Fatalf("error %v, receipt %+v", err, r)
	}
	_, err = ks.Secrets(e.ctx, keys.Domain{Prj: "p"})
	e.is(err, keys.ErrSevered)
	_, err = ks.Sweep(e.ctx, e.now())
	e.is(err, keys.ErrTraces)
	h.scrub = nil
	// By whichever process sweeps next.
	_, err = e.second().Sweep(e.ctx, e.now())
	e.must(err)
	if any, _ := e.onDisk(blob); any {
		e.Error("the traces are still there")
	}
	// What is destroyed while another scrubs, by a process that dies before it
	// does so itself, is not forgotten.
	e.create("q")
	e.create("r")
	blob = e.blobs("r")[0]
	h.scrub = func() error {
		h.scrub = func() error { return broken }
		_, err := ks.Sever(e.ctx, "r")
		e.is(err, keys.ErrTraces)
		h.scrub = nil
		return nil
	}
	_, err = ks.Sever(e.ctx, "q")
	e.must(err)
	scrubs := 0
	h.scrub = func() error { scrubs++; return nil }
	_, err = ks.Sweep(e.ctx, e.now())
	e.must(err)
	if any, _ := e.onDisk(blob); any || scrubs != 1 {
		e.Errorf("%d scrubs, or traces are left", scrubs)
	}
	h.scrub = func() error { return errors.New("called though there is nothing to do") }
	_, err = ks.Sweep(e.ctx, e.now())
	e.must(err)
}

func testNothingInClear(e *env) {
	var s [1][32]byte
	rand.Read(s[0][:])
	e.must(e.ks.CreateProject(e.ctx, e.project("p"), s[:]))
	e.create("q")
	own := e.secrets(e.ks, "q", "")[0].Secret
	seed, err := e.ks.IssuerSeed(e.ctx)
	e.must(err)
	for what, secret := range map[string][]byte{"imported": s[0][:], "own": own[:], "issuer": seed} {
		if any, _ := e.onDisk(secret, secret[:16], []byte(hex.EncodeToString(secret))); any {
			e.Errorf("the %s secret stands in clear in the store", what)
		}
	}
}

func testMasterKey(e *env) {
	e.create("p")
	wrongAt := filepath.Join(e.TempDir(), "other.key")
	e.must(keys.NewMasterKeyFile(wrongAt))
	wrong, err := keys.LoadMasterKey(e.ctx, wrongAt)
	e.must(err)
	s, err := e.place.Open()
	e.must(err)
	defer s.Close()
	_, err = keys.New(e.ctx, s, wrong)
	e.is(err, keys.ErrWrongMasterKey)
	if !strings.Contains(err.Error(), "give the master key that it was made with") {
		e.Errorf("no remedy: %v", err)
	}
	e.secrets(e.second(), "p", "")

	// A keystore that lost its check value is not taken for a new one.
	e.must(e.store.Update(e.ctx, func(tx keys.Tx) error { return tx.SetMeta("check", nil) }))
	_, err = keys.New(e.ctx, s, wrong)
	e.is(err, keys.ErrCorrupt)
}

func testBoundOnce(e *env) {
	// Many processes that meet a keystore just created agree.
	e.must(e.store.Update(e.ctx, func(tx keys.Tx) error {
		return errors.Join(tx.SetMeta("check", nil), tx.SetMeta("issuer", nil), tx.SetMeta("receipt", nil))
	}))
	seeds := make([][]byte, 6)
	var wg sync.WaitGroup
	for i := range seeds {
		s, err := e.place.Open()
		e.must(err)
		defer s.Close()
		wg.Go(func() {
			ks, err := keys.New(e.ctx, s, e.mk)
			if err == nil {
				seeds[i], err = ks.IssuerSeed(e.ctx)
			}
			if err != nil {
				e.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range seeds {
		if len(s) != 32 || !bytes.Equal(s, seeds[0]) {
			e.Fatal("two issuers were made")
		}
	}
}

func testMovedSecrets(e *env) {
	e.create("p", "a", "b")
	e.must(e.ks.Rotate(e.ctx, "p"))
	var fromB []keys.KeyRow
	e.must(e.store.View(e.ctx, func(tx keys.Tx) (err error) {
		fromB, err = tx.DomainKeys(keys.Domain{Prj: "p", Org: "b"})
		return err
	}))
	h := &hooked{Store: e.store}
	ks := e.join(h)
	for what, rows := range map[string]func([]keys.KeyRow) []keys.KeyRow{
		"other domain":      func(r []keys.KeyRow) []keys.KeyRow { r[0].Wrapped = fromB[0].Wrapped; return r },
		"other generation":  func(r []keys.KeyRow) []keys.KeyRow { r[1].Wrapped = r[0].Wrapped; return r },
		"renumbered":        func(r []keys.KeyRow) []keys.KeyRow { r[0].Gen, r[1].Gen = 1, 0; return r },
		"one bit":           func(r []keys.KeyRow) []keys.KeyRow { r[1].Wrapped[40] ^= 1; return r },
		"cut":               func(r []keys.KeyRow) []keys.KeyRow { r[1].Wrapped = r[1].Wrapped[:59]; return r },
		"shorter than head": func(r []keys.KeyRow) []keys.KeyRow { r[1].Wrapped = r[1].Wrapped[:5]; return r },
		"lost row":          func(r []keys.KeyRow) []keys.KeyRow { return r[:1] },
		"no row":            func(r []keys.KeyRow) []keys.KeyRow { return nil },
		"missing":           func(r []keys.KeyRow) []keys.KeyRow { r[0].Wrapped = nil; return r },
	} {
		h.rows = rows
		g, err := ks.Secrets(e.ctx, keys.Domain{Prj: "p", Org: "a"})
		if !errors.Is(err, keys.ErrCorrupt) && !errors.Is(err, keys.ErrTampered) || g != nil {
			e.Errorf("%s: got %v", what, err)
		}
	}
	h.rows = nil
	e.secrets(ks, "p", "a")
}

func testIssuer(e *env) {
	a, err := e.ks.IssuerSeed(e.ctx)
	e.must(err)
	b, err := e.second().IssuerSeed(e.ctx)
	e.must(err)
	pub, err := e.ks.ReceiptKey(e.ctx)
	e.must(err)
	if len(a) != 32 || !bytes.Equal(a, b) || bytes.Equal(a, make([]byte, 32)) || bytes.Equal(a, pub) {
		e.Error("the seed is not one and the same")
	}
}

func testChange(e *env) {
	other := e.second()
	last := e.change()
	step := func(what string, raised bool, f func() error) {
		e.Helper()
		e.must(f())
		n, err := other.Change(e.ctx)
		e.must(err)
		if raised != (n > last) || !raised && n != last {
			e.Errorf("%s: counter from %d to %d", what, last, n)
		}
		last = n
	}
	p := e.project("p")
	step("create", true, func() error { return e.ks.CreateProject(e.ctx, p, nil) })
	step("rotate", true, func() error { return e.ks.Rotate(e.ctx, "p") })
	step("shorten", true, func() error { return e.ks.Shorten(e.ctx, "p", p.Retention.Add(-time.Hour)) })
	step("revoke", true, func() error { return e.ks.Revoke(e.ctx, "j", e.now()) })
	step("read", false, func() error { _, err := e.ks.Secrets(e.ctx, keys.Domain{Prj: "p"}); return err })
	step("lease", false, func() error { _, err := e.ks.Lease(e.ctx, "j", 10, 5); return err })
	step("idle sweep", false, func() error { _, err := e.ks.Sweep(e.ctx, e.now()); return err })
	step("sever", true, func() error { _, err := e.ks.Sever(e.ctx, "p"); return err })
}

func testRevoke(e *env) {
	now := e.now()
	odd := "jti with \x00, \xff, ' and \u00e9"
	e.must(e.ks.Revoke(e.ctx, "short", now.Add(time.Minute)))
	e.must(e.ks.Revoke(e.ctx, "long", now.Add(time.Hour)))
	e.must(e.ks.Revoke(e.ctx, "long", now.Add(time.Minute))) // keeps the later end
	e.must(e.ks.Revoke(e.ctx, odd, time.Time{}))
	for _, jti := range []string{"", strings.Repeat("x", 1025)} {
		e.is(e.ks.Revoke(e.ctx, jti, now), keys.ErrInvalid)
	}
	expect := func(want ...string) {
		e.Helper()
		got, err := e.second().Revocations(e.ctx)
		e.must(err)
		for _, jti := range want {
			if _, ok := got[jti]; !ok {
				e.Errorf("%q is not revoked", jti)
			}
		}
		if len(got) != len(want) {
			e.Errorf("%d are revoked, want %d", len(got), len(want))
		}
	}
	expect("short", "long", odd)
	sweep := func(at time.Time) {
		e.Helper()
		_, err := e.ks.Sweep(e.ctx, at)
		e.must(err)
	}
	sweep(now.Add(2 * time.Minute)) // over, but within the skew of clocks
	expect("short", "long", odd)
	sweep(now.Add(30 * time.Minute))
	expect("long", odd)
	sweep(now.Add(100 * 365 * 24 * time.Hour))
	expect(odd)
}

func (e *env) lease(ks *keys.Keystore, jti string, max, want, granted int64) {
	e.Helper()
	got, err := ks.Lease(e.ctx, jti, max, want)
	e.must(err)
	if got != granted {
		e.Fatalf("granted %d of %d, want %d", got, want, granted)
	}
}

func testLease(e *env) {
	other := e.second()
	e.lease(e.ks, "a", 100, 30, 30)
	e.lease(other, "a", 100, 60, 60)
	e.lease(e.ks, "a", 100, 30, 10)
	e.lease(other, "a", 100, 1, 0)
	e.lease(e.ks, "b", 100, 1000, 100)
	e.lease(e.ks, "c", 0, 1, 0)
	e.lease(e.ks, "a", 50, 1, 0) // a smaller whole gives nothing back
	const most = 1<<63 - 1
	e.lease(e.ks, "d", most, most, most)
	e.lease(e.ks, "d", most, most, 0)
	for _, bad := range []struct {
		jti       string
		max, want int64
	}{{"", 1, 1}, {"x", -1, 1}, {"x", 1, 0}, {"x", 1, -5}} {
		_, err := e.ks.Lease(e.ctx, bad.jti, bad.max, bad.want)
		e.is(err, keys.ErrInvalid)
	}
	// Those of tokens that ended are dropped, late; the others never.
	now := e.now()
	_, err := e.ks.LeaseUntil(e.ctx, "ended", now, 5, 5)
	e.must(err)
	_, err = e.ks.Sweep(e.ctx, now.Add(time.Minute))
	e.must(err)
	e.lease(e.ks, "ended", 5, 1, 0)
	_, err = e.ks.LeaseUntil(e.ctx, "ended2", now, 5, 5)
	e.must(err)
	_, err = e.ks.Sweep(e.ctx, now.Add(time.Hour))
	e.must(err)
	e.lease(e.ks, "ended2", 5, 5, 5)
	e.lease(e.ks, "a", 100, 1, 0)
}

func testLeaseConcurrent(e *env) {
	handles := []*keys.Keystore{e.ks, e.second(), e.second()}
	const whole = 1000
	var wg sync.WaitGroup
	var mu sync.Mutex
	var total int64
	for i := range 9 {
		wg.Go(func() {
			for {
				n, err := handles[i%3].Lease(e.ctx, "j", whole, 7)
				if err != nil {
					e.Error(err)
					return
				}
				if n == 0 {
					return
				}
				mu.Lock()
				total += n
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if total != whole {
		e.Errorf("granted %d of %d", total, whole)
	}
}

func testConcurrent(e *env) {
	handles := []*keys.Keystore{e.ks, e.second()}
	e.create("shared", "x")
	var wg sync.WaitGroup
	for i := range 4 {
		ks := handles[i%2]
		wg.Go(func() {
			name := fmt.Sprintf("own %d", i)
			if err := ks.CreateProject(e.ctx, e.project(name), nil); err != nil {
				e.Error(err)
				return
			}
			for n := range 2 {
				if err := ks.Rotate(e.ctx, "shared"); err != nil {
					e.Error(err)
				}
				if err := ks.Revoke(e.ctx, fmt.Sprintf("%d %d", i, n), time.Time{}); err != nil {
					e.Error(err)
				}
				g, err := ks.Secrets(e.ctx, keys.Domain{Prj: "shared", Org: "x"})
				if err != nil || len(g) == 0 || g[len(g)-1].State != keys.Active || g[len(g)-1].Gen != len(g)-1 {
					e.Errorf("%d generations, error %v", len(g), err)
				}
			}
			if _, err := ks.Sever(e.ctx, name); err != nil && !errors.Is(err, keys.ErrTraces) {
				e.Error(err)
			}
		})
	}
	wg.Wait()
	if g := e.secrets(e.ks, "shared", "x"); len(g) != 9 {
		e.Errorf("%d generations, want 9", len(g))
	}
	rs, err := e.ks.Receipts(e.ctx, "")
	e.must(err)
	if len(rs) != 4 {
		e.Errorf("%d receipts, want 4", len(rs))
	}
}

// testScrubBesideReaders has a project read, over and over, while others are
// severed: no reader may find it without its secrets.
func testScrubBesideReaders(e *env) {
	e.create("p")
	secret := e.secrets(e.ks, "p", "")[0].Secret
	reader := e.second()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				g, err := reader.Secrets(e.ctx, keys.Domain{Prj: "p"})
				if err != nil || len(g) != 1 || g[0].Secret != secret {
					e.Errorf("%d generations, error %v", len(g), err)
					return
				}
			}
		})
	}
	for i := range 8 {
		name := fmt.Sprint(i)
		e.create(name)
		if _, err := e.ks.Sever(e.ctx, name); err != nil && !errors.Is(err, keys.ErrTraces) {
			e.Error(err)
		}
	}
	close(done)
	wg.Wait()
}

func testCreateRefuses(e *env) {
	e.create("p")
	_, err := e.place.Create()
	e.is(err, keys.ErrKeystoreExists)
	e.secrets(e.second(), "p", "")
}

func testRollback(e *env) {
	stop := errors.New("stop")
	before := e.change()
	err := e.store.Update(e.ctx, func(tx keys.Tx) error {
		return errors.Join(tx.SetMeta("x", []byte("y")), tx.Revoke("j", time.Time{}), tx.Bump(), stop)
	})
	if !errors.Is(err, stop) {
		e.Fatalf("got %v", err)
	}
	r, err := e.ks.Revocations(e.ctx)
	e.must(err)
	e.must(e.store.View(e.ctx, func(tx keys.Tx) error {
		v, err := tx.Meta("x")
		if v != nil {
			e.Error("an undone change is there")
		}
		return err
	}))
	if len(r) != 0 || e.change() != before {
		e.Error("an undone change is there")
	}
	// A view sees one state, whatever happens meanwhile.
	e.must(e.store.View(e.ctx, func(tx keys.Tx) error {
		a, err := tx.Projects()
		if err != nil {
			return err
		}
		if err := e.second().CreateProject(e.ctx, e.project("p"), nil); err != nil {
			return err
		}
		b, err := tx.Projects()
		if len(a) != len(b) {
			e.Error("a view saw two states")
		}
		return err
	}))
}

func testCancelled(e *env) {
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	_, err := e.ks.Project(ctx, "p")
	if !errors.Is(err, context.Canceled) {
		e.Errorf("got %v", err)
	}
	if err := e.ks.CreateProject(ctx, e.project("p"), nil); !errors.Is(err, context.Canceled) {
		e.Errorf("got %v", err)
	}
	_, err = e.ks.Project(e.ctx, "p")
	e.is(err, keys.ErrNotFound)
}
