package token

import (
	"context"
	"crypto"
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
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

const (
	maxJWKS          = 1 << 20          // bytes of a JWK Set
	maxJWKSKeys      = 128              // keys that are read of a set
	fetchTimeout     = 10 * time.Second // one attempt to fetch a JWK Set
	fetchWait        = 2 * time.Second  // longest wait of a call for a running fetch
	fetchPause       = time.Minute      // between attempts for unknown key ids
	defaultRefresh   = 15 * time.Minute // between other attempts
	defaultMaxStale  = time.Hour        // age at which fetched keys are no longer trusted
	minSecret        = 32               // bytes of an HS256 secret
	minRSA, maxRSA   = 2048, 8192       // bits of a modulus; larger ones only cost time
	keysWithoutKeyID = 4                // keys that are tried for a token without kid
)

// TrustedIssuer is an issuer whose tokens are accepted. One of JWKSFile, JWKSURL, JWKS
// and Secret is required; Secret may accompany one of the others.
type TrustedIssuer struct {
	Name     string // iss
	Audience string // aud that its tokens must name; default: that of the Config
	JWKSFile string // file with a JWK Set, read at the start and on Reload
	JWKSURL  string // https URL of a JWK Set; http is for loopback addresses only
	JWKS     []byte // a JWK Set itself, instead of a file or a URL
	// Refresh is the time between fetches of JWKSURL, and so the longest time that a
	// withdrawn key is trusted; default 15 minutes, at most half of MaxStale.
	Refresh time.Duration
	// MaxStale is how long the keys of JWKSURL are trusted after the last successful
	// fetch. After it the issuer's tokens are refused, cached ones too, until a fetch
	// succeeds. Default 1 hour.
	MaxStale time.Duration
	// AccessTokens accepts the typ at+jwt (RFC 9068) beside psn+jwt and JWT. Set it
	// only if every token that the issuer signs for this audience is meant for Velonym.
	AccessTokens bool
	Secret       []byte // HS256 secret of 32 bytes or more; copied
	// Algorithms restricts the signature algorithms. Default: EdDSA, ES256, PS256 and
	// RS256 with a JWK Set, HS256 with a secret.
	Algorithms []string
	Client     *http.Client // for JWKSURL; default: one with a timeout of 10 s
}

// errNoKey is returned if the issuer's key set has no key for a token. The next set may
// have one.
var errNoKey = errors.New("no key of the issuer is for this token")

// strictPS256 is PS256 that requires a salt of the hash's length (RFC 7518 §3.5);
// package jwt accepts any length.
var strictPS256 = &jwt.SigningMethodRSAPSS{SigningMethodRSA: jwt.SigningMethodPS256.SigningMethodRSA, Options: jwt.SigningMethodPS256.Options}

// keyMatchesAlg reports whether alg can verify with a public key.
func keyMatchesAlg(alg string, key any) bool {
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

// usable reports whether a supported algorithm can verify with a key of a JWK Set.
func usable(k jwkset.JWK) bool {
	m := k.Marshal()
	if m.USE != "" && m.USE != jwkset.UseSig {
		return false
	}
	if len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) {
		return false
	}
	for _, alg := range [...]string{algEdDSA, algES256, algPS256, algRS256} {
		if (m.ALG == "" || m.ALG.String() == alg) && keyMatchesAlg(alg, k.Key()) {
			return true
		}
	}
	return false
}

// parseJWKS returns the public keys of a JWK Set that can verify tokens. It skips
// others: for encryption, of other types, too short, broken. The list may be empty, which
// means that the issuer has withdrawn its keys. Anything but a JWK Set is an error.
// Private members are not read.
func parseJWKS(b []byte) ([]jwkset.JWK, error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(b, &set); err != nil || set.Keys == nil {
		return nil, errors.New("not a JWK Set")
	}
	var out []jwkset.JWK
	for _, m := range set.Keys {
		// Certificates are ignored, so that nothing is fetched for them.
		m.X5U, m.X5C, m.X5T, m.X5TS256 = "", nil, "", ""
		k, err := jwkset.NewJWKFromMarshal(m, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err == nil && usable(k) && len(out) < maxJWKSKeys {
			out = append(out, k)
		}
	}
	return out, nil
}

// errNoUsableKey is returned at the start for a set without a usable key, which then is
// a mistake and not a withdrawal.
var errNoUsableKey = errors.New("no usable public key in the JWK Set: EdDSA, P-256 or RSA of 2048 bits is needed")

// errStale is returned for fetched keys older than TrustedIssuer.MaxStale.
var errStale = errors.New("the issuer's keys could not be fetched for too long")

// keySource holds the public keys of an issuer. It implements jwkset.Storage and fetches
// the set when a key id is unknown: one fetch for all waiting calls, at most one a
// minute, and no call waits longer than fetchWait. After a failed fetch the last set
// remains valid, up to maxStale.
type keySource struct {
	*jwkset.MemoryJWKSet
	issuer   string // for messages
	fixed    bool   // the set came with the configuration
	file     string
	url      string
	client   *http.Client
	refresh  time.Duration
	maxStale time.Duration
	now      func() time.Time
	changed  func() // called after the set of keys has changed
	log      *slog.Logger
	ctx      context.Context // ended by close

	staleAt atomic.Int64 // end of trust in fetched keys, in Unix nanoseconds

	mu          sync.Mutex
	fingerprint [32]byte  // of the installed set
	lastAttempt time.Time // its start
	inFlight    *fetching // nil: no fetch is running
	failed      bool      // the last attempt failed
	running     sync.WaitGroup
}

// fetching is one attempt to fetch keys.
type fetching struct {
	done chan struct{} // closed at its end
	err  error         // set before done is closed
}

// stale reports whether the fetched keys are too old at now. Keys of a file and the
// built-in key never are.
func (s *keySource) stale(now time.Time) bool {
	return s.url != "" && now.UnixNano() >= s.staleAt.Load()
}

// read returns the key with this id, unless the keys are stale.
func (s *keySource) read(ctx context.Context, kid string) (jwkset.JWK, error) {
	if s.stale(s.now()) {
		return jwkset.JWK{}, fmt.Errorf("%w: %w", jwkset.ErrKeyNotFound, errStale)
	}
	return s.MemoryJWKSet.KeyRead(ctx, kid)
}

// KeyRead implements jwkset.Storage.
func (s *keySource) KeyRead(ctx context.Context, kid string) (jwkset.JWK, error) {
	k, err := s.read(ctx, kid)
	if err == nil || s.url == "" {
		return k, err
	}
	s.mu.Lock()
	fetch := s.inFlight
	if fetch == nil && (s.lastAttempt.IsZero() || s.now().Sub(s.lastAttempt) >= fetchPause) {
		fetch = s.start()
	}
	s.mu.Unlock()
	if fetch != nil {
		t := time.NewTimer(fetchWait)
		defer t.Stop()
		select {
		case <-fetch.done:
		case <-ctx.Done():
		case <-t.C:
		}
	}
	// Also if no fetch is running: one may have ended since the first read.
	return s.read(ctx, kid)
}

// KeyReadAll implements jwkset.Storage. It returns errStale for stale keys.
func (s *keySource) KeyReadAll(ctx context.Context) ([]jwkset.JWK, error) {
	if s.stale(s.now()) {
		return nil, errStale
	}
	return s.MemoryJWKSet.KeyReadAll(ctx)
}

// start begins a fetch in the background; s.mu is held and no other fetch is running.
// The fetch outlives the call that started it.
func (s *keySource) start() *fetching {
	began := s.now()
	f := &fetching{done: make(chan struct{})}
	s.inFlight, s.lastAttempt = f, began
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		ctx, cancel := context.WithTimeout(s.ctx, fetchTimeout)
		defer cancel()
		b, err := s.fetch(ctx)
		if err == nil {
			err = s.install(b, func() { s.staleAt.Store(nanos(began.Add(s.maxStale))) })
		}
		switch {
		case err == nil || s.ctx.Err() != nil:
		case s.stale(s.now()):
			s.log.Error("issuer keys not refreshed; its tokens are refused until they are", "issuer", s.issuer, "error", err)
		default:
			s.log.Warn("issuer keys not refreshed; the last good set stays for now", "issuer", s.issuer, "error", err,
				"until", time.Unix(0, s.staleAt.Load()).UTC().Format(time.RFC3339))
		}
		s.mu.Lock()
		s.inFlight, s.failed = nil, err != nil
		s.mu.Unlock()
		f.err = err
		close(f.done)
	}()
	return f
}

// refetch fetches the keys by an attempt that begins after the call, and returns its
// error.
func (s *keySource) refetch() error {
	s.mu.Lock()
	for s.inFlight != nil {
		earlier := s.inFlight
		s.mu.Unlock()
		<-earlier.done // within fetchTimeout
		s.mu.Lock()
	}
	f := s.start()
	s.mu.Unlock()
	<-f.done
	if f.err != nil {
		return fmt.Errorf("token: issuer keys of %s: %w", s.issuer, f.err)
	}
	return nil
}

func (s *keySource) fetch(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, errors.New("the JWKS URL cannot be read")
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
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

// withoutURL removes the URL from an error of package http: it may hold a password.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// load installs the keys of the file.
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
		err = s.install(b, nil)
	}
	if err != nil {
		return fmt.Errorf("token: issuer keys: %s: %w", s.file, err)
	}
	return nil
}

// install replaces the keys by those of a JWK Set and logs a change. beforeChange, if
// not nil, is called after the keys are replaced and before changed is called.
func (s *keySource) install(b []byte, beforeChange func()) error {
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
	if beforeChange != nil {
		beforeChange()
	}
	fingerprint := sha256.Sum256(canon)
	s.mu.Lock()
	unchanged := fingerprint == s.fingerprint
	s.fingerprint = fingerprint
	s.mu.Unlock()
	if !unchanged {
		s.changed()
		if len(set) == 0 {
			s.log.Warn("the issuer has withdrawn its keys: its tokens are refused", "issuer", s.issuer, "keys", 0)
		} else {
			s.log.Info("issuer keys read", "issuer", s.issuer, "keys", len(set))
		}
	}
	return nil
}

// hasAny reports whether one of keys is installed.
func (s *keySource) hasAny(ctx context.Context, keys []crypto.PublicKey) bool {
	all, err := s.KeyReadAll(ctx)
	if err != nil {
		return false
	}
	for _, k := range all {
		same, ok := k.Key().(interface{ Equal(crypto.PublicKey) bool })
		if ok && slices.ContainsFunc(keys, same.Equal) {
			return true
		}
	}
	return false
}

// count returns the number of installed keys.
func (s *keySource) count() int {
	all, err := s.KeyReadAll(s.ctx)
	if err != nil {
		return 0
	}
	return len(all)
}

// run refreshes the keys until s.ctx ends.
func (s *keySource) run() {
	defer s.running.Done()
	for {
		s.mu.Lock()
		fetch := s.inFlight
		if fetch == nil {
			fetch = s.start()
		}
		s.mu.Unlock()
		select {
		case <-fetch.done:
		case <-s.ctx.Done():
			return
		}
		pause := s.refresh
		s.mu.Lock()
		if s.failed {
			pause = min(pause, fetchPause)
		}
		s.mu.Unlock()
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

// keyClient returns the default client, which follows redirects to https only.
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
