package keys

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// metaSettings is the entry with the keystore's settings as JSON. The root of the seals
// holds its HMAC, so that nobody can roll it back.
const metaSettings = "settings"

// settings is the content of metaSettings.
type settings struct {
	IssuerName string          `json:"issuer_name,omitempty"` // "" means DefaultIssuerName
	IssuerKey  []byte          `json:"issuer_key,omitempty"`  // public key of the seed in use; nil before the first rotation
	IssuerMade time.Time       `json:"issuer_made,omitzero"`
	Retired    []RetiredKey    `json:"retired,omitempty"`
	Trusted    []TrustedIssuer `json:"trusted,omitempty"`
}

// RetiredKey is a public key with which the built-in issuer no longer signs. Tokens that
// it signed are accepted until Until.
type RetiredKey struct {
	Public []byte    `json:"public"` // Ed25519
	Until  time.Time `json:"until"`
}

// IssuerInfo describes the keystore's own issuer. It holds no secret.
type IssuerInfo struct {
	Name    string
	Public  ed25519.PublicKey
	Since   time.Time    // when the key was made; zero for a keystore's first key
	Retired []RetiredKey // those whose tokens are still accepted
}

// TrustedIssuer is another issuer whose tokens this keystore's servers accept. It has
// either JWKS or URL.
type TrustedIssuer struct {
	Name         string    `json:"name"` // the claim iss
	Audience     string    `json:"audience,omitempty"`
	JWKS         []byte    `json:"jwks,omitempty"` // the key set
	URL          string    `json:"url,omitempty"`  // where servers fetch the key set
	AccessTokens bool      `json:"access_tokens,omitempty"`
	Since        time.Time `json:"since"`
}

// DefaultIssuerName is the name of the built-in issuer unless NameIssuer sets another.
const DefaultIssuerName = "velonym"

const (
	maxTrusted  = 64
	maxSettings = 4 << 20 // bytes of the document
)

// checkIssuerName validates the name of an issuer.
func checkIssuerName(name string) error {
	if name == "" || len(name) > maxJTI || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("%w: the name of an issuer is 1 to %d bytes of text without control characters", ErrInvalid, maxJTI)
	}
	return nil
}

func (ks *Keystore) settingsMAC(doc []byte) []byte {
	m := newMessage("settings 1")
	m.bytes(doc)
	mac := ks.sum(m)
	return mac[:]
}

// readSettings reads the settings and verifies them against the root.
func (ks *Keystore) readSettings(tx Tx, s *sealRoot) (settings, error) {
	var out settings
	doc, err := tx.Meta(metaSettings)
	if err != nil {
		return out, err
	}
	if doc == nil && s.settings == [sealSize]byte{} {
		return out, nil
	}
	if subtle.ConstantTimeCompare(ks.settingsMAC(doc), s.settings[:]) != 1 || json.Unmarshal(doc, &out) != nil {
		return out, ks.tampered("the settings of its issuers do not match their seal")
	}
	return out, nil
}

// changeSettings reads the settings, lets f change them, and stores them.
func (ks *Keystore) changeSettings(ctx context.Context, f func(tx Tx, now time.Time, set *settings) error) error {
	return ks.change(ctx, func(tx Tx, s *sealRoot) (bool, error) {
		set, err := ks.readSettings(tx, s)
		if err != nil {
			return false, err
		}
		now, err := ks.acknowledge(tx)
		if err != nil {
			return false, err
		}
		if err := f(tx, now, &set); err != nil {
			return false, err
		}
		doc, err := json.Marshal(set)
		if err != nil {
			return false, fmt.Errorf("keys: settings: %w", err)
		}
		if len(doc) > maxSettings {
			return false, fmt.Errorf("%w: the key sets of all trusted issuers have more than %d bytes together", ErrInvalid, maxSettings)
		}
		s.settings = [sealSize]byte(ks.settingsMAC(doc))
		return true, tx.SetMeta(metaSettings, doc)
	})
}

// Issuer returns the built-in issuer's name and public keys.
func (ks *Keystore) Issuer(ctx context.Context) (info IssuerInfo, err error) {
	err = ks.store.View(ctx, func(tx Tx) error {
		s, err := ks.viewSeals(tx)
		if err != nil {
			return err
		}
		set, err := ks.readSettings(tx, s)
		if err != nil {
			return err
		}
		now, err := ks.time(tx)
		if errors.Is(err, ErrClock) {
			set.Retired, err = nil, nil // without a clock their end is unknown
		}
		if err != nil {
			return err
		}
		info, err = ks.issuerOf(tx, &set, now)
		return err
	})
	return info, err
}

// issuerOf describes the built-in issuer at the time now and verifies its key against the
// settings.
func (ks *Keystore) issuerOf(tx Tx, set *settings, now time.Time) (IssuerInfo, error) {
	info := IssuerInfo{Name: set.IssuerName, Since: set.IssuerMade}
	if info.Name == "" {
		info.Name = DefaultIssuerName
	}
	seed, err := ks.seed(tx, metaIssuer, purposeIssuer)
	if err != nil {
		return info, err
	}
	key, err := newSigningKey(seed)
	if err != nil {
		return info, err
	}
	info.Public = key.public
	key.close()
	if set.IssuerKey != nil && subtle.ConstantTimeCompare(set.IssuerKey, info.Public) != 1 {
		return info, ks.tampered("the issuer's key was replaced")
	}
	for _, r := range set.Retired {
		if now.Before(r.Until) {
			info.Retired = append(info.Retired, r)
		}
	}
	return info, nil
}

// NameIssuer sets the name of the built-in issuer, the claim iss of its tokens. Servers
// refuse tokens of the former name from then on.
func (ks *Keystore) NameIssuer(ctx context.Context, name string) error {
	if err := checkIssuerName(name); err != nil {
		return err
	}
	return ks.changeSettings(ctx, func(_ Tx, _ time.Time, set *settings) error {
		if slices.ContainsFunc(set.Trusted, func(t TrustedIssuer) bool { return t.Name == name }) {
			return fmt.Errorf("%w: an issuer of this name is trusted already: choose another name", ErrInvalid)
		}
		set.IssuerName = name
		return nil
	})
}

// RotateIssuer gives the built-in issuer a new key and destroys the private half of the
// former one. Tokens that the former key signed are accepted for the overlap, which may
// be 0.
func (ks *Keystore) RotateIssuer(ctx context.Context, overlap time.Duration) (info IssuerInfo, err error) {
	if overlap < 0 {
		return info, fmt.Errorf("%w: an overlap is not negative", ErrInvalid)
	}
	err = ks.changeSettings(ctx, func(tx Tx, now time.Time, set *settings) error {
		before, err := ks.issuerOf(tx, set, now)
		if err != nil {
			return err
		}
		set.Retired = before.Retired
		if overlap > 0 {
			set.Retired = append(set.Retired, RetiredKey{before.Public, wholeSeconds(now.Add(overlap))})
		}
		var seed [ed25519.SeedSize]byte
		defer wipe(seed[:])
		rand.Read(seed[:])
		if err := tx.SetMeta(metaIssuer, ks.mk.wrap(seed[:], purposeIssuer, Domain{}, 0)); err != nil {
			return err
		}
		key, err := newSigningKey(seed[:])
		if err != nil {
			return err
		}
		defer key.close()
		set.IssuerKey, set.IssuerMade = key.public, wholeSeconds(now)
		info = IssuerInfo{Name: before.Name, Public: key.public, Since: set.IssuerMade, Retired: set.Retired}
		return nil
	})
	return info, err
}

// TrustedIssuers lists the other issuers whose tokens are accepted, by name.
func (ks *Keystore) TrustedIssuers(ctx context.Context) (list []TrustedIssuer, err error) {
	err = ks.store.View(ctx, func(tx Tx) error {
		s, err := ks.viewSeals(tx)
		if err != nil {
			return err
		}
		set, err := ks.readSettings(tx, s)
		list = set.Trusted
		return err
	})
	return list, err
}

// TrustIssuer accepts the tokens of another issuer, or replaces its keys. The caller has
// validated the key set.
func (ks *Keystore) TrustIssuer(ctx context.Context, t TrustedIssuer) error {
	if err := checkIssuerName(t.Name); err != nil {
		return err
	}
	if (len(t.JWKS) == 0) == (t.URL == "") {
		return fmt.Errorf("%w: an issuer has a key set or a URL of one", ErrInvalid)
	}
	return ks.changeSettings(ctx, func(tx Tx, now time.Time, set *settings) error {
		own := set.IssuerName
		if own == "" {
			own = DefaultIssuerName
		}
		if t.Name == own {
			return fmt.Errorf("%w: %q is the name of this keystore's own issuer: have the other one named apart when its keystore is made ('velonym help init')", ErrInvalid, t.Name)
		}
		t.Since = wholeSeconds(now)
		set.Trusted = slices.DeleteFunc(set.Trusted, func(o TrustedIssuer) bool { return o.Name == t.Name })
		if len(set.Trusted) >= maxTrusted {
			return fmt.Errorf("%w: %d issuers are trusted, which is the most", ErrInvalid, maxTrusted)
		}
		set.Trusted = append(set.Trusted, t)
		slices.SortFunc(set.Trusted, func(a, b TrustedIssuer) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
		return nil
	})
}

// DistrustIssuer removes an issuer from the trusted ones. Errors: ErrNotFound.
func (ks *Keystore) DistrustIssuer(ctx context.Context, name string) error {
	return ks.changeSettings(ctx, func(_ Tx, _ time.Time, set *settings) error {
		n := len(set.Trusted)
		set.Trusted = slices.DeleteFunc(set.Trusted, func(o TrustedIssuer) bool { return o.Name == name })
		if len(set.Trusted) == n {
			return fmt.Errorf("%w: no issuer %q is trusted", ErrNotFound, name)
		}
		return nil
	})
}
