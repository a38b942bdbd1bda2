package token

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// TestStoredIssuers checks that a verifier follows, without a restart, the built-in issuer's
// change of key with its overlap, the trust in another keystore's issuer and a change of the
// master key. It is one sequence, since each step needs the keys of the one before.
func TestStoredIssuers(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	newKeystore(t, dir)
	admin, _, first := process(t, dir)
	_, server, _ := process(t, dir)
	if err := admin.CreateProject(ctx, keys.Project{Name: "a", Method: "reversible", Policy: "same", Form: "pair62",
		Retention: time.Now().Add(24 * time.Hour)}, nil); err != nil {
		t.Fatal(err)
	}
	made := func(i *Issuer, ks *keys.Keystore) []byte {
		t.Helper()
		raw, _, err := i.Create(ctx, ks, Request{Project: "a"})
		if err != nil {
			t.Fatal(err)
		}
		return []byte(raw)
	}
	verdict := func(raw []byte) string {
		g, err := server.Verify(ctx, raw, OpsAny)
		if err != nil {
			return code(err)
		}
		defer g.Release()
		return code(g.Spend(ctx, 1))
	}
	issuer := func(ks *keys.Keystore, name string) *Issuer {
		t.Helper()
		seed, err := ks.IssuerSeed(ctx)
		if err != nil {
			t.Fatal(err)
		}
		i, err := NewIssuer(seed, name, DefaultAudience)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	old := made(first, admin)
	if got := verdict(old); got != "" {
		t.Fatalf("got %q", got)
	}
	held, err := server.Verify(ctx, old, OpsAny)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	if _, err := admin.RotateIssuer(ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	second := issuer(admin, DefaultIssuer)
	if second.KeyID() == first.KeyID() {
		t.Fatal("RotateIssuer did not change the key")
	}
	fresh := made(second, admin)
	await(t, "the new key", func() bool { return verdict(fresh) == "" })
	if got := verdict(old); got != "" {
		t.Errorf("within the overlap: %q", got)
	}
	if err := held.Spend(ctx, 1); err != nil {
		t.Errorf("held within the overlap: %v", err)
	}
	// Without an overlap the former key's tokens end at once, held ones too.
	if _, err := admin.RotateIssuer(ctx, 0); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of the second key", func() bool { return verdict(fresh) == InvalidToken })
	if got := verdict(old); got != "" {
		t.Errorf("the first key's overlap is not over: %q", got)
	}
	third, err := server.Verify(ctx, made(issuer(admin, DefaultIssuer), admin), OpsAny)
	if err != nil {
		t.Fatal(err)
	}
	defer third.Release()
	if _, err := admin.RotateIssuer(ctx, 0); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of a held token's key", func() bool { return code(third.Spend(ctx, 1)) == InvalidToken })

	// The issuer of another keystore, with a name of its own.
	dir2 := t.TempDir()
	newKeystore(t, dir2)
	foreign, _, _ := process(t, dir2)
	if err := foreign.NameIssuer(ctx, "north"); err != nil {
		t.Fatal(err)
	}
	if err := foreign.CreateProject(ctx, keys.Project{Name: "a", Method: "reversible", Policy: "same", Form: "pair62",
		Retention: time.Now().Add(23 * time.Hour)}, nil); err != nil {
		t.Fatal(err)
	}
	info, err := foreign.Issuer(ctx)
	if err != nil {
		t.Fatal(err)
	}
	theirs := made(issuer(foreign, info.Name), foreign)
	if got := verdict(theirs); got != InvalidToken {
		t.Fatalf("an issuer that is not trusted: %q", got)
	}
	trusted := keys.TrustedIssuer{Name: info.Name, JWKS: JWKS(info)}
	if n, err := CheckTrusted(trusted); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := admin.TrustIssuer(ctx, trusted); err != nil {
		t.Fatal(err)
	}
	await(t, "the trust", func() bool { return verdict(theirs) == "" })
	kept, err := server.Verify(ctx, theirs, OpsAny)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Release()
	// Its new key is unknown here until its set is stored again.
	if info, err = foreign.RotateIssuer(ctx, 0); err != nil {
		t.Fatal(err)
	}
	later := made(issuer(foreign, "north"), foreign)
	if got := verdict(later); got != InvalidToken {
		t.Errorf("an unknown key: %q", got)
	}
	if err := admin.TrustIssuer(ctx, keys.TrustedIssuer{Name: "north", JWKS: JWKS(info)}); err != nil {
		t.Fatal(err)
	}
	await(t, "the new set", func() bool { return verdict(later) == "" && verdict(theirs) == InvalidToken })
	await(t, "the end of a held token", func() bool { return code(kept.Spend(ctx, 1)) != "" })
	if err := admin.DistrustIssuer(ctx, "north"); err != nil {
		t.Fatal(err)
	}
	await(t, "the end of the trust", func() bool { return verdict(later) == InvalidToken })

	// An issuer whose URL cannot be reached does not keep a verifier from starting.
	if err := admin.TrustIssuer(ctx, keys.TrustedIssuer{Name: "east", URL: "http://127.0.0.1:1/jwks"}); err != nil {
		t.Fatal(err)
	}
	if _, err := CheckTrusted(keys.TrustedIssuer{Name: "east", URL: "http://example.org/jwks"}); err == nil {
		t.Error("CheckTrusted accepts keys over plain http")
	}
	if _, err := CheckTrusted(keys.TrustedIssuer{Name: "east", JWKS: []byte(`{"keys":[]}`)}); err == nil {
		t.Error("CheckTrusted accepts a set without keys")
	}
	_, other, _ := process(t, dir)
	g, err := other.Verify(ctx, old, OpsAny)
	if err != nil {
		t.Fatal(err)
	}
	g.Release()

	// The master key is replaced, and the verifier reads the new file.
	moved := filepath.Join(t.TempDir(), "master.key")
	if err := keys.NewMasterKeyFile(moved); err != nil {
		t.Fatal(err)
	}
	mk, err := keys.LoadMasterKey(ctx, moved)
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Rewrap(ctx, mk); err != nil {
		t.Fatal(err)
	}
	await(t, "the refusal of the old master key", func() bool { return server.Healthy() != nil })
	if err := os.Rename(moved, filepath.Join(dir, "master.key")); err != nil {
		t.Fatal(err)
	}
	await(t, "the new master key", func() bool { return server.Healthy() == nil && verdict(old) == "" })
}
