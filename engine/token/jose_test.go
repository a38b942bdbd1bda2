package token

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// joseSign makes a token with go-jose, which shares no code with the verifier. It sets typ and
// kid; change may add to the header.
func joseSign(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, claims object, change ...func(*jose.SignerOptions)) string {
	t.Helper()
	return joseCompact(t, joseObject(t, alg, key, kid, claims, change...))
}

func joseObject(t *testing.T, alg jose.SignatureAlgorithm, key any, kid string, claims object, change ...func(*jose.SignerOptions)) *jose.JSONWebSignature {
	t.Helper()
	opts := (&jose.SignerOptions{}).WithType("psn+jwt")
	for _, f := range change {
		f(opts)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, opts)
	if err != nil {
		t.Fatal(err)
	}
	o, err := s.Sign([]byte(claims.String()))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func joseCompact(t *testing.T, o *jose.JSONWebSignature) string {
	t.Helper()
	raw, err := o.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// joseEncrypt makes an encrypted token (RFC 7516).
func joseEncrypt(t *testing.T, key []byte, plain string) string {
	t.Helper()
	e, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.DIRECT, Key: key}, (&jose.EncrypterOptions{}).WithType("psn+jwt").WithContentType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	o, err := e.Encrypt([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := o.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestTokensOfAnotherLibrary checks that valid tokens of go-jose are accepted with every
// algorithm, and that each kind of invalid token that it can make is refused. Its table makes
// it long.
func TestTokensOfAnotherLibrary(t *testing.T) {
	f := foreignKeys()
	secret := []byte("a shared secret of at least 32 bytes, or of 64 for HS512, which is refused")
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: f.ed.Public(), KeyID: "ed", Algorithm: "EdDSA", Use: "sig"},
		{Key: f.ec.Public(), KeyID: "ec", Algorithm: "ES256", Use: "sig"},
		{Key: f.rsa.Public(), KeyID: "rsa", Use: "sig"},
		{Key: p384.Public(), KeyID: "p384", Use: "sig"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, "jwks.json", string(set))
	r := newRig(t, func(c *Config) {
		c.Trusted = []TrustedIssuer{
			{Name: "https://issuer.example", JWKSFile: file},
			{Name: "shared", Secret: secret},
		}
	})
	shared := func() object { o := goodClaims(); o["iss"] = "shared"; return o }
	with := func(change func(object)) object { o := foreignClaims(); change(o); return o }
	at := func(d time.Duration) int64 { return epoch0.Add(d).Unix() }
	header := func(name jose.HeaderKey, v any) func(*jose.SignerOptions) {
		return func(o *jose.SignerOptions) { o.WithHeader(name, v) }
	}
	der, err := x509.MarshalPKIXPublicKey(f.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	ed := func(claims object, change ...func(*jose.SignerOptions)) string {
		return joseSign(t, jose.EdDSA, f.ed, "ed", claims, change...)
	}
	detached, err := joseObject(t, jose.EdDSA, f.ed, "ed", foreignClaims()).DetachedCompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, raw, want string }{
		{"EdDSA", ed(foreignClaims()), ""},
		{"ES256", joseSign(t, jose.ES256, f.ec, "ec", foreignClaims()), ""},
		{"PS256", joseSign(t, jose.PS256, f.rsa, "rsa", foreignClaims()), ""},
		{"RS256", joseSign(t, jose.RS256, f.rsa, "rsa", foreignClaims()), ""},
		{"HS256", joseSign(t, jose.HS256, secret, "", shared()), ""},
		{"no kid", joseSign(t, jose.ES256, f.ec, "", foreignClaims()), ""},
		{"typ JWT", ed(foreignClaims(), header("typ", "JWT")), ""},

		{"RS512", joseSign(t, jose.RS512, f.rsa, "rsa", foreignClaims()), InvalidToken},
		{"PS384", joseSign(t, jose.PS384, f.rsa, "rsa", foreignClaims()), InvalidToken},
		{"ES384", joseSign(t, jose.ES384, p384, "p384", foreignClaims()), InvalidToken},
		{"HS512", joseSign(t, jose.HS512, secret, "", shared()), InvalidToken},
		{"HS256 with the public RSA key", joseSign(t, jose.HS256, public, "rsa", foreignClaims()), InvalidToken},
		{"HS256 with the public Ed25519 key", joseSign(t, jose.HS256, []byte(f.ed.Public().(ed25519.PublicKey)), "ed", foreignClaims()), InvalidToken},
		{"RS256 for an issuer with a secret", joseSign(t, jose.RS256, f.rsa, "rsa", shared()), InvalidToken},
		{"kid of another key", joseSign(t, jose.EdDSA, f.ed, "ec", foreignClaims()), InvalidToken},
		{"unknown kid", joseSign(t, jose.EdDSA, f.ed, "new", foreignClaims()), InvalidToken},

		{"embedded jwk", ed(foreignClaims(), func(o *jose.SignerOptions) { o.EmbedJWK = true }), InvalidToken},
		{"jku", ed(foreignClaims(), header("jku", "https://issuer.example/keys")), InvalidToken},
		{"x5u", ed(foreignClaims(), header("x5u", "https://issuer.example/cert")), InvalidToken},
		{"x5c", ed(foreignClaims(), header("x5c", []string{"AAAA"})), InvalidToken},
		{"nonce", ed(foreignClaims(), header("nonce", "1")), InvalidToken},
		{"crit", ed(foreignClaims(), func(o *jose.SignerOptions) { o.WithHeader("exp2", 1).WithCritical("exp2") }), InvalidToken},
		{"b64 and its crit", ed(foreignClaims(), func(o *jose.SignerOptions) { o.WithBase64(true).WithCritical("b64") }), InvalidToken},
		{"typ of an access token", ed(foreignClaims(), header("typ", "at+jwt")), InvalidToken},

		{"detached claims", detached, InvalidToken},
		{"JSON serialisation", joseObject(t, jose.EdDSA, f.ed, "ed", foreignClaims()).FullSerialize(), InvalidToken},
		{"encrypted", joseEncrypt(t, secret[:32], ed(foreignClaims())), InvalidToken},

		{"expired", ed(with(func(o object) { o["exp"] = at(-time.Hour) })), ExpiredToken},
		{"no exp", ed(with(func(o object) { delete(o, "exp") })), InvalidToken},
		{"not yet valid", ed(with(func(o object) { o["nbf"] = at(time.Hour) })), InvalidToken},
		{"issued tomorrow", ed(with(func(o object) { o["iat"] = at(24 * time.Hour) })), InvalidToken},
		{"another audience", ed(with(func(o object) { o["aud"] = "another" })), InvalidToken},
		{"another issuer", ed(with(func(o object) { o["iss"] = "https://else.example" })), InvalidToken},
		{"unknown psn member", ed(with(func(o object) { o.psn()["key"] = "AAAA" })), InvalidToken},
		{"psn of version 2", ed(with(func(o object) { o.psn()["v"] = 2 })), InvalidToken},
	} {
		if got := code(r.try(c.raw, OpsForward)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
