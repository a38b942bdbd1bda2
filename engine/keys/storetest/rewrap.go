package storetest

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// newKey creates a master key file.
func (e *env) newKey(name string) (path string) {
	e.Helper()
	path = filepath.Join(e.TempDir(), name)
	e.must(keys.NewMasterKeyFile(path))
	return path
}

// load reads a master key.
func (e *env) load(path string) *keys.MasterKey {
	e.Helper()
	mk, err := keys.LoadMasterKey(e.ctx, path)
	e.must(err)
	return mk
}

// openWith opens another handle on the keystore with the master key at path.
func (e *env) openWith(path string) (*keys.Keystore, error) {
	e.Helper()
	s, err := e.location.Open()
	e.must(err)
	ks, err := keys.New(e.ctx, s, e.load(path), keys.WithClock(e.now), keys.WithStoreClock(e.now))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	e.Cleanup(func() { ks.Close() })
	return ks, nil
}

// testRewrap changes the master key and lets another process follow. It is one sequence:
// each step needs the state that the previous one left.
func testRewrap(e *env) {
	e.create("p", "a", "b")
	e.must(e.ks.Rotate(e.ctx, "p"))
	e.create("q")
	e.create("gone")
	_, err := e.ks.Sever(e.ctx, "gone")
	e.must(err)
	e.must(e.ks.Revoke(e.ctx, "j", time.Time{}))
	before := e.secrets(e.ks, "p", "b")
	seed, err := e.ks.IssuerSeed(e.ctx)
	e.must(err)
	prints, err := e.ks.GenerationFingerprints(e.ctx, "p")
	e.must(err)
	old := append(e.blobs("p"), e.blobs("q")...)
	server := e.second() // shares e.mk, whose source is the file at e.keyAt
	apart, err := e.openWith(e.keyAt)
	e.must(err)
	oldPrint := e.ks.MasterKeyFingerprint()

	same := e.load(e.keyAt)
	e.is(e.ks.Rewrap(e.ctx, same), keys.ErrInvalid)
	fresh := e.newKey("new.key")
	newPrint := e.load(fresh).Fingerprint()
	e.must(e.ks.Rewrap(e.ctx, e.load(fresh)))
	if got := e.ks.MasterKeyFingerprint(); got != newPrint || got == oldPrint || len(got) != 19 {
		e.Errorf("fingerprint %s after the change from %s, want %s", got, oldPrint, newPrint)
	}
	check := func(who string, ks *keys.Keystore) {
		e.Helper()
		after := e.secrets(ks, "p", "b")
		again, err := ks.IssuerSeed(e.ctx)
		e.must(err)
		if len(after) != 2 || after[0].Secret != before[0].Secret || after[1].Secret != before[1].Secret || string(again) != string(seed) {
			e.Errorf("%s: the secrets have changed", who)
		}
		now, err := ks.GenerationFingerprints(e.ctx, "p")
		e.must(err)
		if now["b"][1] != prints["b"][1] || len(now["b"][1]) != 19 || now["b"][1] == now["b"][0] || now["a"][1] == now["b"][1] {
			e.Errorf("%s: fingerprints %v, were %v", who, now, prints)
		}
		if r, err := ks.Revoked(e.ctx, nil); err != nil || !r.Has("j") {
			e.Errorf("%s: revocations: %v", who, err)
		}
		e.must(ks.Revoke(e.ctx, who, time.Time{}))
	}
	check("the handle that did it", e.ks)
	check("one that has the same key", server)

	// The key file of another process still has the old key.
	_, err = apart.Change(e.ctx)
	e.is(err, keys.ErrWrongMasterKey)
	if text := err.Error(); !strings.Contains(text, newPrint) || !strings.Contains(text, oldPrint) {
		e.Errorf("the error does not name both fingerprints: %v", err)
	}
	_, err = apart.Secrets(e.ctx, keys.Domain{Prj: "p", Org: "b"})
	e.is(err, keys.ErrWrongMasterKey)
	e.is(apart.Revoke(e.ctx, "k", time.Time{}), keys.ErrWrongMasterKey)
	_, err = apart.ReceiptKey(e.ctx)
	e.is(err, keys.ErrWrongMasterKey)
	_, err = e.openWith(e.keyAt)
	e.is(err, keys.ErrWrongMasterKey)
	if !strings.Contains(err.Error(), newPrint) {
		e.Errorf("the error does not name the fingerprint: %v", err)
	}

	// Once the file is replaced, that process follows.
	b, err := os.ReadFile(fresh)
	e.must(err)
	e.must(os.WriteFile(e.keyAt+".next", b, 0o600))
	e.must(os.Rename(e.keyAt+".next", e.keyAt))
	for deadline := time.Now().Add(time.Minute); ; {
		if _, err = apart.Change(e.ctx); err == nil || time.Now().After(deadline) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	e.must(err)
	check("one that followed", apart)
	opened, err := e.openWith(fresh)
	e.must(err)
	check("one that was opened anew", opened)
	if any, _ := e.onDisk(old...); any {
		e.Error("the store's files hold secrets that the old key wrapped")
	}
}

// testRewrapCrash kills processes that change the master key. Each time the whole
// keystore opens with one of the two keys.
func testRewrapCrash(e *env) {
	for i := range 12 {
		e.create(string(rune('a'+i)), "x", "y")
	}
	want := e.secrets(e.ks, "c", "y")[0].Secret
	at, done := e.keyAt, 0
	for round := range 12 {
		fresh := e.newKey("new.key")
		cmd := e.child(0)
		cmd.Env = append(cmd.Env, childKey+"="+at, childRewrap+"="+fresh)
		out, err := cmd.StdoutPipe()
		e.must(err)
		e.must(cmd.Start())
		lines := bufio.NewScanner(out)
		if !lines.Scan() || lines.Text() != "begins" {
			e.Fatalf("round %d: %q", round, lines.Text())
		}
		if round < 11 {
			time.Sleep(time.Duration(round) * 2 * time.Millisecond) // at whatever step it is then
			cmd.Process.Kill()
		}
		cmd.Wait()
		a, errOld := e.openWith(at)
		b, errNew := e.openWith(fresh)
		if (errOld == nil) == (errNew == nil) {
			e.Fatalf("round %d: the old key: %v, the new one: %v", round, errOld, errNew)
		}
		ks := a
		if errNew == nil {
			ks, at, done = b, fresh, done+1
		}
		for i := range 12 {
			got := e.secrets(ks, string(rune('a'+i)), "y")[0].Secret
			if i == 2 && got != want {
				e.Fatalf("round %d: the secret has changed", round)
			}
		}
		if _, err := ks.Projects(e.ctx); err != nil {
			e.Fatal(err)
		}
	}
	if done == 0 {
		e.Error("the last child, which was not killed, has not changed the key")
	}
}

// rewrapChild is the child process of testRewrapCrash.
func rewrapChild(ctx context.Context, ks *keys.Keystore, to string) error {
	mk, err := keys.LoadMasterKey(ctx, to)
	if err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString("begins\n"); err != nil {
		return err
	}
	return ks.Rewrap(ctx, mk)
}
