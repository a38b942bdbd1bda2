package token

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// IssuerStore keeps the built-in issuer's keys and the other issuers that are trusted;
// *keys.Keystore does. A Verifier whose Keystore is one follows its changes.
type IssuerStore interface {
	Issuer(ctx context.Context) (keys.IssuerInfo, error)
	TrustedIssuers(ctx context.Context) ([]keys.TrustedIssuer, error)
	// IssuersVersion changes with every answer of the two above, but for the end of a
	// retired key. It is that of the last call of [Keystore.Change].
	IssuersVersion() string
}

// storedIssuers is a verifier's state of an IssuerStore. Only the polling goroutine uses
// it.
type storedIssuers struct {
	source         IssuerStore
	builtin        ed25519.PublicKey // key of the built-in issuer at the start; nil: none
	nextRetirement time.Time         // first end of a retired key; zero: none
	names          []string          // of the trusted issuers that are stored
	version        string            // of what was read last
	read           bool
}

// JWKS returns the public keys of a keystore's issuer as a JWK Set (RFC 7517): the
// current one first, then the retired ones that are still valid.
func JWKS(info keys.IssuerInfo) []byte {
	type jwk struct {
		KTY string `json:"kty"`
		CRV string `json:"crv"`
		X   string `json:"x"`
		KID string `json:"kid"`
		ALG string `json:"alg"`
		Use string `json:"use"`
	}
	var set struct {
		Keys []jwk `json:"keys"`
	}
	add := func(public ed25519.PublicKey) {
		set.Keys = append(set.Keys, jwk{"OKP", "Ed25519", base64.RawURLEncoding.EncodeToString(public), thumbprint(public), algEdDSA, "sig"})
	}
	add(info.Public)
	for _, r := range info.Retired {
		add(r.Public)
	}
	b, err := json.Marshal(set)
	if err != nil {
		panic("token: a JWK Set of texts cannot fail to marshal")
	}
	return b
}

// KeyID returns the kid of an Ed25519 key: the JWK thumbprint (RFC 7638).
func KeyID(public ed25519.PublicKey) string { return thumbprint(public) }

// followIssuers updates the trusted issuers from the store.
func (v *Verifier) followIssuers(ctx context.Context) error {
	if v.stored.source == nil {
		return nil
	}
	version := v.stored.source.IssuersVersion()
	if v.stored.read && version == v.stored.version && !v.keyRetired(v.now()) {
		return nil
	}
	if err := v.followBuiltin(ctx); err != nil {
		return err
	}
	list, err := v.stored.source.TrustedIssuers(ctx)
	if err != nil {
		return err
	}
	var names []string
	ready := true
	for _, s := range list {
		now := v.issuer(s.Name)
		switch {
		case now != nil && now.stop == nil:
			v.log.Warn("an issuer that the keystore trusts has the name of one that was configured, which counts", "issuer", s.Name)
			continue
		case now != nil && reflect.DeepEqual(now.stored, s):
			names = append(names, s.Name)
			continue
		case now != nil && s.JWKS != nil && now.stored.JWKS != nil && s.Audience == now.stored.Audience && s.AccessTokens == now.stored.AccessTokens:
			if err := now.keys.install(s.JWKS, nil); err != nil {
				return err
			}
			now.stored = s
			names = append(names, s.Name)
			continue
		case now != nil:
			now.withdrawKeys(v.ctx)
		}
		ctx, stop := context.WithCancel(v.ctx)
		t, err := v.newTrusted(ctx, TrustedIssuer{Name: s.Name, Audience: s.Audience, JWKS: s.JWKS, JWKSURL: s.URL, AccessTokens: s.AccessTokens}, v.audience)
		if err != nil { // only this issuer's tokens are refused
			stop()
			v.log.Error("an issuer that the keystore trusts is not ready; its tokens are refused", "issuer", s.Name, "error", err)
			v.setIssuer(s.Name, nil)
			ready = false
			continue
		}
		t.stored, t.stop, t.withdraws = s, stop, true
		v.setIssuer(s.Name, t)
		names = append(names, s.Name)
	}
	for _, name := range v.stored.names {
		if t := v.issuer(name); t != nil && !slices.Contains(names, name) {
			t.withdrawKeys(v.ctx)
			v.setIssuer(name, nil)
			v.log.Info("an issuer is no longer trusted", "issuer", name)
		}
	}
	v.stored.names, v.stored.version, v.stored.read = names, version, ready
	return nil
}

// withdrawKeys ends the trust in a stored issuer's keys, for tokens in use as well.
func (t *trusted) withdrawKeys(ctx context.Context) {
	t.stop()
	_ = t.keys.KeyReplaceAll(ctx, nil) // in memory: it cannot fail
}

// followBuiltin installs the current and the retired keys of the built-in issuer. It
// leaves an issuer alone whose key was never the store's.
func (v *Verifier) followBuiltin(ctx context.Context) error {
	t := v.issuer(v.builtin)
	if t == nil || v.stored.builtin == nil {
		return nil
	}
	info, err := v.stored.source.Issuer(ctx)
	if err != nil {
		return err
	}
	ofStore := info.Public.Equal(v.stored.builtin) || t.withdraws
	v.stored.nextRetirement = time.Time{}
	for _, r := range info.Retired {
		ofStore = ofStore || ed25519.PublicKey(r.Public).Equal(v.stored.builtin)
		if v.stored.nextRetirement.IsZero() || r.Until.Before(v.stored.nextRetirement) {
			v.stored.nextRetirement = r.Until
		}
	}
	if !ofStore {
		return nil
	}
	v.builtinInfo.Store(&info)
	if !t.withdraws { // only during NewVerifier, before other goroutines read it
		t.withdraws = true
	}
	return t.keys.install(JWKS(info), nil)
}

// OwnIssuer returns the built-in issuer's name and public keys as of the last poll; ok is
// false if there is none.
func (v *Verifier) OwnIssuer() (info keys.IssuerInfo, ok bool) {
	if p := v.builtinInfo.Load(); p != nil {
		return *p, true
	}
	return info, false
}

// keyRetired reports whether a retired key has ended since the last poll.
func (v *Verifier) keyRetired(now time.Time) bool {
	return !v.stored.nextRetirement.IsZero() && !now.Before(v.stored.nextRetirement)
}

// CheckTrusted checks an issuer before it is stored as trusted, and returns the number
// of usable keys in its set; 0 for a set that is fetched.
func CheckTrusted(t keys.TrustedIssuer) (n int, err error) {
	if t.URL != "" {
		return 0, keyURL(t.URL)
	}
	set, err := parseJWKS(t.JWKS)
	if err == nil && len(set) == 0 {
		err = errNoUsableKey
	}
	if err != nil {
		return 0, fmt.Errorf("token: issuer keys: %w", err)
	}
	return len(set), nil
}
