package token

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// keyServer is an issuer's JWKS endpoint whose set can change and which can fail.
type keyServer struct {
	*httptest.Server
	mu    sync.Mutex
	set   string
	down  bool
	hold  chan struct{} // if not nil, answers wait until it is closed
	asked atomic.Int64
}

func newKeyServer(t *testing.T, set string) *keyServer {
	s := &keyServer{set: set}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.asked.Add(1)
		s.mu.Lock()
		set, down, hold := s.set, s.down, s.hold
		s.mu.Unlock()
		if hold != nil {
			select {
			case <-hold:
			case <-req.Context().Done():
			}
		}
		if down {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		_, _ = w.Write([]byte(set))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *keyServer) trust(c *Config) {
	c.Trusted = []TrustedIssuer{{Name: "https://issuer.example", JWKSURL: s.URL}}
}

// await waits until ok is true, which a background goroutine brings about.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("did not happen in time: %s", what)
}

func (r *rig) source() *keySource { return r.sources[0] }

// firstKeys waits for the fetch that NewVerifier starts.
func (r *rig) firstKeys(t *testing.T) {
	t.Helper()
	await(t, "the first keys", func() bool {
		s := r.source()
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.inFlight == nil && r.keyCount() > 0
	})
}

func (r *rig) keyCount() int {
	all, err := r.source().KeyReadAll(context.Background())
	if err != nil {
		return -1
	}
	return len(all)
}

// TestKeysFromURL checks that an unknown key id causes a fetch, at most once a minute, and
// that the last valid set stays in use if a fetch fails.
func TestKeysFromURL(t *testing.T) {
	f := foreignKeys()
	ed := edJWK("ed", f.ed.Public().(ed25519.PublicKey))
	ec := ecJWK("ec", "P-256", &f.ec.PublicKey)
	s := newKeyServer(t, jwks(ed))
	r := newRig(t, s.trust)
	r.firstKeys(t)
	if err := r.try(f.sign("EdDSA", "ed", foreignClaims()), OpsForward); err != nil {
		t.Fatal(err)
	}

	// An unknown key id causes a fetch, but not within a minute of the last attempt.
	s.change(func() { s.set = jwks(ed, ec) })
	asked := s.asked.Load()
	raw := f.sign("ES256", "ec", foreignClaims())
	if got := code(r.try(raw, OpsForward)); got != InvalidToken {
		t.Errorf("within the minute of the last attempt: %q", got)
	}
	if got := s.asked.Load(); got != asked {
		t.Errorf("%d fetches within the minute, want none", got-asked)
	}
	r.clock.Advance(fetchPause)
	if err := r.try(raw, OpsForward); err != nil {
		t.Errorf("after the minute: %v", err)
	}
	if got := s.asked.Load(); got != asked+1 {
		t.Errorf("%d fetches, want 1", got-asked)
	}

	// The minute counts from the last attempt, failed or not, and the last valid set stays.
	s.change(func() { s.down = true })
	r.clock.Advance(fetchPause)
	for i := range 20 {
		if got := code(r.try(f.sign("EdDSA", fmt.Sprint("unknown", i), foreignClaims()), OpsForward)); got != InvalidToken {
			t.Errorf("unknown kid: %q", got)
		}
	}
	if got := s.asked.Load(); got != asked+2 {
		t.Errorf("%d fetches for 20 unknown keys, want 1", got-asked-1)
	}
	for _, raw := range []string{f.sign("EdDSA", "ed", foreignClaims()), raw} {
		if err := r.try(raw, OpsForward); err != nil {
			t.Errorf("with the issuer down: %v", err)
		}
	}
	for _, junk := range []string{"", "{", "{}", "null", "[]", `{"keys":null}`, `{"keys":7}`, strings.Repeat(" ", maxJWKS+2)} {
		s.change(func() { s.down, s.set = false, junk })
		r.clock.Advance(fetchPause)
		_ = r.try(f.sign("EdDSA", "unknown", foreignClaims()), OpsForward)
		if r.keyCount() != 2 {
			t.Errorf("an unusable answer has replaced the keys")
		}
	}
}

// TestIssuerDownAtStart checks that a verifier starts while an issuer is down, and accepts its
// tokens once it answers.
func TestIssuerDownAtStart(t *testing.T) {
	f := foreignKeys()
	s := newKeyServer(t, f.jwks())
	s.change(func() { s.down = true })
	r := newRig(t, s.trust)
	await(t, "the end of the first attempt", func() bool {
		source := r.source()
		source.mu.Lock()
		defer source.mu.Unlock()
		return source.inFlight == nil && s.asked.Load() == 1
	})
	raw := f.sign("EdDSA", "ed", foreignClaims())
	if got := code(r.try(raw, OpsForward)); got != InvalidToken {
		t.Fatalf("got %q", got)
	}
	s.change(func() { s.down = false })
	r.clock.Advance(fetchPause)
	if err := r.try(raw, OpsForward); err != nil {
		t.Errorf("the issuer is back: %v", err)
	}
}

// TestSlowIssuer checks that all callers wait for one fetch from a slow issuer, for a limited
// time, and that tokens with a known key do not wait.
func TestSlowIssuer(t *testing.T) {
	f := foreignKeys()
	s := newKeyServer(t, jwks(edJWK("ed", f.ed.Public().(ed25519.PublicKey))))
	r := newRig(t, s.trust)
	r.firstKeys(t)
	hold := make(chan struct{})
	s.change(func() { s.hold, s.set = hold, f.jwks() })
	r.clock.Advance(fetchPause)
	asked := s.asked.Load()
	raw := f.sign("ES256", "ec", foreignClaims())
	var wg sync.WaitGroup
	var good atomic.Int64
	for range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := r.try(raw, OpsForward); err == nil {
				good.Add(1)
			} else {
				t.Errorf("a waiting call: %v", err)
			}
		}()
	}
	// A call returns when its context ends; tokens with a known key never wait.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Verify(ctx, []byte(raw), OpsForward); err == nil {
		t.Error("a call whose context has ended got a grant")
	}
	if err := r.try(f.sign("EdDSA", "ed", foreignClaims()), OpsForward); err != nil {
		t.Errorf("a known key while the issuer is slow: %v", err)
	}
	await(t, "the question", func() bool { return s.asked.Load() > asked })
	close(hold)
	wg.Wait()
	if good.Load() != 16 {
		t.Errorf("%d of 16 waiting calls were granted", good.Load())
	}
	if got := s.asked.Load() - asked; got != 1 {
		t.Errorf("%d fetches for 16 calls, want 1", got)
	}
}

// TestWithdrawnKey checks that a key that the issuer withdraws is refused from the next refresh
// on, for cached tokens too.
func TestWithdrawnKey(t *testing.T) {
	f := foreignKeys()
	ed := edJWK("ed", f.ed.Public().(ed25519.PublicKey))
	s := newKeyServer(t, jwks(ed))
	r := newRig(t, s.trust)
	r.firstKeys(t)
	o := foreignClaims()
	o["exp"] = epoch0.Add(100 * time.Hour).Unix()
	o.psn()["ret"] = epoch0.Add(100 * time.Hour).Unix()
	raw := f.sign("EdDSA", "ed", o)
	if err := r.try(raw, OpsForward); err != nil {
		t.Fatal(err)
	}
	r.settle()
	// A cached token is valid up to the next refresh.
	hits := r.Stats().Hits
	r.clock.Advance(defaultRefresh)
	if err := r.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := r.try(raw, OpsForward); err != nil || r.Stats().Hits != hits {
		t.Errorf("at the refresh: %v, %d hits", err, r.Stats().Hits-hits)
	}
	s.change(func() { s.set = jwks(ecJWK("ec", "P-256", &f.ec.PublicKey)) })
	if err := r.try(f.sign("ES256", "ec", o), OpsForward); err != nil {
		t.Fatal(err)
	}
	if got := code(r.try(raw, OpsForward)); got != InvalidToken {
		t.Errorf("the withdrawn key: %q", got)
	}
}

// TestReloadKeyFile checks that Reload reads a changed file of keys, and keeps the former keys
// if the file is invalid.
func TestReloadKeyFile(t *testing.T) {
	f := foreignKeys()
	ed := edJWK("ed", f.ed.Public().(ed25519.PublicKey))
	file := writeFile(t, "jwks.json", jwks(ed))
	r := newRig(t, func(c *Config) { c.Trusted = []TrustedIssuer{{Name: "https://issuer.example", JWKSFile: file}} })
	before, after := f.sign("EdDSA", "ed", foreignClaims()), f.sign("ES256", "ec", foreignClaims())
	if err := r.try(before, OpsForward); err != nil {
		t.Fatal(err)
	}
	if got := code(r.try(after, OpsForward)); got != InvalidToken {
		t.Fatalf("got %q", got)
	}
	r.settle()
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(); err == nil {
		t.Error("Reload accepts an invalid file")
	}
	if err := r.try(before, OpsForward); err != nil {
		t.Errorf("the keys before a failed reload are gone: %v", err)
	}
	if err := os.WriteFile(file, []byte(jwks(ecJWK("ec", "P-256", &f.ec.PublicKey))), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := code(r.try(before, OpsForward)); got != InvalidToken {
		t.Errorf("a token of the removed key: %q, want it refused", got)
	}
	if err := r.try(after, OpsForward); err != nil {
		t.Errorf("the new key: %v", err)
	}
}

// TestKeyURLRequiresHTTPS checks which URLs of keys are accepted, and that no redirect leads to
// plain http.
func TestKeyURLRequiresHTTPS(t *testing.T) {
	for url, want := range map[string]bool{
		"https://issuer.example/jwks": true, "http://127.0.0.1:8080/jwks": true, "http://[::1]/jwks": true, "http://localhost/": true,
		"http://issuer.example/jwks": false, "file:///etc/passwd": false, "https://": false, "issuer.example/jwks": false, "": false,
	} {
		if err := keyURL(url); (err == nil) != want {
			t.Errorf("%q: %v", url, err)
		}
	}
	// A redirect away from https is not followed.
	s := httptest.NewServer(http.RedirectHandler("http://issuer.example/jwks", http.StatusFound))
	defer s.Close()
	if resp, err := keyClient().Get(s.URL); err == nil {
		resp.Body.Close()
		t.Error("a redirect to plain http was followed")
	}
}
