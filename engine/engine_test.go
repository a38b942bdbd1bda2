package engine_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/velonym/velonym/engine"
	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/sqlite"
)

func TestOpen(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	for _, name := range []string{"master.key", "other.key"} {
		if err := engine.NewMasterKeyFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "keystore.db")
	store, err := sqlite.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(ctx, engine.Config{Store: store, MasterKey: filepath.Join(dir, "master.key"), IssuerName: "us", Audience: "here"})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.CreateProject(ctx, engine.Project{Name: "p", Method: "irreversible", Policy: "same", Form: "uuid"}); err != nil {
		t.Fatal(err)
	}
	token, c, err := e.CreateToken(ctx, engine.TokenRequest{Project: "p"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Issuer != "us" || c.Audience != "here" || c.Expires.Sub(c.IssuedAt) != 90*24*time.Hour {
		t.Errorf("claims %+v", c)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}

	// Open refuses another master key, and closes the store.
	if store, err = sqlite.Open(path); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Open(ctx, engine.Config{Store: store, MasterKey: filepath.Join(dir, "other.key")}); !errors.Is(err, keys.ErrWrongMasterKey) {
		t.Errorf("another master key: %v", err)
	}
	if _, err := engine.Open(ctx, engine.Config{}); err == nil {
		t.Error("no store")
	}

	// The token remains valid when the store is opened again, but not for another audience.
	for _, c := range []struct {
		audience string
		good     bool
	}{{"here", true}, {"there", false}} {
		if store, err = sqlite.Open(path); err != nil {
			t.Fatal(err)
		}
		e, err := engine.Open(ctx, engine.Config{Store: store, MasterKey: filepath.Join(dir, "master.key"), IssuerName: "us", Audience: c.audience})
		if err != nil {
			t.Fatal(err)
		}
		g, err := e.Verify(ctx, token, engine.OpsForward)
		var refused *engine.TokenError
		if c.good != (err == nil) || err != nil && !errors.As(err, &refused) {
			t.Errorf("audience %q: %v", c.audience, err)
		}
		if g != nil {
			g.Release()
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStrings checks that a grant's methods for strings give the results of a batch, charge
// the budget, and refuse all strings if one is bad, unless the token allows partial results.
func TestStrings(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	if err := engine.NewMasterKeyFile(filepath.Join(dir, "master.key")); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Create(filepath.Join(dir, "keystore.db"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(ctx, engine.Config{Store: store, MasterKey: filepath.Join(dir, "master.key")})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := e.CreateProject(ctx, engine.NewProject("p", time.Now().AddDate(1, 0, 0))); err != nil {
		t.Fatal(err)
	}
	grant := func(r engine.TokenRequest, ops engine.Ops) *engine.Grant {
		r.Project = "p"
		token, _, err := e.CreateToken(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		g, err := e.Verify(ctx, token, ops)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Release)
		return g
	}
	values := []string{"a", "", "b", "a"}
	forward, back := grant(engine.TokenRequest{Limits: engine.Limits{Max: 7}}, engine.OpsForward), grant(engine.TokenRequest{Op: "reverse"}, engine.OpsReverse)
	got, err := forward.Pseudonymise(ctx, values)
	if err != nil || got[0] != got[3] || got[0] == got[2] || got[0] == "a" || got[1] != "" {
		t.Fatal(got, err)
	}
	if again, err := back.Reverse(ctx, got); err != nil || !slices.Equal(again, values) {
		t.Error(again, err)
	}
	var refused *engine.TokenError
	if _, err := forward.Reverse(ctx, got); !errors.As(err, &refused) || refused.Code != "FORBIDDEN_OPERATION" {
		t.Errorf("a forward grant reverses: %v", err)
	}
	if left, ok := forward.Left(); !ok || left != 4 {
		t.Errorf("%d values left after 3 of 7 were spent", left)
	}
	bad := []string{"a", "\x01CANARY", "b"}
	var values2 *engine.ValuesError
	if got, err := forward.Pseudonymise(ctx, bad); got != nil || !errors.As(err, &values2) || len(values2.Bad) != 1 || values2.Bad[0].Index != 1 || strings.Contains(err.Error(), "CANARY") {
		t.Error(got, err)
	}
	if _, err := forward.Pseudonymise(ctx, []string{"a", "b"}); !errors.As(err, &refused) || refused.Code != "QUOTA_EXCEEDED" {
		t.Errorf("beyond the budget: %v", err)
	}
	item := grant(engine.TokenRequest{Err: "item"}, engine.OpsForward)
	if got2, err := item.Pseudonymise(ctx, bad); !errors.As(err, &values2) || len(got2) != 3 || got2[0] != got[0] || got2[1] != "" || got2[2] == "" {
		t.Error(got2, err)
	}
}
