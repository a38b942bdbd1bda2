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
}

// storedIssuers is what a verifier took from an IssuerStore. It belongs to the
// goroutine that polls.
type storedIssuers struct {
	source  IssuerStore
	builtin ed25519.PublicKey // with which the verifier began; nil: no built-in issuer
	lapse   time.Time         // when the first retired key is good no more; zero: never
	names   []string          // of the trusted issuers that are stored
}

// JWKS returns the public keys of a keystore's issuer as a JWK Set (RFC 7517), the
// present one first, then those that are retired and still good.
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
		panic("token: a set of texts is marshalled") // as ever
	}
	return b
}

// KeyID returns the kid of an Ed25519 key: the JWK thumbprint (RFC 7638).
func KeyID(public ed25519.PublicKey) string { return thumbprint(public) }

// followIssuers brings the issuers in line with the store.
func (v *Verifier) followIssuers(ctx context.Context) error {
	if v.stored.source == nil {
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
			now.end(v.ctx)
		}
		ctx, stop := context.WithCancel(v.ctx)
		t, err := v.prepare(ctx, TrustedIssuer{Name: s.Name, Audience: s.Audience, JWKS: s.JWKS, JWKSURL: s.URL, AccessTokens: s.AccessTokens}, v.audience)
		if err != nil { // its tokens are refused, and those of others are not
			stop()
			v.log.Error("an issuer that the keystore trusts is not ready; its tokens are refused", "issuer", s.Name, "error", err)
			v.setIssuer(s.Name, nil)
			continue
		}
		t.stored, t.stop, t.withdraws = s, stop, true
		v.setIssuer(s.Name, t)
		names = append(names, s.Name)
	}
	for _, name := range v.stored.names {
		if t := v.issuer(name); t != nil && !slices.Contains(names, name) {
			t.end(v.ctx)
			v.setIssuer(name, nil)
			v.log.Info("an issuer is no longer trusted", "issuer", name)
		}
	}
	v.stored.names = names
	return nil
}

// end withdraws the keys of a stored issuer, also from tokens that are in use.
func (t *trusted) end(ctx context.Context) {
	t.stop()
	_ = t.keys.KeyReplaceAll(ctx, nil) // a set in memory
}

// followBuiltin takes up the present and the retired keys of the built-in issuer. An
// issuer that was made of another key than the store's is left as it is.
func (v *Verifier) followBuiltin(ctx context.Context) error {
	t := v.issuer(v.builtin)
	if t == nil || v.stored.builtin == nil {
		return nil
	}
	info, err := v.stored.source.Issuer(ctx)
	if err != nil {
		return err
	}
	mine := info.Public.Equal(v.stored.builtin) || t.withdraws
	v.stored.lapse = time.Time{}
	for _, r := range info.Retired {
		mine = mine || ed25519.PublicKey(r.Public).Equal(v.stored.builtin)
		if v.stored.lapse.IsZero() || r.Until.Before(v.stored.lapse) {
			v.stored.lapse = r.Until
		}
	}
	if !mine {
		return nil
	}
	v.own.Store(&info)
	if !t.withdraws { // before the verifier is anybody's
		t.withdraws = true
	}
	return t.keys.install(JWKS(info), nil)
}

// OwnIssuer returns the built-in issuer's name and public keys, as the verifier knows
// them; ok is false where it has none.
func (v *Verifier) OwnIssuer() (info keys.IssuerInfo, ok bool) {
	if p := v.own.Load(); p != nil {
		return *p, true
	}
	return info, false
}

// lapsed reports whether a retired key is good no more since the last look.
func (v *Verifier) lapsed(now time.Time) bool {
	return !v.stored.lapse.IsZero() && !now.Before(v.stored.lapse)
}

// CheckTrusted judges an issuer before it is stored as a trusted one, and returns how
// many usable keys its set has; 0 for one that is fetched.
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
