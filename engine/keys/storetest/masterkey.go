package storetest

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"sync"

	"github.com/velonym/velonym/engine/keys"
)

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
			e.Errorf("the store holds the %s secret in clear", what)
		}
	}
}

func testMasterKey(e *env) {
	e.create("p")
	wrongAt := filepath.Join(e.TempDir(), "other.key")
	e.must(keys.NewMasterKeyFile(wrongAt))
	wrong, err := keys.LoadMasterKey(e.ctx, wrongAt)
	e.must(err)
	s, err := e.location.Open()
	e.must(err)
	defer s.Close()
	_, err = keys.New(e.ctx, s, wrong)
	e.is(err, keys.ErrWrongMasterKey)
	if !strings.Contains(err.Error(), "give the master key that it was made with") {
		e.Errorf("the error names no remedy: %v", err)
	}
	e.secrets(e.second(), "p", "")

	// A keystore that lost its check value is not treated as new.
	e.must(e.store.Update(e.ctx, func(tx keys.Tx) error { return tx.SetMeta("check", nil) }))
	_, err = keys.New(e.ctx, s, wrong)
	e.is(err, keys.ErrCorrupt)
}

func testBoundOnce(e *env) {
	// Many processes that open a new keystore at once agree on its keys.
	e.must(e.store.Update(e.ctx, func(tx keys.Tx) error {
		return errors.Join(tx.SetMeta("check", nil), tx.SetMeta("issuer", nil), tx.SetMeta("receipt", nil))
	}))
	seeds := make([][]byte, 6)
	var wg sync.WaitGroup
	for i := range seeds {
		s, err := e.location.Open()
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
			e.Fatal("two handles created different issuers")
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
	h := &hookedStore{Store: e.store}
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
		for _, h.view = range []bool{false, true} {
			g, err := ks.Secrets(e.ctx, keys.Domain{Prj: "p", Org: "a"})
			if !errors.Is(err, keys.ErrCorrupt) && !errors.Is(err, keys.ErrTampered) || g != nil {
				e.Errorf("%s, without direct reads %v: got %v", what, h.view, err)
			}
		}
	}
	h.rows = nil
	e.secrets(ks, "p", "a")
}
