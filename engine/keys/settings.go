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

// metaSettings is a document of the keystore's settings, whose HMAC stands in the root
// of the seals: an older copy of it does not pass.
const metaSettings = "settings"

// settings is what metaSettings holds.
type settings struct {
	IssuerName string          `json:"issuer_name,omitempty"` // "" before there were names
	IssuerKey  []byte          `json:"issuer_key,omitempty"`  // public key of the seed that is in use; nil before the first change
	IssuerMade time.Time       `json:"issuer_made,omitzero"`
	Retired    []RetiredKey    `json:"retired,omitempty"`
	Trusted    []TrustedIssuer `json:"trusted,omitempty"`
}

// RetiredKey is a public key of the built-in issuer that signs no more, and whose
// tokens are still good for a while.
type RetiredKey struct {
	Public []byte    `json:"public"` // Ed25519
	Until  time.Time `json:"until"`
}

// IssuerInfo is what the keystore says of its own issuer. No secret is in it.
type IssuerInfo struct {
	Name    string
	Public  ed25519.PublicKey
	Since   time.Time    // when the key was made; zero for a keystore's first one
	Retired []RetiredKey // whose time is not over
}

// TrustedIssuer is another issuer whose tokens this keystore's servers accept.
type TrustedIssuer struct {
	Name         string    `json:"name"` // iss
	Audience     string    `json:"audience,omitempty"`
	JWKS         []byte    `json:"jwks,omitempty"` // the set itself, or
	URL          string    `json:"url,omitempty"`  // where it is fetched
	AccessTokens bool      `json:"access_tokens,omitempty"`
	Since        time.Time `json:"since"`
}

// DefaultIssuerName is the name of the built-in issuer of a keystore that was given none.
const DefaultIssuerName = "velonym"

const (
	maxTrusted  = 64
	maxSettings = 4 << 20 // bytes of the document
)

// checkIssuerName judges the name of an issuer.
func checkIssuerName(name string) error {
	if name == "" || len(name) > maxJTI || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("%w: the name of an issuer is 1 to %d bytes of text without control characters", ErrInvalid, maxJTI)
	}
	return nil
}

func (ks *Keystore) settingsMAC(doc []byte) []byte { return ks.mac([]byte("settings 1"), doc) }

// readSettings reads the settings and holds them against the root.
func (ks *Keystore) readSettings(tx Tx, s *seals) (settings, error) {
	var out settings
	doc, err := tx.Meta(metaSettings)
	if err != nil {
		return out, err
	}
	if doc == nil && s.settings == [sealSize]byte{} {
		return out, nil
	}
	if subtle.ConstantTimeCompare(ks.settingsMAC(doc), s.settings[:]) != 1 || json.Unmarshal(doc, &out) != nil {
		return out, ks.tampered("the settings of its issuers are not as they were left")
	}
	return out, nil
}

// changeSettings reads the settings, has f change them, and stores them.
func (ks *Keystore) changeSettings(ctx context.Context, f func(tx Tx, now time.Time, set *settings) error) error {
	return ks.change(ctx, func(tx Tx, s *seals) (bool, error) {
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
			set.Retired, err = nil, nil // whose time nobody can tell
		}
		if err != nil {
			return err
		}
		info, err = ks.issuerOf(tx, &set, now)
		return err
	})
	return info, err
}

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
		return info, ks.tampered("the issuer's key is not the one that it was left with")
	}
	for _, r := range set.Retired {
		if now.Before(r.Until) {
			info.Retired = append(info.Retired, r)
		}
	}
	return info, nil
}

// NameIssuer sets the name of the built-in issuer, the iss of its tokens. Tokens of the
// former name are refused from then on.
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

// RotateIssuer gives the built-in issuer a new key. Tokens that the former key signed
// stay good for the overlap, which may be 0; its private half is gone at once.
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

// TrustIssuer accepts the tokens of another issuer, or changes by which keys. The
// caller has judged the key set.
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

// DistrustIssuer ends the trust in an issuer. Errors: ErrNotFound.
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
