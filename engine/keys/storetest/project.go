package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

func testProject(e *env) {
	p := e.project("Étude 7 \"x\" <&> 'y'", "b", "", "a")
	p.Policy, p.Form, p.Tag = "document", "fpe:ab\\\"'", 128
	p.Retention = time.Date(2150, 2, 28, 1, 2, 3, 999e6, time.FixedZone("", 7200))
	orgs := slices.Clone(p.Orgs)
	e.must(e.ks.CreateProject(e.ctx, p, nil))
	for _, ks := range []*keys.Keystore{e.ks, e.second()} {
		got, err := ks.Project(e.ctx, p.Name)
		e.must(err)
		if d := e.now().Sub(got.Created); d < 0 || d > time.Minute {
			e.Errorf("created at %v, want now", got.Created)
		}
		want := p
		want.Created = got.Created
		want.Retention = time.Date(2150, 2, 27, 23, 2, 3, 0, time.UTC)
		if !reflect.DeepEqual(got, want) {
			e.Errorf("got  %+v\nwant %+v", got, want)
		}
		// Every domain has its own secret, which every handle reads.
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
				e.Error("WipeSecrets did not wipe the secret")
			}
		}
		gens, err := ks.Generations(e.ctx, p.Name)
		e.must(err)
		if len(gens) != 3 || len(gens["a"]) != 1 || gens["a"][0].Secret != ([32]byte{}) {
			e.Errorf("Generations: %d organisations, or one with a secret", len(gens))
		}
	}
	// A project without organisations has one named "".
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
		e.Error("a refused project was stored in part")
	}
}

func testNames(e *env) {
	long := strings.Repeat("é", 127) + "x"
	for _, name := range []string{"x", long, " ", "日本語", "a/b?c#d%e", "'; DROP TABLE project; --", "Ⅷ\u200b"} {
		e.must(e.ks.CreateProject(e.ctx, e.project(name, name), nil))
		e.secrets(e.ks, name, name)
	}
	// Names are compared as bytes, without folding or trimming.
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
		"no form":                 func(p *keys.Project) { p.Form = "" },
		"control in form":         func(p *keys.Project) { p.Form = "fpe:a\n" },
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
		e.Errorf("%d projects were created, want none", len(ps))
	}
	p := ok
	p.Method, p.Retention = "irreversible", time.Time{}
	e.must(e.ks.CreateProject(e.ctx, p, nil))
	if got, _ := e.ks.Project(e.ctx, "p"); !got.Retention.IsZero() {
		e.Errorf("a project without retention has retention %v", got.Retention)
	}
	e.later(200 * 365 * 24 * time.Hour)
	_, err = e.ks.AcceptClock(e.ctx)
	e.must(err)
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
		e.Error("Generations does not mark the secret as imported")
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
			e.Fatal("two generations have the same secret")
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
	// No sweep has run yet: severing now gives the retention as the reason.
	r, err := e.ks.Sever(e.ctx, "p")
	e.must(err)
	if r.Reason != keys.ReasonRetention {
		e.Errorf("reason %q", r.Reason)
	}
}

func testShorten(e *env) {
	p := e.create("p")
	e.is(e.ks.Shorten(e.ctx, "p", p.Retention.Add(time.Second)), keys.ErrExtend)
	e.is(e.ks.Shorten(e.ctx, "p", time.Time{}), keys.ErrInvalid)
	before := e.change()
	e.must(e.ks.Shorten(e.ctx, "p", p.Retention.Add(500*time.Millisecond))) // within the same second
	if e.change() != before {
		e.Error("shortening to the same second raised the change counter")
	}
	want := p.Retention.Add(-time.Hour)
	e.must(e.ks.Shorten(e.ctx, "p", want.Add(999*time.Millisecond)))
	got, err := e.second().Project(e.ctx, "p")
	e.must(err)
	if !got.Retention.Equal(want) || e.change() == before {
		e.Errorf("retention %v, want %v", got.Retention, want)
	}
	e.is(e.ks.Shorten(e.ctx, "p", p.Retention), keys.ErrExtend)
	// An end in the past is refused; Sever is for that.
	e.is(e.ks.Shorten(e.ctx, "p", e.now().Add(-time.Hour)), keys.ErrInvalid)
	e.is(e.ks.Shorten(e.ctx, "p", e.now()), keys.ErrInvalid)
	e.secrets(e.ks, "p", "")
	e.must(e.ks.Shorten(e.ctx, "p", e.now().Add(time.Minute)))
	e.later(time.Minute)
	_, err = e.ks.Secrets(e.ctx, keys.Domain{Prj: "p"})
	e.is(err, keys.ErrRetentionOver)

	// A project without retention can get one.
	q := keys.Project{Name: "q", Method: "irreversible", Policy: "same", Form: "hex"}
	e.must(e.ks.CreateProject(e.ctx, q, nil))
	e.must(e.ks.Shorten(e.ctx, "q", e.now().Add(time.Hour)))
	e.is(e.ks.Shorten(e.ctx, "q", e.now().Add(2*time.Hour)), keys.ErrExtend)
}

func testCreateRefuses(e *env) {
	e.create("p")
	_, err := e.location.Create()
	e.is(err, keys.ErrKeystoreExists)
	e.secrets(e.second(), "p", "")
}

func testRollback(e *env) {
	stop := errors.New("stop")
	before := e.change()
	err := e.store.Update(e.ctx, func(tx keys.Tx) error {
		return errors.Join(tx.SetMeta("x", []byte("y")), tx.Revoke("j", time.Time{}, before+1), tx.RaiseChange(), stop)
	})
	if !errors.Is(err, stop) {
		e.Fatalf("got %v", err)
	}
	r, err := e.ks.Revoked(e.ctx, nil)
	e.must(err)
	e.must(e.store.View(e.ctx, func(tx keys.Tx) error {
		v, err := tx.Meta("x")
		if v != nil {
			e.Error("a change was kept although its transaction failed")
		}
		return err
	}))
	if r.Len() != 0 || e.change() != before {
		e.Error("a change was kept although its transaction failed")
	}
	// A view sees one state although other processes make changes.
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
			e.Error("a view saw a change of another process")
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
	step("idle sweep", false, func() error { _, err := e.ks.Sweep(e.ctx); return err })
	step("sever", true, func() error { _, err := e.ks.Sever(e.ctx, "p"); return err })
}

// testFollowChange follows changes of another process: what no change concerns takes one
// query, without a transaction.
func testFollowChange(e *env) {
	h := &hookedStore{Store: e.store}
	ks := e.join(h)
	n, err := ks.Change(e.ctx)
	e.must(err)
	last, err := ks.RevokedAt(e.ctx, n, nil)
	e.must(err)
	issuers := ks.IssuersVersion()
	follow := func(what string, newIssuers bool) {
		e.Helper()
		before := n
		n, err = ks.Change(e.ctx)
		e.must(err)
		last, err = ks.RevokedAt(e.ctx, n, last)
		e.must(err)
		if n <= before {
			e.Errorf("%s: the change number stays %d", what, n)
		}
		now := ks.IssuersVersion()
		if (now != issuers) != newIssuers {
			e.Errorf("%s: the issuers' version goes from %x to %x", what, issuers, now)
		}
		issuers = now
	}
	e.create("p")
	h.views = 0
	follow("create", false)
	_, err = e.ks.Sever(e.ctx, "p")
	e.must(err)
	follow("sever", false)
	if h.views != 0 {
		e.Errorf("%d transactions to see that nothing was revoked", h.views)
	}
	e.must(e.ks.Revoke(e.ctx, "j", e.now().Add(time.Hour)))
	follow("revoke", false)
	if !last.Has("j") {
		e.Error("a revocation is not seen")
	}
	e.must(e.ks.NameIssuer(e.ctx, "another"))
	follow("name", true)
	if _, err = e.ks.RotateIssuer(e.ctx, 0); err != nil {
		e.Fatal(err)
	}
	follow("rotate", true)
}

func testIssuer(e *env) {
	a, err := e.ks.IssuerSeed(e.ctx)
	e.must(err)
	b, err := e.second().IssuerSeed(e.ctx)
	e.must(err)
	pub, err := e.ks.ReceiptKey(e.ctx)
	e.must(err)
	if len(a) != 32 || !bytes.Equal(a, b) || bytes.Equal(a, make([]byte, 32)) || bytes.Equal(a, pub) {
		e.Error("two handles have different seeds")
	}
}
