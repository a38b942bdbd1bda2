package token

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// TestPS256Salt checks that a PS256 signature needs a salt of the hash's length (RFC 7518 §3.5),
// although others are valid RSASSA-PSS.
func TestPS256Salt(t *testing.T) {
	keys := foreignKeys()
	file := writeFile(t, "jwks.json", keys.jwks())
	r := newRig(t, func(c *Config) { c.Trusted = []TrustedIssuer{{Name: "https://issuer.example", JWKSFile: file}} })
	for salt, want := range map[int]string{32: "", 1: InvalidToken, 20: InvalidToken, 31: InvalidToken, 33: InvalidToken,
		64: InvalidToken, keys.rsa.Size() - 34: InvalidToken} {
		f := *keys
		f.salt = salt
		for _, kid := range []string{"rsa", ""} {
			if got := code(r.try(f.sign("PS256", kid, foreignClaims()), OpsForward)); got != want {
				t.Errorf("salt of %d bytes, kid %q: %q, want %q", salt, kid, got, want)
			}
		}
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// longLived returns claims that expire long after the issuer's keys become stale.
func longLived() object {
	o := foreignClaims()
	o["exp"] = epoch0.Add(100 * time.Hour).Unix()
	o.psn()["ret"] = epoch0.Add(100 * time.Hour).Unix()
	return o
}

// held returns the grant of a valid token, which the test holds until it ends.
func (r *rig) held(t *testing.T, raw string) *Grant {
	t.Helper()
	g, err := r.Verify(context.Background(), []byte(raw), OpsForward)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Release)
	return g
}

// TestWithdrawnKeySet checks that an issuer that publishes an empty set has withdrawn its keys:
// from the next fetch on its tokens are refused, also cached ones and held grants.
func TestWithdrawnKeySet(t *testing.T) {
	for _, gone := range []string{`{"keys":[]}`, `{"keys":[{"kty":"oct","kid":"ed","k":"AAAA"}]}`} {
		f := foreignKeys()
		s := newKeyServer(t, f.jwks())
		log := &lockedBuffer{}
		r := newRig(t, s.trust, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(log, nil)) })
		r.firstKeys(t)
		raw := f.sign("EdDSA", "ed", longLived())
		g := r.held(t, raw)
		r.settle()
		if err := g.Spend(context.Background(), 1); err != nil {
			t.Fatal(err)
		}
		s.change(func() { s.set = gone })
		if err := r.Reload(); err != nil {
			t.Fatal(err)
		}
		if got := code(r.try(raw, OpsForward)); got != InvalidToken {
			t.Errorf("after %s: %q", gone, got)
		}
		if got := code(g.Spend(context.Background(), 1)); got != InvalidToken {
			t.Errorf("a grant that is held, after %s: %q", gone, got)
		}
		if !strings.Contains(log.String(), `msg="issuer keys reloaded" issuer=https://issuer.example keys=0`) {
			t.Errorf("the log says:\n%s", log.String())
		}
		s.change(func() { s.set = f.jwks() })
		if err := r.Reload(); err != nil {
			t.Fatal(err)
		}
		if err := r.try(raw, OpsForward); err != nil {
			t.Errorf("after the keys are back: %v", err)
		}
	}
}

// TestWithdrawnKeyFile is TestWithdrawnKeySet for a file of keys, and for one key of several.
func TestWithdrawnKeyFile(t *testing.T) {
	f := foreignKeys()
	ed, ec := edJWK("ed", f.ed.Public().(ed25519.PublicKey)), ecJWK("ec", "P-256", &f.ec.PublicKey)
	file := writeFile(t, "jwks.json", jwks(ed, ec))
	r := newRig(t, func(c *Config) { c.Trusted = []TrustedIssuer{{Name: "https://issuer.example", JWKSFile: file}} })
	stays, goes := r.held(t, f.sign("ES256", "ec", longLived())), r.held(t, f.sign("EdDSA", "ed", longLived()))
	install := func(set string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(set), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	install(jwks(ec))
	if err := stays.Spend(ctx, 1); err != nil {
		t.Error("a token of the remaining key:", err)
	}
	if got := code(goes.Spend(ctx, 1)); got != InvalidToken {
		t.Errorf("a token of the removed key: %q, want it refused", got)
	}
	install(`{"keys":[]}`)
	if got := code(stays.Spend(ctx, 1)); got != InvalidToken {
		t.Errorf("a set without keys: %q", got)
	}
	// NewVerifier refuses such a file, which then is a mistake.
	_, err := NewVerifier(Config{Keystore: r.ks, Issuer: r.issuer, Trusted: []TrustedIssuer{{Name: "https://issuer.example", JWKSFile: file}}})
	if !errors.Is(err, errNoUsableKey) {
		t.Errorf("a verifier with a file of no keys: %v", err)
	}
}

// TestStaleKeys checks that keys are trusted for MaxStale after the last successful fetch, also
// for cached tokens and held grants, and again once the issuer answers.
func TestStaleKeys(t *testing.T) {
	f := foreignKeys()
	s := newKeyServer(t, f.jwks())
	log := &lockedBuffer{}
	r := newRig(t, func(c *Config) {
		c.Trusted = []TrustedIssuer{{Name: "https://issuer.example", JWKSURL: s.URL + "/?key=secretpart", MaxStale: 40 * time.Minute}}
		c.Log = slog.New(slog.NewTextHandler(log, nil))
	})
	r.firstKeys(t)
	raw := f.sign("EdDSA", "ed", longLived())
	g := r.held(t, raw)
	r.settle()
	s.CloseClientConnections()
	s.change(func() { s.down = true })
	ctx := context.Background()
	step := func(d time.Duration) {
		t.Helper()
		r.clock.Advance(d)
		if err := r.Sync(ctx); err != nil {
			t.Fatal(err)
		}
	}
	step(39 * time.Minute)
	if err := r.Reload(); err == nil || strings.Contains(err.Error(), "secretpart") {
		t.Errorf("a reload with the issuer down: %v", err)
	}
	if err := r.try(raw, OpsForward); err != nil {
		t.Errorf("before the keys are stale: %v", err)
	}
	if err := g.Spend(ctx, 1); err != nil {
		t.Errorf("a grant that is held, before the keys are stale: %v", err)
	}
	step(time.Minute)
	for _, raw := range []string{raw, f.sign("ES256", "", longLived()), f.sign("RS256", "rsa", longLived())} {
		if got := code(r.try(raw, OpsForward)); got != InvalidToken {
			t.Errorf("with stale keys: %q", got)
		}
	}
	if got := code(g.Spend(ctx, 1)); got != InvalidToken {
		t.Errorf("a grant that is held, with stale keys: %q", got)
	}
	s.change(func() { s.down = false })
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := r.try(raw, OpsForward); err != nil {
		t.Errorf("the issuer is back: %v", err)
	}
	if err := g.Spend(ctx, 1); err != nil {
		t.Errorf("a grant that is held, when the issuer is back: %v", err)
	}
	s.Close()
	if err := r.Reload(); err == nil || strings.Contains(err.Error(), "secretpart") {
		t.Errorf("a reload with nobody there: %v", err)
	}
	if strings.Contains(log.String(), "secretpart") {
		t.Error("the log holds a part of the URL")
	}
}

// TestAccessTokens checks that at+jwt is accepted, in both spellings, only from an issuer with
// AccessTokens.
func TestAccessTokens(t *testing.T) {
	f := foreignKeys()
	file := writeFile(t, "jwks.json", f.jwks())
	for _, access := range []bool{false, true} {
		r := newRig(t, func(c *Config) {
			c.Trusted = []TrustedIssuer{{Name: "https://issuer.example", JWKSFile: file, AccessTokens: access}}
		})
		for typ, ok := range map[string]bool{"JWT": true, "psn+jwt": true, "at+jwt": access, "application/at+jwt": access,
			"AT+JWT": false, "at+jwt ": false, "id+jwt": false, "application/psn+jwt": false, "": false} {
			raw := joseSign(t, "EdDSA", f.ed, "ed", foreignClaims(), func(o *jose.SignerOptions) { o.WithType(jose.ContentType(typ)) })
			for range 2 { // the second time the header is cached
				if err := r.try(raw, OpsForward); (err == nil) != ok || err != nil && code(err) != InvalidToken {
					t.Errorf("typ %q, at+jwt accepted %v: %v", typ, access, err)
				}
			}
		}
		// It is never accepted from the built-in issuer.
		own := compact(`{"alg":"EdDSA","typ":"at+jwt","kid":"`+r.issuer.KeyID()+`"}`, goodClaims().String())
		if got := code(r.try(own, OpsForward)); got != InvalidToken {
			t.Errorf("at+jwt of the built-in issuer: %q, want %q", got, InvalidToken)
		}
	}
}

// TestRememberedGrantConditions checks that the grant of a LastToken is valid no longer than
// one in the cache: it breaks each condition once, and takes the path before and after.
func TestRememberedGrantConditions(t *testing.T) {
	f := foreignKeys()
	s := newKeyServer(t, f.jwks())
	r := newRig(t, s.trust)
	r.firstKeys(t)
	raw := []byte(f.sign("EdDSA", "ed", longLived()))
	var last LastToken
	try := func() string {
		g, err := r.VerifyAgain(context.Background(), raw, OpsForward, &last)
		if err == nil {
			g.Release()
		}
		return code(err)
	}
	taken := func() bool {
		t.Helper()
		for range 4 { // one may be a miss, and one may go to the cache
			before := r.lastTokenHits.Load()
			if got := try(); got != "" {
				t.Fatal(got)
			}
			r.settle()
			if r.lastTokenHits.Load() > before {
				return true
			}
		}
		return false
	}
	if !taken() {
		t.Fatal("the remembered grant is not used")
	}
	n := r.lastTokenHits.Load()
	// The deadline, at which the issuer's keys are checked again.
	r.clock.Advance(defaultRefresh)
	if err := r.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := try(); got != "" || r.lastTokenHits.Load() != n {
		t.Errorf("past its deadline: %q, taken %v", got, r.lastTokenHits.Load() != n)
	}
	if !taken() {
		t.Fatal("the new grant is not used")
	}
	// The epoch, after a change of the store, with the grant held so that it stays alive.
	r.held(t, string(raw))
	n = r.lastTokenHits.Load()
	s.change(func() { s.set = `{"keys":[]}` })
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := try(); got != InvalidToken || r.lastTokenHits.Load() != n {
		t.Errorf("after the keys were withdrawn: %q, taken %v", got, r.lastTokenHits.Load() != n)
	}
}

// TestKindsOfRefusals checks the kind of each refusal, and whether a job can resume after it.
func TestKindsOfRefusals(t *testing.T) {
	kinds := []error{ErrExpired, ErrRevoked, ErrBudgetSpent, ErrRetentionOver}
	for _, c := range []struct {
		err       *Error
		kind      error
		resumable bool
	}{
		{refuse(ExpiredToken, "x"), ErrExpired, true},
		{refuse(RevokedToken, "x"), ErrRevoked, false},
		{refuse(QuotaExceeded, "x"), ErrBudgetSpent, true},
		{&Error{Code: QuotaExceeded, RetryAfter: time.Second}, nil, false},
		{refuse(RetentionExpired, "x"), ErrRetentionOver, false},
		{refuse(TooLarge, "x"), nil, false},
		{invalid("x"), nil, false},
	} {
		for _, k := range kinds {
			if got := errors.Is(c.err, k); got != (k == c.kind) {
				t.Errorf("%s is %v: %v", c.err.Code, k, got)
			}
		}
		if c.err.Resumable() != c.resumable {
			t.Errorf("%s, retry after %v: resumable %v", c.err.Code, c.err.RetryAfter, !c.resumable)
		}
	}
}
