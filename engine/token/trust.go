package token

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"github.com/velonym/velonym/engine/keys"
)

func (v *Verifier) newValidator(t *trusted) *jwt.Validator {
	return jwt.NewValidator(
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithIssuer(t.name),
		jwt.WithAudience(t.audience),
		jwt.WithLeeway(v.skew),
		jwt.WithTimeFunc(v.now),
	)
}

// issuer returns the issuer of this name, nil if it is not trusted.
func (v *Verifier) issuer(name string) *trusted { return (*v.issuers.Load())[name] }

// setIssuer sets the issuer of a name; nil removes it.
func (v *Verifier) setIssuer(name string, t *trusted) {
	v.issuersMu.Lock()
	defer v.issuersMu.Unlock()
	next := maps.Clone(*v.issuers.Load())
	if t == nil {
		delete(next, name)
	} else {
		next[name] = t
	}
	v.issuers.Store(&next)
}

func (v *Verifier) trustBuiltin(i *Issuer) error {
	t := &trusted{name: i.iss, audience: i.aud, algs: []string{algEdDSA}}
	t.keys = v.newSource(v.ctx, t.name)
	set, err := parseJWKS(i.JWKS())
	if err == nil && len(set) == 0 {
		err = errNoUsableKey
	}
	if err == nil {
		err = t.keys.KeyReplaceAll(v.ctx, set)
	}
	if err == nil {
		t.keyfunc, err = keyfunc.New(keyfunc.Options{Ctx: v.ctx, Storage: t.keys})
	}
	if err != nil {
		return fmt.Errorf("token: the built-in issuer's key: %w", err)
	}
	t.validator = v.newValidator(t)
	v.setIssuer(t.name, t)
	return nil
}

func (v *Verifier) newSource(ctx context.Context, issuer string) *keySource {
	return &keySource{MemoryJWKSet: jwkset.NewMemoryStorage(), issuer: issuer, now: v.now, changed: v.invalidate, log: v.log, ctx: ctx}
}

// trust adds a configured issuer.
func (v *Verifier) trust(c TrustedIssuer, audience string) error {
	if c.Name != "" && v.issuer(c.Name) != nil {
		return fmt.Errorf("token: the issuer %q is trusted twice; give each its own name", c.Name)
	}
	t, err := v.newTrusted(v.ctx, c, audience)
	if err == nil {
		v.setIssuer(t.name, t)
	}
	return err
}

// newTrusted returns an issuer whose keys are installed. Keys of a URL are fetched, and
// refreshed until ctx ends, in the background.
func (v *Verifier) newTrusted(ctx context.Context, c TrustedIssuer, audience string) (*trusted, error) {
	t := &trusted{name: c.Name, audience: c.Audience, algs: slices.Clone(c.Algorithms), accessTokens: c.AccessTokens}
	if t.audience == "" {
		t.audience = audience
	}
	switch {
	case t.name == "" || t.audience == "":
		return nil, errors.New("token: a trusted issuer needs a name and an audience")
	case c.JWKSFile != "" && c.JWKSURL != "":
		return nil, fmt.Errorf("token: the issuer %q has a JWKS file and a JWKS URL; give one", t.name)
	case c.JWKSFile == "" && c.JWKSURL == "" && c.JWKS == nil && len(c.Secret) == 0:
		return nil, fmt.Errorf("token: the issuer %q has no keys; give a JWKS file, a JWKS URL or a secret", t.name)
	case len(c.Secret) > 0 && len(c.Secret) < minSecret:
		return nil, fmt.Errorf("token: the secret of issuer %q is too short; HS256 needs %d bytes or more", t.name, minSecret)
	}
	var supported []string
	if c.JWKSFile != "" || c.JWKSURL != "" || c.JWKS != nil {
		supported = append(supported, algEdDSA, algES256, algPS256, algRS256)
	}
	if len(c.Secret) > 0 {
		supported = append(supported, algHS256)
		t.secret = bytes.Clone(c.Secret)
	}
	if len(t.algs) == 0 {
		t.algs = supported
	}
	for _, a := range t.algs {
		if !slices.Contains(supported, a) {
			return nil, fmt.Errorf("token: the issuer %q has no key for the algorithm %q", t.name, a)
		}
	}
	if c.JWKSFile != "" || c.JWKSURL != "" || c.JWKS != nil {
		t.keys = v.newSource(ctx, t.name)
		kf, err := keyfunc.New(keyfunc.Options{Ctx: ctx, Storage: t.keys})
		if err != nil {
			return nil, fmt.Errorf("token: issuer keys: %w", err)
		}
		t.keyfunc = kf
	}
	t.validator = v.newValidator(t)
	switch {
	case c.JWKS != nil:
		t.keys.fixed = true
		if err := t.keys.install(c.JWKS, nil); err != nil {
			return nil, fmt.Errorf("token: issuer keys of %q: %w", t.name, err)
		}
	case c.JWKSFile != "":
		t.keys.file = c.JWKSFile
		if err := t.keys.load(); err != nil {
			return nil, err
		}
		if t.keys.count() == 0 {
			return nil, fmt.Errorf("token: issuer keys: %s: %w", c.JWKSFile, errNoUsableKey)
		}
		v.addSource(t.keys)
	case c.JWKSURL != "":
		if err := keyURL(c.JWKSURL); err != nil {
			return nil, err
		}
		t.keys.url, t.keys.refresh, t.keys.client = c.JWKSURL, c.Refresh, c.Client
		if t.keys.refresh <= 0 {
			t.keys.refresh = defaultRefresh
		}
		if t.keys.maxStale = c.MaxStale; t.keys.maxStale <= 0 {
			t.keys.maxStale = defaultMaxStale
		}
		t.keys.refresh = min(t.keys.refresh, t.keys.maxStale/2)
		if t.keys.client == nil {
			t.keys.client = keyClient()
		}
		v.addSource(t.keys)
		t.keys.running.Add(1)
		go t.keys.run()
	}
	return t, nil
}

// addSource registers keys with Reload and Close.
func (v *Verifier) addSource(s *keySource) {
	v.issuersMu.Lock()
	defer v.issuersMu.Unlock()
	v.sources = append(v.sources, s)
}

// allSources returns the registered keys.
func (v *Verifier) allSources() []*keySource {
	v.issuersMu.Lock()
	defer v.issuersMu.Unlock()
	return slices.Clone(v.sources)
}

// Reload reads the files of issuer keys again, fetches those of URLs, all concurrently,
// and logs the number of keys of each issuer. If a set cannot be read, Reload returns an
// error and the former keys stay in use (those of a URL up to MaxStale). A set without
// keys ends the trust in its issuer.
func (v *Verifier) Reload() error {
	sources := v.allSources()
	errs := make([]error, len(sources))
	var all sync.WaitGroup
	for i, s := range sources {
		all.Go(func() {
			if s.ctx.Err() != nil {
				return // no longer trusted
			}
			if s.file != "" {
				errs[i] = s.load()
			} else {
				errs[i] = s.refetch()
			}
			if errs[i] == nil {
				v.log.Info("issuer keys reloaded", "issuer", s.issuer, "keys", s.count())
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// trusted is an issuer with its keys.
type trusted struct {
	name, audience string
	accessTokens   bool // typ at+jwt is accepted
	algs           []string
	keys           *keySource // nil: secret only
	keyfunc        keyfunc.Keyfunc
	secret         []byte
	validator      *jwt.Validator // of the registered claims
	eddsa          eddsa
	withdraws      bool               // a change of the store can withdraw its keys
	stored         keys.TrustedIssuer // if the keystore has it
	stop           context.CancelFunc // stops the refresh of a stored issuer's keys
}

func (t *trusted) allows(alg string) bool { return slices.Contains(t.algs, alg) }

// key returns the keys that may verify a token with header h.
func (t *trusted) key(ctx context.Context, tok *jwt.Token, h header) (any, error) {
	if h.alg == algHS256 {
		return t.secret, nil // allows has checked that there is one
	}
	if h.alg == algPS256 {
		tok.Method = strictPS256
	}
	if h.alg == algEdDSA {
		tok.Method = &t.eddsa
	}
	if h.kid == "" {
		all, err := t.keys.KeyReadAll(ctx)
		if errors.Is(err, errStale) {
			return nil, errStale
		}
		if err != nil {
			return nil, errNoKey
		}
		var set jwt.VerificationKeySet
		for _, k := range all {
			if a := k.Marshal().ALG.String(); (a == "" || a == h.alg) && keyMatchesAlg(h.alg, k.Key()) && len(set.Keys) < keysWithoutKeyID {
				set.Keys = append(set.Keys, k.Key())
			}
		}
		if len(set.Keys) == 0 {
			return nil, errNoKey
		}
		return set, nil
	}
	k, err := t.keyfunc.KeyfuncCtx(ctx)(tok)
	if errors.Is(err, errStale) {
		return nil, errStale
	}
	if errors.Is(err, jwkset.ErrKeyNotFound) {
		return nil, errNoKey
	}
	if err != nil {
		return nil, errors.New("the key is not for this alg")
	}
	if !keyMatchesAlg(h.alg, k) {
		return nil, errors.New("the key is not for this alg")
	}
	return k, nil
}
