package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/backup"
	"github.com/velonym/velonym/engine/keys/postgres"
	"github.com/velonym/velonym/engine/keys/postgres/pgtest"
	"github.com/velonym/velonym/engine/keys/sqlite"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// keyring is a master key and a way to open stores with it.
type keyring struct {
	*testing.T
	mk *keys.MasterKey
}

func newKeyring(t *testing.T) keyring {
	path := filepath.Join(t.TempDir(), "master.key")
	must(t, keys.NewMasterKeyFile(path))
	mk, err := keys.LoadMasterKey(t.Context(), path)
	must(t, err)
	return keyring{t, mk}
}

func (k keyring) sqlite() keys.Store {
	s, err := sqlite.Create(filepath.Join(k.TempDir(), "keystore.db"))
	must(k.T, err)
	return s
}

func (k keyring) open(s keys.Store) *keys.Keystore {
	ks, err := keys.New(k.Context(), s, k.mk)
	must(k.T, err)
	k.Cleanup(func() { ks.Close() })
	return ks
}

func (k keyring) secrets(ks *keys.Keystore, prj string) (out [][32]byte) {
	list, err := ks.Secrets(k.Context(), keys.Domain{Prj: prj})
	must(k.T, err)
	for _, g := range list {
		out = append(out, g.Secret)
	}
	return out
}

// fill creates one of everything that a store keeps.
func (k keyring) fill(ks *keys.Keystore) {
	ctx := k.Context()
	for _, name := range []string{"alive", "severed", "partly"} {
		must(k.T, ks.CreateProject(ctx, keys.Project{Name: name, Method: "reversible", Policy: "same", Form: "pair62", Retention: time.Now().Add(time.Hour), Grace: time.Hour}, nil))
		must(k.T, ks.Rotate(ctx, name))
	}
	_, err := ks.Sever(ctx, "severed")
	must(k.T, err)
	_, err = ks.DestroyGeneration(ctx, "partly", 0)
	must(k.T, err)
	must(k.T, ks.Revoke(ctx, "of another issuer \xff", time.Time{}))
	_, err = ks.RevokeBefore(ctx, keys.RevocationRule{Project: "alive", Before: time.Now().Add(-time.Hour)})
	must(k.T, err)
	_, _, err = ks.LeaseUntil(ctx, "budget", time.Now().Add(time.Hour), 10, 3)
	must(k.T, err)
}

// same checks that two keystores have the same content.
func (k keyring) same(a, b *keys.Keystore) {
	k.Helper()
	ctx := k.Context()
	for _, name := range []string{"alive", "partly"} {
		x, y := k.secrets(a, name), k.secrets(b, name)
		if len(x) == 0 || len(x) != len(y) {
			k.Fatalf("%s: %d secrets, %d", name, len(x), len(y))
		}
		for i := range x {
			if x[i] != y[i] {
				k.Errorf("%s: secret %d differs", name, i)
			}
		}
	}
	if _, err := b.Secrets(ctx, keys.Domain{Prj: "severed"}); !errors.Is(err, keys.ErrSevered) {
		k.Errorf("severed: %v", err)
	}
	must(k.T, b.Verify(ctx))
	_, err := b.Sweep(ctx)
	must(k.T, err)
	r, err := b.Receipts(ctx, "severed")
	must(k.T, err)
	key, err := a.ReceiptKey(ctx)
	must(k.T, err)
	if len(r) != 1 || keys.VerifyReceipt(r[0], key) != nil {
		k.Errorf("receipts: %+v", r)
	}
	if n, err := b.Spent(ctx, "budget"); err != nil || n != 3 {
		k.Errorf("spent %d, %v", n, err)
	}
	revoked, err := b.Revoked(ctx, nil)
	must(k.T, err)
	if revoked == nil {
		k.Fatal("the keystores have no revocations to compare")
	}
}

func (k keyring) backup(ks *keys.Keystore, opt backup.Options) string {
	path := filepath.Join(k.TempDir(), "a.backup")
	_, err := backup.Write(k.Context(), ks, path, opt)
	must(k.T, err)
	return path
}

func TestSQLiteToSQLite(t *testing.T) {
	k := newKeyring(t)
	a := k.open(k.sqlite())
	k.fill(a)
	path := k.backup(a, backup.Options{})
	to := k.sqlite()
	_, m, err := backup.Restore(t.Context(), to, k.mk, path, nil, keys.Tombstones{})
	must(t, err)
	if m.Projects != 3 {
		t.Errorf("%+v, want 3 projects", m)
	}
	b := k.open(to)
	k.same(a, b)
	if _, _, err := backup.Restore(t.Context(), to, k.mk, path, nil, keys.Tombstones{}); !errors.Is(err, keys.ErrKeystoreExists) {
		t.Errorf("restored over a keystore: %v", err)
	}
}

func TestSQLiteToPostgresAndBack(t *testing.T) {
	pgtest.Server(t)
	k := newKeyring(t)
	a := k.open(k.sqlite())
	k.fill(a)
	database, err := postgres.Create(t.Context(), pgtest.Database(t, "ENCODING 'UTF8'"))
	must(t, err)
	_, _, err = backup.Restore(t.Context(), database, k.mk, k.backup(a, backup.Options{}), nil, keys.Tombstones{})
	must(t, err)
	b := k.open(database)
	k.same(a, b)
	back := k.sqlite()
	_, _, err = backup.Restore(t.Context(), back, k.mk, k.backup(b, backup.Options{}), nil, keys.Tombstones{})
	must(t, err)
	k.same(a, k.open(back))
}

// TestDamagedBackupIsRefused checks that a backup that is changed or cut at any byte is refused,
// and that a failed restore leaves nothing.
func TestDamagedBackupIsRefused(t *testing.T) {
	k := newKeyring(t)
	a := k.open(k.sqlite())
	k.fill(a)
	whole, err := os.ReadFile(k.backup(a, backup.Options{}))
	must(t, err)
	path := filepath.Join(t.TempDir(), "damaged")
	for at := 0; at < len(whole); at += 1 + len(whole)/300 {
		b := bytes.Clone(whole)
		b[at] ^= 1
		must(t, os.WriteFile(path, b, 0o600))
		if _, err := backup.Verify(path, nil); !errors.Is(err, backup.ErrDamaged) {
			t.Fatalf("byte %d changed: %v", at, err)
		}
		must(t, os.WriteFile(path, whole[:at], 0o600))
		if _, err := backup.Verify(path, nil); !errors.Is(err, backup.ErrDamaged) {
			t.Fatalf("cut at %d: %v", at, err)
		}
	}
	other := newKeyring(t)
	to := k.sqlite()
	must(t, os.WriteFile(path, whole, 0o600))
	if _, _, err := backup.Restore(t.Context(), to, other.mk, path, nil, keys.Tombstones{}); !errors.Is(err, keys.ErrWrongMasterKey) {
		t.Fatalf("another master key: %v", err)
	}
	ps, err := other.open(to).Projects(t.Context())
	if err != nil || len(ps) != 0 {
		t.Errorf("a failed restore left %d projects, %v", len(ps), err)
	}
}

// TestSealedBackupHidesContent checks that a sealed backup opens with its identity only and shows
// no name.
func TestSealedBackupHidesContent(t *testing.T) {
	k := newKeyring(t)
	a := k.open(k.sqlite())
	k.fill(a)
	id, err := age.GenerateX25519Identity()
	must(t, err)
	path := k.backup(a, backup.Options{Recipients: []age.Recipient{id.Recipient()}})
	r, err := backup.Verify(path, nil)
	if err != nil || r.Read || !r.Sealed {
		t.Fatalf("%+v %v", r, err)
	}
	if r, err = backup.Verify(path, []age.Identity{id}); err != nil || !r.Read || r.Projects != 3 || r.Generations != 3 {
		t.Fatalf("%+v %v", r, err)
	}
	b, err := os.ReadFile(path)
	must(t, err)
	if bytes.Contains(b, []byte("alive")) {
		t.Error("a sealed backup shows the name of a project")
	}
	to := k.sqlite()
	_, _, err = backup.Restore(t.Context(), to, k.mk, path, []age.Identity{id}, keys.Tombstones{})
	must(t, err)
	k.same(a, k.open(to))
}

// TestTombstones checks, for both stores, that a restore does not bring back what was destroyed
// since the backup.
func TestTombstones(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) {
		k := newKeyring(t)
		k.tombstones(k.sqlite(), k.sqlite())
	})
	t.Run("postgres", func(t *testing.T) {
		pgtest.Server(t)
		k := newKeyring(t)
		database := func() keys.Store {
			s, err := postgres.Create(t.Context(), pgtest.Database(t, "ENCODING 'UTF8'"))
			must(t, err)
			return s
		}
		k.tombstones(database(), database())
	})
}

func (k keyring) tombstones(from, to keys.Store) {
	ctx := k.Context()
	a := k.open(from)
	k.fill(a)
	path := k.backup(a, backup.Options{})
	stones := filepath.Join(k.TempDir(), "tombstones.jsonl")
	must(k.T, backup.Note(ctx, a, stones, nil))
	key, err := a.ReceiptKey(ctx)
	must(k.T, err)

	_, err = a.Sever(ctx, "alive")
	must(k.T, err)
	must(k.T, a.Rotate(ctx, "partly"))
	_, err = a.DestroyGeneration(ctx, "partly", 1)
	must(k.T, err)
	must(k.T, a.Revoke(ctx, "stolen", time.Now().Add(time.Hour)))
	must(k.T, backup.Note(ctx, a, stones, map[string]time.Time{"partly": time.Now().Add(time.Minute)}))
	before, err := os.ReadFile(stones)
	must(k.T, err)
	must(k.T, backup.Note(ctx, a, stones, nil))
	if again, _ := os.ReadFile(stones); !bytes.Equal(before, again) {
		k.Error("a tombstone was written twice")
	}

	t, _, err := backup.Read(key, stones)
	must(k.T, err)
	t.Rotated = map[string]int{"partly": 1}
	t.Spent = []keys.Spending{{JTI: "budget", Values: 4}}
	_, m, err := backup.Restore(ctx, to, k.mk, path, nil, t)
	must(k.T, err)
	if want := (keys.Merged{Projects: 3, Severed: 1, Generations: 1, Revoked: 1, Shortened: 1, Spent: 1, Replaced: 1}); m != want {
		k.Errorf("merged %+v, want %+v", m, want)
	}
	b := k.open(to)
	if _, err := b.Secrets(ctx, keys.Domain{Prj: "alive"}); !errors.Is(err, keys.ErrSevered) {
		k.Errorf("a severed project after the restore: %v, want ErrSevered", err)
	}
	// Generation 1 was active in the backup and is destroyed, 2 is lost.
	if list, err := b.Secrets(ctx, keys.Domain{Prj: "partly"}); err != nil || len(list) != 1 || list[0].Gen != 3 {
		k.Errorf("generations after the restore: %d, %v", len(list), err)
	}
	if n, err := b.Spent(ctx, "budget"); err != nil || n != 7 {
		k.Errorf("spent %d, %v", n, err)
	}
	p, err := b.Project(ctx, "partly")
	if err != nil || time.Until(p.Retention) > time.Minute {
		k.Errorf("retention %v, %v", p.Retention, err)
	}
	must(k.T, b.Verify(ctx))
	// What is destroyed after the restore gets a tombstone, although receipts are numbered anew.
	_, err = b.Sever(ctx, "partly")
	must(k.T, err)
	must(k.T, backup.Note(ctx, b, stones, nil))
	t, _, err = backup.Read(key, stones)
	must(k.T, err)
	found := false
	for _, r := range t.Receipts {
		found = found || r.Project == "partly" && r.Reason == keys.ReasonSevered
	}
	if !found {
		k.Error("a severing after the restore has no tombstone")
	}
}

// TestTornAndMissingTombstones checks that a line that a crash left torn is written again after
// it, and that a removed line is an error.
func TestTornAndMissingTombstones(t *testing.T) {
	k := newKeyring(t)
	a := k.open(k.sqlite())
	k.fill(a)
	path := filepath.Join(t.TempDir(), "tombstones.jsonl")
	key, err := a.ReceiptKey(t.Context())
	must(t, err)
	if _, _, err := backup.Read(key, path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, jti := range []string{"one", "two", "three"} {
		must(t, a.Revoke(t.Context(), jti, time.Time{}))
		must(t, backup.Note(context.Background(), a, path, nil))
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteString(`{"v":1,"ti`)
		must(t, errors.Join(err, f.Close()))
	}
	got, _, err := backup.Read(key, path)
	must(t, err)
	if len(got.Revoked) != 4 || len(got.Receipts) != 2 {
		t.Errorf("%d revocations, %d receipts, want 4 and 2", len(got.Revoked), len(got.Receipts))
	}
	b, err := os.ReadFile(path)
	must(t, err)
	lines := bytes.SplitAfter(b, []byte("\n"))
	must(t, os.WriteFile(path, bytes.Join(append(lines[:1:1], lines[3:]...), nil), 0o600))
	if _, _, err := backup.Read(key, path); !errors.Is(err, backup.ErrTombstones) {
		t.Errorf("with a line removed: %v, want an error", err)
	}
}

// TestNotedAfterRestore checks that what is destroyed after a restore without tombstones gets
// one, although the store numbers its receipts anew.
func TestNotedAfterRestore(t *testing.T) {
	k := newKeyring(t)
	a := k.open(k.sqlite())
	k.fill(a)
	path := k.backup(a, backup.Options{})
	for _, name := range []string{"alive", "partly"} {
		_, err := a.Sever(t.Context(), name)
		must(t, err)
	}
	stones := filepath.Join(t.TempDir(), "tombstones.jsonl")
	must(t, backup.Note(t.Context(), a, stones, nil))
	to := k.sqlite()
	_, _, err := backup.Restore(t.Context(), to, k.mk, path, nil, keys.Tombstones{})
	must(t, err)
	b := k.open(to)
	r, err := b.Sever(t.Context(), "alive")
	must(t, err)
	must(t, backup.Note(t.Context(), b, stones, nil))
	key, err := b.ReceiptKey(t.Context())
	must(t, err)
	got, _, err := backup.Read(key, stones)
	must(t, err)
	for _, have := range got.Receipts {
		if bytes.Equal(have.Signature, r.Signature) {
			return
		}
	}
	t.Error("a severing after the restore has no tombstone")
}
