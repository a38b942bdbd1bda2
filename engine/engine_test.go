package engine_test

import (
	"context"
	"errors"
	"path/filepath"
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

	// Another master key opens nothing, and the store is not kept.
	if store, err = sqlite.Open(path); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.Open(ctx, engine.Config{Store: store, MasterKey: filepath.Join(dir, "other.key")}); !errors.Is(err, keys.ErrWrongMasterKey) {
		t.Errorf("another master key: %v", err)
	}
	if _, err := engine.Open(ctx, engine.Config{}); err == nil {
		t.Error("no store")
	}

	// The token outlives the process, and not the change of audience.
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
