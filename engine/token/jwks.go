package token

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

const (
	maxJWKS          = 1 << 20          // bytes of a JWK Set
	maxJWKSKeys      = 128              // keys that are taken from one
	fetchTimeout     = 10 * time.Second // one attempt to fetch a JWK Set
	fetchWait        = 2 * time.Second  // what a call waits for a fetch that is under way
	fetchPause       = time.Minute      // between attempts for unknown key ids, counted from the last attempt
	defaultRefresh   = 15 * time.Minute // between attempts otherwise
	minSecret        = 32               // bytes of an HS256 secret
	minRSA, maxRSA   = 2048, 8192       // bits of a modulus; larger ones are a burden, not a safeguard
	keysWithoutKeyID = 4                // keys that are tried for a token that names none
)

// TrustedIssuer is an issuer whose tokens are accepted: its name and where its
// keys are. One of JWKSFile, JWKSURL and Secret must be given; Secret may stand
// beside one of the others.
type TrustedIssuer struct {
	Name     string // iss
	Audience string // aud that its tokens must name; default: that of the Config
	JWKSFile string // file with a JWK Set, read at the start and on Reload
	JWKSURL  string // https URL of a JWK Set; http is for loopback addresses only
	// Refresh is the pause between two fetches of JWKSURL; default 15 minutes.
	// A key that the issuer withdrew is trusted for so long at most.
	Refresh time.Duration
	Secret  []byte // HS256 secret of 32 bytes or more; copied
	// Algorithms narrows what its tokens may be signed with. Default: EdDSA,
	// ES256, PS256 and RS256 with a JWK Set, HS256 with a secret.
	Algorithms []string
	Client     *http.Client // for JWKSURL; default: one with a timeout of 10 s
}

// trusted is an issuer made ready.
type trusted struct {
	name, audience string
	algs           []string
	keys           *keySource // nil: secret only
	keyfunc        keyfunc.Keyfunc
	secret         []byte
	parser         *jwt.Parser
}

func (t *trusted) allows(alg string) bool { return slices.Contains(t.algs, alg) }

// errNoKey says that no key of the issuer is for a token, which may change with
// the issuer's next key set.
var errNoKey = errors.New("no key of the issuer is for this token")

// key finds the keys that may verify a token with header h.
func (t *trusted) key(ctx context.Context, tok *jwt.Token, h header) (any, error) {
	if h.alg == algHS256 {
		return t.secret, nil // allows said that there is one
	}
	if h.kid == "" {
		all, err := t.keys.KeyReadAll(ctx)
		if err != nil {
			return nil, errNoKey
		}
		var set jwt.VerificationKeySet
		for _, k := range all {
			if a := k.Marshal().ALG.String(); (a == "" || a == h.alg) && fits(h.alg, k.Key()) && len(set.Keys) < keysWithoutKeyID {
				set.Keys = append(set.Keys, k.Key())
			}
		}
		if len(set.Keys) == 0 {
			return nil, errNoKey
		}
		return set, nil
	}
	k, err := t.keyfunc.KeyfuncCtx(ctx)(tok)
	if errors.Is(err, jwkset.ErrKeyNotFound) {
		return nil, errNoKey
	}
	if err != nil {
		return nil, errors.New("the key is not for this alg")
	}
	if !fits(h.alg, k) {
		return nil, errors.New("the key is not for this alg")
	}
	return k, nil
}

// fits reports whether a public key is one that alg verifies with.
func fits(alg string, key any) bool {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return alg == algEdDSA
	case *ecdsa.PublicKey:
		return alg == algES256 && k.Curve == elliptic.P256()
	case *rsa.PublicKey:
		n := k.N.BitLen()
		return (alg == algPS256 || alg == algRS256) && n >= minRSA && n <= maxRSA
	}
	return false
}

// usable reports whether any algorithm of ours can use a key of a JWK Set.
func usable(k jwkset.JWK) bool {
	m := k.Marshal()
	if m.USE != "" && m.USE != jwkset.UseSig {
		return false
	}
	if len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) {
		return false
	}
	for _, alg := range [...]string{algEdDSA, algES256, algPS256, algRS256} {
		if (m.ALG == "" || m.ALG.String() == alg) && fits(alg, k.Key()) {
			return true
		}
	}
	return false
}

// parseJWKS takes the public keys that can verify tokens out of a JWK Set.
// Others (for encryption, of other types, too short, broken) are passed over; a
// set without any of use is an error. Private members are not read.
func parseJWKS(b []byte) ([]jwkset.JWK, error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, errors.New("not a JWK Set")
	}
	var out []jwkset.JWK
	for _, m := range set.Keys {
		// Certificates are not looked at, so that nothing is fetched for them.
		m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", ""
		k, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err == nil && usable(k) && len(out) < maxJWKSKeys {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no usable public key in the JWK Set: EdDSA, P-256 or RSA of 2048 bits is needed")
	}
	return out, nil
}

// keySource holds the public keys of an issuer. It is the jwkset.Storage that
// keyfunc reads, and adds to it when a key id is unknown: one fetch for all who
// wait, at most one a minute, and never a wait longer than fetchWait. A fetch
// that fails leaves the last good set in place.
type keySource struct {
	*jwkset.MemoryJWKSet
	issuer  string // for messages
	file    string
	url     string
	client  *http.Client
	refresh time.Duration
	now     func() time.Time
	changed func() // called after the set of keys has changed
	log     *slog.Logger
	ctx     context.Context // ended by close

	mu      sync.Mutex
	print   [32]byte      // of the set in place
	last    time.Time     // start of the last attempt
	flight  chan struct{} // closed at the end of the attempt under way; nil: none
	running sync.WaitGroup
}

// KeyRead implements jwkset.Storage.
func (s *keySource) KeyRead(ctx context.Context, kid string) (jwkset.JWK, error) {
	k, err := s.MemoryJWKSet.KeyRead(ctx, kid)
	if err == nil || s.url == "" {
		return k, err
	}
	s.mu.Lock()
	flight := s.flight
	if flight == nil && (s.last.IsZero() || s.now().Sub(s.last) >= fetchPause) {
		flight = s.start()
	}
	s.mu.Unlock()
	if flight != nil {
		t := time.NewTimer(fetchWait)
		defer t.Stop()
		select {
		case <-flight:
		case <-ctx.Done():
		case <-t.C:
		}
	}
	// Without a flight too: one may have ended since the look above.
	return s.MemoryJWKSet.KeyRead(ctx, kid)
}

// start begins a fetch in the background; s.mu is held and no other is under
// way. The fetch does not end with the call that asked for it.
func (s *keySource) start() chan struct{} {
	done := make(chan struct{})
	s.flight, s.last = done, s.now()
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
		defer cancel()
		b, err := s.fetch(ctx)
		if err == nil {
			err = s.install(b)
		}
		if err != nil && s.ctx.Err() == nil {
			s.log.Warn("issuer keys not refreshed; the last good set stays", "issuer", s.issuer, "error", err)
		}
		s.mu.Lock()
		s.flight = nil
		s.mu.Unlock()
		close(done)
	}()
	return done
}

func (s *keySource) fetch(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the issuer answered with status %d", resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxJWKS+1))
	if err == nil && len(b) > maxJWKS {
		err = errors.New("the JWK Set is larger than 1 MiB")
	}
	return b, err
}

// load reads the file of keys.
func (s *keySource) load() error {
	f, err := os.Open(s.file)
	if err != nil {
		return fmt.Errorf("token: issuer keys: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxJWKS+1))
	if err == nil && len(b) > maxJWKS {
		err = errors.New("larger than 1 MiB")
	}
	if err == nil {
		err = s.install(b)
	}
	if err != nil {
		return fmt.Errorf("token: issuer keys: %s: %w", s.file, err)
	}
	return nil
}

// install puts the keys of a JWK Set in place of those before.
func (s *keySource) install(b []byte) error {
	set, err := parseJWKS(b)
	if err != nil {
		return err
	}
	if err := s.KeyReplaceAll(s.ctx, set); err != nil {
		return err
	}
	canon, err := s.JSONPublic(s.ctx)
	if err != nil {
		return err
	}
	print := sha256.Sum256(canon)
	s.mu.Lock()
	same := print == s.print
	s.print = print
	s.mu.Unlock()
	if !same {
		s.changed()
	}
	return nil
}

// run refreshes the keys until s.ctx ends.
func (s *keySource) run() {
	defer s.running.Done()
	for {
		s.mu.Lock()
		flight := s.flight
		if flight == nil {
			flight = s.start()
		}
		s.mu.Unlock()
		select {
		case <-flight:
		case <-s.ctx.Done():
			return
		}
		pause := s.refresh
		if all, err := s.KeyReadAll(s.ctx); err != nil || len(all) == 0 {
			pause = min(pause, fetchPause) // no keys yet: the issuer was down at the start
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-s.ctx.Done():
			t.Stop()
			return
		}
	}
}

// keyURL checks the URL of a JWK Set.
func keyURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return errors.New("token: the JWKS URL cannot be read")
	}
	if u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname()) {
		return nil
	}
	return errors.New("token: the JWKS URL must be https; http is for loopback addresses only")
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// keyClient is the default client: no redirect leads away from https.
func keyClient() *http.Client {
	return &http.Client{
		Timeout: fetchTimeout,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) >= 5 {
				return errors.New("too many redirects")
			}
			return keyURL(req.URL.String())
		},
	}
}
