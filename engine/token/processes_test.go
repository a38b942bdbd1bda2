package token

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/sqlite"
)

// process opens the keystore of dir like a separate process, and returns a verifier on the
// system's clock.
func process(t testing.TB, dir string, change ...func(*Config)) (*keys.Keystore, *Verifier, *Issuer) {
	t.Helper()
	ctx := context.Background()
	mk, err := keys.LoadMasterKey(ctx, filepath.Join(dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(filepath.Join(dir, "keys.db"))
	if err != nil {
		t.Fatal(err)
	}
	ks, err := keys.New(ctx, store, mk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ks.Close() })
	seed, err := ks.IssuerSeed(ctx)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := NewIssuer(seed, DefaultIssuer, DefaultAudience)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Keystore: ks, Issuer: issuer}
	for _, f := range change {
		f(&c)
	}
	v, err := NewVerifier(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return ks, v, issuer
}

// newKeystore creates a keystore in an empty folder.
func newKeystore(t testing.TB, dir string) {
	t.Helper()
	if err := keys.NewMasterKeyFile(filepath.Join(dir, "master.key")); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Create(filepath.Join(dir, "keys.db"))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkVerifyNew verifies tokens of one project that were not seen before,
// on a keystore file.
func BenchmarkVerifyNew(b *testing.B) {
	dir := b.TempDir()
	ctx := context.Background()
	newKeystore(b, dir)
	ks, v, issuer := process(b, dir, func(c *Config) { c.CacheSize = 1 })
	if err := ks.CreateProject(ctx, keys.Project{Name: "a", Method: "reversible", Policy: "same", Form: "pair62",
		Retention: time.Now().Add(24 * time.Hour)}, nil); err != nil {
		b.Fatal(err)
	}
	raws := make([][]byte, 1000)
	for i := range raws {
		raw, _, err := issuer.Create(ctx, ks, Request{Project: "a"})
		if err != nil {
			b.Fatal(err)
		}
		raws[i] = []byte(raw)
	}
	if err := v.Sync(ctx); err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		g, err := v.Verify(ctx, raws[i%len(raws)], OpsForward)
		if err != nil {
			b.Fatal(err)
		}
		g.Release()
		i++
	}
	b.ReportMetric(100*float64(v.Stats().Hits)/float64(i), "%hits")
}

// TestTwoProcessesShareAKeystore checks that one process follows the changes of another on the
// same keystore file, and that both share a token's budget. It is one sequence of changes, each
// made to the store that the one before leaves.
func TestTwoProcessesShareAKeystore(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	newKeystore(t, dir)
	admin, _, issuer := process(t, dir)
	_, server, _ := process(t, dir)
	for _, name := range []string{"a", "b", "c"} {
		if err := admin.CreateProject(ctx, keys.Project{Name: name, Method: "reversible", Policy: "same", Form: "pair62",
			Retention: time.Now().Add(24 * time.Hour)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	token := func(r Request) ([]byte, *Claims) {
		raw, c, err := issuer.Create(ctx, admin, r)
		if err != nil {
			t.Fatal(err)
		}
		return []byte(raw), c
	}
	one := func(raw []byte) (string, string) {
		g, err := server.Verify(ctx, raw, OpsAny)
		if err != nil {
			return "", code(err)
		}
		defer g.Release()
		return forward(g.Plan, "1979010112345"), code(g.Spend(ctx, 1))
	}
	first, c := token(Request{Project: "a"})
	other, _ := token(Request{Project: "b"})
	before, got := one(first)
	if got != "" {
		t.Fatalf("got %q", got)
	}
	if _, got := one(other); got != "" {
		t.Fatalf("got %q", got)
	}

	if err := admin.Rotate(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	await(t, "the new generation", func() bool { now, _ := one(first); return now != before })

	if err := admin.Revoke(ctx, c.ID, c.Expires); err != nil {
		t.Fatal(err)
	}
	await(t, "the revocation", func() bool { _, got := one(first); return got == RevokedToken })

	if _, err := admin.Sever(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	await(t, "the severing", func() bool { _, got := one(other); return got == RetentionExpired })
	if _, got := one(first); got != RevokedToken {
		t.Errorf("the revoked token: %q", got)
	}

	// Revoking all tokens of a project covers earlier ones, by target and by source, and no
	// later ones.
	before2, _ := token(Request{Project: "a"})
	moved, _ := token(Request{Project: "c", Op: "secondary", Source: "a"})
	apart, _ := token(Request{Project: "c"})
	for _, raw := range [][]byte{before2, moved, apart} {
		if _, got := one(raw); got != "" {
			t.Fatalf("got %q", got)
		}
	}
	if _, err := admin.RevokeBefore(ctx, keys.RevocationRule{Project: "a"}); err != nil {
		t.Fatal(err)
	}
	await(t, "the revocation of a project", func() bool { _, got := one(before2); return got == RevokedToken })
	if _, got := one(moved); got != RevokedToken {
		t.Errorf("a token with the project as its source: %q", got)
	}
	if _, got := one(apart); got != "" {
		t.Errorf("another project's token: %q", got)
	}
	if list, err := admin.IssuedTokens(ctx, keys.TokenFilter{Project: "a"}); err != nil || len(list) != 3 || !list[0].Revoked {
		t.Errorf("%+v, %v", list, err)
	}

	limited, _ := token(Request{Project: "a", Limits: Limits{Max: 500}})
	_, third, _ := process(t, dir)
	spent := 0
	for _, v := range []*Verifier{server, third} {
		g, err := v.Verify(ctx, limited, OpsAny)
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			if err := g.Spend(ctx, 1); err == nil {
				spent++
			} else if code(err) != QuotaExceeded {
				t.Fatal(err)
			}
		}
		g.Release()
	}
	if spent > 500 || spent < 490 {
		t.Errorf("%d values were spent, want 500", spent)
	}
}
