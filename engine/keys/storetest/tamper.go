package storetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// Execute runs statements on the tables, like somebody who can write to the store but does not
// have the master key. A table's name is preceded by @.
type Execute func(statements string) error

// testTampered changes stored rows without resealing them. Every operation on the project
// is refused and names it; other projects are not affected.
func testTampered(e *env) {
	const old = "UPDATE @project SET retention = (SELECT retention FROM @old WHERE name = 'p'), keys_mac = (SELECT keys_mac FROM @old WHERE name = 'p'), seal = (SELECT seal FROM @old WHERE name = 'p') WHERE name = 'p';"
	for _, c := range []struct{ what, statements string }{
		{"retention extended", "UPDATE @project SET retention = retention + 315360000000000 WHERE name = 'p'"},
		{"retention taken away", "UPDATE @project SET retention = NULL WHERE name = 'p'"},
		{"method", "UPDATE @project SET method = 'irreversible' WHERE name = 'p'"},
		{"policy", "UPDATE @project SET policy = 'different' WHERE name = 'p'"},
		{"form", "UPDATE @project SET format = 'hex' WHERE name = 'p'"},
		{"tag", "UPDATE @project SET tag = 64 WHERE name = 'p'"},
		{"imported", "UPDATE @project SET imported = (name = 'p') WHERE name = 'p'"},
		{"rotation", "UPDATE @project SET rotate_every = 3600 WHERE name = 'p'"},
		{"grace", "UPDATE @project SET grace = 604800 WHERE name = 'p'"},
		{"ended", "UPDATE @project SET ended = created WHERE name = 'p'"},
		{"severing scheduled", "UPDATE @project SET sever_at = created WHERE name = 'p'"},
		{"created", "UPDATE @project SET created = created - 1 WHERE name = 'p'"},
		{"severed without an act", "UPDATE @project SET severed_at = created, reason = 'severed' WHERE name = 'p'"},
		{"organisations of another", "UPDATE @project SET orgs = (SELECT orgs FROM @project WHERE name = 'q') WHERE name = 'p'"},
		{"the whole row of another", "UPDATE @project SET retention = (SELECT retention FROM @project WHERE name = 'q'), orgs = (SELECT orgs FROM @project WHERE name = 'q'), created = (SELECT created FROM @project WHERE name = 'q'), keys_mac = (SELECT keys_mac FROM @project WHERE name = 'q'), seal = (SELECT seal FROM @project WHERE name = 'q') WHERE name = 'p'"},
		{"an older copy of the row", old},
		{"an older copy of row and list", old + "DELETE FROM @seal_list; INSERT INTO @seal_list SELECT * FROM @oldlist"},
		{"no seal", "UPDATE @project SET seal = keys_mac WHERE name = 'p'"},
		{"row gone", "DELETE FROM @generation WHERE prj = 'p'; DELETE FROM @project WHERE name = 'p'"},
		{"no lists", "DELETE FROM @seal_list"},
		{"an older root", "UPDATE @meta SET value = (SELECT value FROM @oldmeta WHERE name = 'seals') WHERE name = 'seals'; UPDATE @change_number SET n = n + 1"},
		{"no root", "DELETE FROM @meta WHERE name = 'seals'; UPDATE @change_number SET n = n + 1"},
	} {
		e.Run(c.what, func(t *testing.T) {
			e := newEnv(t, e.again(t))
			e.create("p")
			e.create("q", "a")
			e.must(e.location.Execute("CREATE TABLE @old AS SELECT * FROM @project; CREATE TABLE @oldlist AS SELECT * FROM @seal_list; CREATE TABLE @oldmeta AS SELECT * FROM @meta"))
			e.must(e.ks.Shorten(e.ctx, "p", e.now().Add(time.Hour)))
			if _, err := e.ks.Projects(e.ctx); err != nil {
				t.Fatal(err)
			}
			e.must(e.location.Execute(c.statements))
			for which, ks := range map[string]*keys.Keystore{"in use": e.ks, "opened again": e.second()} {
				e.refusesProject(ks, which)
			}
			// A change of p does not affect q.
			if strings.Contains(c.statements, "'p'") && !strings.Contains(c.statements, "seal_list") && !strings.Contains(c.statements, "@meta") {
				e.secrets(e.ks, "q", "a")
				e.must(e.ks.Rotate(e.ctx, "q"))
			}
		})
	}
}

// refusesProject calls every operation that concerns project p.
func (e *env) refusesProject(ks *keys.Keystore, which string) {
	e.Helper()
	for verb, f := range map[string]func() error{
		"show":    func() error { _, err := ks.Project(e.ctx, "p"); return err },
		"list":    func() error { _, err := ks.Projects(e.ctx); return err },
		"keys":    func() error { _, err := ks.Generations(e.ctx, "p"); return err },
		"use":     func() error { _, err := ks.Secrets(e.ctx, keys.Domain{Prj: "p"}); return err },
		"rotate":  func() error { return ks.Rotate(e.ctx, "p") },
		"shorten": func() error { return ks.Shorten(e.ctx, "p", e.now().Add(time.Minute)) },
		"sever":   func() error { _, err := ks.Sever(e.ctx, "p"); return err },
		"create":  func() error { return ks.CreateProject(e.ctx, e.project("p"), nil) },
		"verify":  func() error { return ks.Verify(e.ctx) },
	} {
		err := f()
		if verb == "create" && errors.Is(err, keys.ErrExists) {
			continue
		}
		if !errors.Is(err, keys.ErrTampered) || !strings.Contains(err.Error(), "KEYSTORE_TAMPERED") {
			e.Errorf("%s, %s: got %v", which, verb, err)
			continue
		}
		if root := strings.Contains(err.Error(), "seals of its rows"); !root && !strings.Contains(err.Error(), `project "p"`) && verb != "list" && verb != "verify" {
			e.Errorf("%s, %s: no project is named: %v", which, verb, err)
		}
	}
}

// testTamperedGenerations changes the states of generations.
func testTamperedGenerations(e *env) {
	for what, statements := range map[string]string{
		"active again": "UPDATE @generation SET state = 'deactivated' WHERE prj = 'p' AND gen = 1; UPDATE @generation SET state = 'active' WHERE prj = 'p' AND gen = 0",
		"gone":         "DELETE FROM @generation WHERE prj = 'p' AND gen = 0",
		"created":      "UPDATE @generation SET created = 0 WHERE prj = 'p' AND gen = 0",
	} {
		e.Run(what, func(t *testing.T) {
			e := newEnv(t, e.again(t))
			e.create("p", "a", "b")
			e.must(e.ks.Rotate(e.ctx, "p"))
			e.must(e.location.Execute(statements))
			_, err := e.ks.Secrets(e.ctx, keys.Domain{Prj: "p", Org: "a"})
			e.is(err, keys.ErrTampered)
			_, err = e.ks.Generations(e.ctx, "p")
			e.is(err, keys.ErrTampered)
			e.is(e.ks.Rotate(e.ctx, "p"), keys.ErrTampered)
			_, err = e.ks.Sever(e.ctx, "p")
			e.is(err, keys.ErrTampered)
		})
	}
}

// testTamperedRevocations checks that no revocation can be removed unnoticed.
func testTamperedRevocations(e *env) {
	for what, statements := range map[string]string{
		"deleted":       "DELETE FROM @revocation WHERE expires > 0",
		"one deleted":   "DELETE FROM @revocation WHERE jti = (SELECT jti FROM @revocation ORDER BY jti LIMIT 1)",
		"ends earlier":  "UPDATE @revocation SET expires = 1",
		"an older root": "DELETE FROM @revocation WHERE jti = (SELECT jti FROM @revocation ORDER BY jti DESC LIMIT 1); UPDATE @meta SET value = (SELECT value FROM @oldmeta WHERE name = 'seals') WHERE name = 'seals'",
	} {
		e.Run(what, func(t *testing.T) {
			e := newEnv(t, e.again(t))
			e.create("p")
			e.must(e.ks.Revoke(e.ctx, "j1", time.Time{}))
			e.must(e.ks.Revoke(e.ctx, "j2", e.now().Add(time.Hour)))
			e.must(e.ks.Revoke(e.ctx, "j2", e.now().Add(2*time.Hour)))
			e.must(e.location.Execute("CREATE TABLE @oldmeta AS SELECT * FROM @meta"))
			e.must(e.ks.Shorten(e.ctx, "p", e.now().Add(time.Hour)))
			e.must(e.ks.Revoke(e.ctx, "j3", e.now().Add(time.Hour)))
			got, err := e.ks.Revoked(e.ctx, nil)
			if err != nil || got.Len() != 3 {
				t.Fatal(got, err)
			}
			e.must(e.location.Execute(statements))
			ks := e.second()
			_, first := ks.Revoked(e.ctx, nil)
			_, second := ks.Project(e.ctx, "p")
			if what == "an older root" {
				// Now the revocations match their seal, and the projects do not.
				first = second
			}
			e.is(first, keys.ErrTampered)
			if what != "an older root" {
				e.must(second)
				e.must(ks.Revoke(e.ctx, "j4", time.Time{}))
				_, err := ks.Revoked(e.ctx, nil)
				e.is(err, keys.ErrTampered)
			}
		})
	}
}

// testTamperedSweep checks that a tampered row does not keep other projects from being
// destroyed.
func testTamperedSweep(e *env) {
	e.create("p")
	e.create("q")
	e.must(e.location.Execute("UPDATE @project SET retention = NULL WHERE name = 'p'"))
	e.later(25 * time.Hour)
	swept, err := e.ks.Sweep(e.ctx)
	receipts := swept.Destroyed
	e.must(err)
	if len(receipts) != 1 || receipts[0].Project != "q" {
		e.Errorf("%d receipts", len(receipts))
	}
	if err := e.ks.Verify(e.ctx); !errors.Is(err, keys.ErrTampered) || !strings.Contains(err.Error(), `project "p"`) {
		e.Errorf("got %v", err)
	}
	e.must(e.location.Execute("UPDATE @project SET retention = 0 WHERE name = 'p'"))
	e.create("r")
	e.later(25 * time.Hour)
	swept, err = e.ks.Sweep(e.ctx)
	e.is(err, keys.ErrTampered)
	if len(swept.Destroyed) != 1 || swept.Destroyed[0].Project != "r" || !strings.Contains(err.Error(), `project "p"`) {
		e.Errorf("swept %+v, %v", swept, err)
	}
}

// Upgrade opens a store of an earlier version with several handles at once and checks its
// content: projects alpha (two organisations, rotated), beta and gone (severed), and two
// revocations. open opens the same store.
func Upgrade(t *testing.T, masterKey string, open func() (keys.Store, error), execute Execute) {
	ctx := context.Background()
	mk, err := keys.LoadMasterKey(ctx, masterKey)
	if err != nil {
		t.Fatal(err)
	}
	var handles [4]*keys.Keystore
	var wg sync.WaitGroup
	for i := range handles {
		wg.Go(func() {
			s, err := open()
			if err == nil {
				handles[i], err = keys.New(ctx, s, mk)
			}
			if err != nil {
				t.Errorf("handle %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, ks := range handles {
		defer ks.Close()
		ps, err := ks.Projects(ctx)
		if err != nil || len(ps) != 3 || ps[0].Name != "alpha" || ps[0].Retention.Year() != 2999 || len(ps[0].Orgs) != 2 || ps[1].Name != "beta" || !ps[2].Severed {
			t.Fatalf("projects %+v, %v", ps, err)
		}
		gens, err := ks.Secrets(ctx, keys.Domain{Prj: "alpha", Org: "south"})
		if err != nil || len(gens) != 2 || gens[0].State != keys.Deactivated || gens[1].State != keys.Active || gens[0].Secret == gens[1].Secret {
			t.Fatalf("%d generations, %v", len(gens), err)
		}
		revoked, err := ks.Revoked(ctx, nil)
		if err != nil || revoked.Len() != 2 || !revoked.Has("revoked-in-schema-1") {
			t.Fatalf("revocations %v, %v", revoked, err)
		}
		if rs, err := ks.Receipts(ctx, "gone"); err != nil || len(rs) != 1 {
			t.Fatalf("receipts %v, %v", rs, err)
		}
	}
	if err := handles[1].Rotate(ctx, "alpha"); err != nil {
		t.Fatal(err)
	}
	// Rows are sealed now, and programs of version 1 cannot write.
	if err := execute("UPDATE @change SET n = n + 1"); err == nil {
		t.Error("the table of the earlier version's counter still exists")
	}
	if err := execute("UPDATE @project SET retention = NULL WHERE name = 'alpha'"); err != nil {
		t.Fatal(err)
	}
	if _, err := handles[0].Project(ctx, "alpha"); !errors.Is(err, keys.ErrTampered) {
		t.Errorf("got %v", err)
	}
	// The store cannot pass as one of version 1 again.
	if err := execute("UPDATE @schema_version SET version = 1; ALTER TABLE @change_number RENAME TO change"); err != nil {
		t.Fatal(err)
	}
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := keys.New(ctx, s, mk); !errors.Is(err, keys.ErrTampered) {
		t.Errorf("a store that was changed back to version 1: %v, want an error", err)
	}
}
