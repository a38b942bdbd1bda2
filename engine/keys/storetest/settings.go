package storetest

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// testRotateIssuer changes the issuer's key: the former one stays valid for the overlap.
func testRotateIssuer(e *env) {
	other := e.second()
	public := func() ed25519.PublicKey {
		e.Helper()
		seed, err := other.IssuerSeed(e.ctx)
		e.must(err)
		return ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	}
	info, err := other.Issuer(e.ctx)
	e.must(err)
	first := public()
	if info.Name != keys.DefaultIssuerName || !info.Public.Equal(first) || len(info.Retired) != 0 {
		e.Errorf("%+v", info)
	}
	change := e.change()
	_, err = e.ks.RotateIssuer(e.ctx, time.Hour)
	e.must(err)
	if e.change() == change {
		e.Error("the change counter was not raised")
	}
	second := public()
	info, err = other.Issuer(e.ctx)
	e.must(err)
	if second.Equal(first) || !info.Public.Equal(second) || len(info.Retired) != 1 || !bytes.Equal(info.Retired[0].Public, first) ||
		info.Retired[0].Until.Sub(e.now()) > time.Hour || info.Retired[0].Until.Sub(e.now()) < time.Hour-time.Minute {
		e.Errorf("%+v", info)
	}
	_, err = e.ks.RotateIssuer(e.ctx, 0)
	e.must(err)
	info, err = other.Issuer(e.ctx)
	e.must(err)
	if len(info.Retired) != 1 || !bytes.Equal(info.Retired[0].Public, first) {
		e.Errorf("without an overlap the second key is still valid: %+v", info)
	}
	e.later(61 * time.Minute)
	info, err = other.Issuer(e.ctx)
	e.must(err)
	if len(info.Retired) != 0 {
		e.Errorf("a retired key remains after its overlap: %+v", info)
	}
	_, err = e.ks.RotateIssuer(e.ctx, -1)
	e.is(err, keys.ErrInvalid)
}

// testTrust stores other issuers and the own issuer's name.
func testTrust(e *env) {
	other := e.second()
	e.must(e.ks.NameIssuer(e.ctx, "north"))
	info, err := other.Issuer(e.ctx)
	e.must(err)
	if info.Name != "north" {
		e.Errorf("named %q", info.Name)
	}
	e.is(e.ks.NameIssuer(e.ctx, "a\nb"), keys.ErrInvalid)
	set := []byte(`{"keys":[]}`)
	e.must(e.ks.TrustIssuer(e.ctx, keys.TrustedIssuer{Name: "south", JWKS: set, Audience: "a"}))
	e.must(e.ks.TrustIssuer(e.ctx, keys.TrustedIssuer{Name: "east", URL: "https://east.example/jwks", AccessTokens: true}))
	e.must(e.ks.TrustIssuer(e.ctx, keys.TrustedIssuer{Name: "south", JWKS: set}))
	for _, bad := range []keys.TrustedIssuer{{Name: "north", JWKS: set}, {Name: "", JWKS: set}, {Name: "x"}, {Name: "x", JWKS: set, URL: "https://x.example"}} {
		e.is(e.ks.TrustIssuer(e.ctx, bad), keys.ErrInvalid)
	}
	e.is(e.ks.NameIssuer(e.ctx, "south"), keys.ErrInvalid)
	list, err := other.TrustedIssuers(e.ctx)
	e.must(err)
	if len(list) != 2 || list[0].Name != "east" || !list[0].AccessTokens || list[1].Name != "south" || list[1].Audience != "" || !bytes.Equal(list[1].JWKS, set) || list[1].Since.IsZero() {
		e.Errorf("%+v", list)
	}
	// The settings survive a change of the master key.
	e.must(e.ks.Rewrap(e.ctx, e.load(e.newKey("new.key"))))
	e.must(e.ks.DistrustIssuer(e.ctx, "east"))
	e.is(e.ks.DistrustIssuer(e.ctx, "east"), keys.ErrNotFound)
	list, err = e.second().TrustedIssuers(e.ctx)
	e.must(err)
	if len(list) != 1 || list[0].Name != "south" {
		e.Errorf("%+v", list)
	}

	for what, statements := range map[string]string{
		"an older copy": "UPDATE @meta SET value = (SELECT value FROM @oldmeta WHERE name = 'settings') WHERE name = 'settings'",
		"gone":          "DELETE FROM @meta WHERE name = 'settings'",
		"an older key":  "UPDATE @meta SET value = (SELECT value FROM @oldmeta WHERE name = 'issuer') WHERE name = 'issuer'",
	} {
		e.Run(what, func(t *testing.T) {
			e := newEnv(t, e.again(t))
			e.must(e.ks.TrustIssuer(e.ctx, keys.TrustedIssuer{Name: "south", JWKS: set}))
			e.must(e.location.Execute("CREATE TABLE @oldmeta AS SELECT * FROM @meta"))
			e.must(e.ks.DistrustIssuer(e.ctx, "south"))
			_, err := e.ks.RotateIssuer(e.ctx, 0)
			e.must(err)
			e.must(e.location.Execute(statements))
			_, err = e.second().Issuer(e.ctx)
			e.is(err, keys.ErrTampered)
		})
	}
}
