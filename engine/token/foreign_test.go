package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// foreign holds the keys of an external issuer, which signs without this package.
type foreign struct {
	ed   ed25519.PrivateKey
	ec   *ecdsa.PrivateKey
	rsa  *rsa.PrivateKey
	salt int // of PS256 signatures; 0: as long as the hash
}

var foreignKeys = sync.OnceValue(func() *foreign {
	f := &foreign{ed: ed25519.NewKeyFromSeed([]byte("another seed of thirty-two bytes"))}
	f.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	return f
})

// rsaJWK, ecJWK and edJWK write public keys by RFC 7518 and RFC 8037.
func rsaJWK(kid, more string, k *rsa.PublicKey) string {
	return fmt.Sprintf(`{"kty":"RSA","kid":%q,"n":%q,"e":"AQAB"%s}`, kid, b64(k.N.Bytes()), more)
}

func ecJWK(kid, crv string, k *ecdsa.PublicKey) string {
	point, err := k.Bytes() // 4 ‖ x ‖ y
	if err != nil {
		panic(err)
	}
	size := (len(point) - 1) / 2
	return fmt.Sprintf(`{"kty":"EC","crv":%q,"kid":%q,"x":%q,"y":%q}`, crv, kid, b64(point[1:1+size]), b64(point[1+size:]))
}

func edJWK(kid string, k ed25519.PublicKey) string {
	return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q,"alg":"EdDSA","use":"sig"}`, kid, b64(k))
}

func jwks(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

func hs256(secret []byte, claims object) string {
	input := b64([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + b64([]byte(claims.String()))
	m := hmac.New(sha256.New, secret)
	m.Write([]byte(input))
	return input + "." + b64(m.Sum(nil))
}

func foreignClaims() object {
	o := goodClaims()
	o["iss"] = "https://issuer.example"
	return o
}

// TestForeignIssuers checks tokens of external issuers with every algorithm and kind of key,
// and that keys, names, audiences and algorithms that do not match are refused.
func TestForeignIssuers(t *testing.T) {
	f := foreignKeys()
	secret := []byte("a shared secret of at least 32 bytes")
	file := writeFile(t, "jwks.json", f.jwks())
	r := newRig(t, func(c *Config) {
		c.Trusted = []TrustedIssuer{
			{Name: "https://issuer.example", Audience: "velonym", JWKSFile: file},
			{Name: "shared", Audience: "ours", Secret: secret},
			{Name: "narrow", Audience: "velonym", JWKSFile: file, Algorithms: []string{"ES256"}},
			{Name: "elsewhere", JWKSFile: file},
		}
		c.Audience = "https://service.example" // of external issuers that name none
	})
	pem := foreignKeys().rsa.PublicKey.N.Bytes()
	shared := func() object { o := goodClaims(); o["iss"], o["aud"] = "shared", "ours"; return o }
	other := func(iss string) object { o := goodClaims(); o["iss"] = iss; return o }
	aud := shared()
	aud["aud"] = "velonym"
	service := other("elsewhere")
	service["aud"] = "https://service.example"
	for _, c := range []struct{ name, raw, want string }{
		{"EdDSA", f.sign("EdDSA", "ed", foreignClaims()), ""},
		{"ES256", f.sign("ES256", "ec", foreignClaims()), ""},
		{"PS256", f.sign("PS256", "rsa", foreignClaims()), ""},
		{"RS256", f.sign("RS256", "rsa", foreignClaims()), ""},
		{"EdDSA without kid", f.sign("EdDSA", "", foreignClaims()), ""},
		{"ES256 without kid", f.sign("ES256", "", foreignClaims()), ""},
		{"HS256", hs256(secret, shared()), ""},
		{"narrow", f.sign("ES256", "ec", other("narrow")), ""},
		{"built-in", compact(goodHeader, goodClaims().String()), ""},
		{"the service's audience", f.sign("EdDSA", "ed", service), ""},
		{"not the service's audience", f.sign("EdDSA", "ed", other("elsewhere")), InvalidToken},
		{"narrow, other alg", f.sign("RS256", "rsa", other("narrow")), InvalidToken},
		{"HS256 with the wrong secret", hs256([]byte("another secret of at least 32 bytes!"), shared()), InvalidToken},
		{"HS256 with the RSA key as the secret", hs256(pem, foreignClaims()), InvalidToken},
		{"HS256 with an empty secret", hs256(nil, foreignClaims()), InvalidToken},
		{"HS256 from the built-in issuer", hs256([]byte(f.ed.Public().(ed25519.PublicKey)), goodClaims()), InvalidToken},
		{"EdDSA from an issuer with a secret", f.sign("EdDSA", "ed", shared()), InvalidToken},
		{"another issuer's audience", hs256(secret, aud), InvalidToken},
		{"kid of a key for another alg", f.sign("ES256", "rsa", foreignClaims()), InvalidToken},
		{"kid of another key", f.sign("EdDSA", "ec", foreignClaims()), InvalidToken},
		{"unknown kid", f.sign("EdDSA", "new", foreignClaims()), InvalidToken},
		{"foreign key, built-in issuer's name", f.sign("EdDSA", "ed", goodClaims()), InvalidToken},
		{"built-in key, foreign issuer's name", compact(goodHeader, foreignClaims().String()), InvalidToken},
		{"untrusted issuer", f.sign("EdDSA", "ed", other("https://else.example")), InvalidToken},
	} {
		if got := code(r.try(c.raw, OpsForward)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestUnusableForeignKeysAreSkipped checks that keys of a set that cannot verify tokens are
// ignored, and that tokens signed with them are refused.
func TestUnusableForeignKeysAreSkipped(t *testing.T) {
	f := foreignKeys()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed := edJWK("ed", f.ed.Public().(ed25519.PublicKey))
	set := func(keys ...string) *rig {
		file := writeFile(t, "jwks.json", jwks(append(keys, ed)...))
		return newRig(t, func(c *Config) { c.Trusted = []TrustedIssuer{{Name: "https://issuer.example", JWKSFile: file}} })
	}
	for _, c := range []struct{ name, jwk, alg string }{
		{"for encryption", rsaJWK("rsa", `,"use":"enc"`, &f.rsa.PublicKey), "RS256"},
		{"for signing only", rsaJWK("rsa", `,"key_ops":["sign"]`, &f.rsa.PublicKey), "RS256"},
		{"for RS512", rsaJWK("rsa", `,"alg":"RS512"`, &f.rsa.PublicKey), "RS256"},
		{"for PS256", rsaJWK("rsa", `,"alg":"PS256"`, &f.rsa.PublicKey), "RS256"},
		{"of 1024 bits", rsaJWK("rsa", "", &weak.PublicKey), "weak"},
		{"on P-384", ecJWK("ec", "P-384", &p384.PublicKey), "P-384"},
		{"broken", `{"kty":"RSA","kid":"rsa","n":"AQ"}`, "RS256"},
	} {
		r := set(c.jwk)
		if err := r.try(f.sign("EdDSA", "ed", foreignClaims()), OpsForward); err != nil {
			t.Fatalf("%s: a token of the usable key beside it: %v, want a grant", c.name, err)
		}
		signer, alg, kid := *f, c.alg, "rsa"
		switch c.alg {
		case "weak":
			signer.rsa, alg = weak, "RS256"
		case "P-384":
			kid, alg = "ec", "EdDSA"
		}
		for _, kid := range []string{kid, ""} {
			raw := signer.sign(alg, kid, foreignClaims())
			if c.alg == "P-384" {
				raw = es256With(p384, kid, foreignClaims())
			}
			if got := code(r.try(raw, OpsForward)); got != InvalidToken {
				t.Errorf("%s, kid %q: got %q", c.name, kid, got)
			}
		}
	}
}

func es256With(k *ecdsa.PrivateKey, kid string, claims object) string {
	header := object{"alg": "ES256", "typ": "JWT"}
	if kid != "" {
		header["kid"] = kid
	}
	input := b64([]byte(header.String())) + "." + b64([]byte(claims.String()))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
	if err != nil {
		panic(err)
	}
	half := (k.Curve.Params().BitSize + 7) / 8
	return input + "." + b64(append(r.FillBytes(make([]byte, half)), s.FillBytes(make([]byte, half))...))
}

func (f *foreign) jwks() string {
	return jwks(edJWK("ed", f.ed.Public().(ed25519.PublicKey)), ecJWK("ec", "P-256", &f.ec.PublicKey), rsaJWK("rsa", "", &f.rsa.PublicKey))
}

// sign makes a token of the external issuer with the standard library only.
func (f *foreign) sign(alg, kid string, claims object) string {
	header := object{"alg": alg, "typ": "JWT"}
	if kid != "" {
		header["kid"] = kid
	}
	input := b64([]byte(header.String())) + "." + b64([]byte(claims.String()))
	sum := sha256.Sum256([]byte(input))
	var sig []byte
	var err error
	switch alg {
	case "EdDSA":
		sig = ed25519.Sign(f.ed, []byte(input))
	case "ES256":
		r, s, e := ecdsa.Sign(rand.Reader, f.ec, sum[:])
		sig, err = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...), e
	case "PS256":
		salt := f.salt
		if salt == 0 {
			salt = rsa.PSSSaltLengthEqualsHash
		}
		sig, err = rsa.SignPSS(rand.Reader, f.rsa, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: salt})
	case "RS256":
		sig, err = rsa.SignPKCS1v15(rand.Reader, f.rsa, crypto.SHA256, sum[:])
	}
	if err != nil {
		panic(err)
	}
	return input + "." + b64(sig)
}
