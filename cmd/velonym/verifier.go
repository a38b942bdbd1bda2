package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
)

// verifierFlags name the trusted issuers besides the keystore's own.
type verifierFlags struct {
	jwks            []string
	secrets         []string
	audience        string
	maxStale        time.Duration
	keystoreTimeout time.Duration // limits one call to the keystore; 0: no limit
	log             *slog.Logger
}

func (v *verifierFlags) add(f *pflag.FlagSet) {
	f.StringArrayVar(&v.jwks, "jwks", nil, "trust an issuer: `ISS=FILE` or ISS=https://… of its JWK Set (repeatable; ISS is the iss of its tokens); ,typ=at+jwt behind it accepts that typ too")
	f.DurationVar(&v.maxStale, "jwks-max-stale", time.Hour, "how long the keys of a JWK Set's URL are trusted while it cannot be fetched; then the issuer's tokens are refused")
	f.StringArrayVar(&v.secrets, "hs256", nil, "trust an issuer with a shared secret: `ISS=FILE` of 32 bytes or more (repeatable)")
	checkedVar(f, &v.audience, "audience", "", "AUD", "aud that tokens of these issuers must name (default "+token.DefaultAudience+")", notEmpty)
}

// typeSuffix follows an issuer's key source in --jwks if its access tokens (RFC 9068)
// are accepted.
const typeSuffix = ",typ=at+jwt"

// trusted parses the flags and returns the issuers in the order of their first mention.
func (v *verifierFlags) trusted() ([]token.TrustedIssuer, error) {
	if v.maxStale <= 0 {
		return nil, usagef("--jwks-max-stale: it must be more than 0")
	}
	var list []token.TrustedIssuer
	find := func(flag, s string) (*token.TrustedIssuer, string, error) {
		iss, source, ok := strings.Cut(s, "=")
		switch {
		case !ok || iss == "" || source == "":
			return nil, "", usagef("--%s: write ISS=FILE, where ISS is the iss of the issuer's tokens", flag)
		case strings.ContainsAny(iss, "?@"):
			// This is more likely a URL with a query or a password than ISS=FILE.
			return nil, "", usagef("--%s: write ISS=FILE: an issuer's name has neither ? nor @ in it, and what stands here is not repeated, since it may hold a secret", flag)
		case iss == token.DefaultIssuer:
			return nil, "", usagef("--%s: %s is the name of the keystore's own issuer, which is trusted without", flag, iss)
		}
		for i := range list {
			if list[i].Name == iss {
				return &list[i], source, nil
			}
		}
		list = append(list, token.TrustedIssuer{Name: iss, MaxStale: v.maxStale})
		return &list[len(list)-1], source, nil
	}
	for _, s := range v.jwks {
		t, source, err := find("jwks", s)
		if err != nil {
			return nil, err
		}
		if source, t.AccessTokens = strings.CutSuffix(source, typeSuffix); source == "" {
			return nil, usagef("--jwks: write ISS=FILE%s", typeSuffix)
		}
		if i := strings.LastIndex(source, ",typ="); i >= 0 {
			return nil, usagef("--jwks: the one typ that can be accepted besides is at+jwt: write ISS=FILE%s", typeSuffix)
		}
		if t.JWKSURL != "" || t.JWKSFile != "" {
			return nil, usagef("--jwks: the keys of %s are given twice: name one set, with all its keys", t.Name)
		}
		if strings.HasPrefix(source, "https://") || strings.HasPrefix(source, "http://") {
			t.JWKSURL = source
		} else {
			t.JWKSFile = source
		}
	}
	for _, s := range v.secrets {
		t, source, err := find("hs256", s)
		if err != nil {
			return nil, err
		}
		if t.Secret != nil {
			return nil, usagef("--hs256: the secret of %s is given twice", t.Name)
		}
		secret, err := os.ReadFile(source)
		if err != nil {
			return nil, fmt.Errorf("--hs256: %w", err)
		}
		t.Secret = bytes.TrimSpace(secret)
	}
	return list, nil
}

// newVerifier returns a verifier that trusts the keystore's own issuer and
// those of the flags.
func newVerifier(ctx context.Context, ks *keys.Keystore, f verifierFlags) (*token.Verifier, error) {
	issuer, err := builtInIssuer(ctx, ks)
	if err != nil {
		return nil, err
	}
	defer issuer.Close() // the verifier keeps only its public key
	trusted, err := f.trusted()
	if err != nil {
		return nil, err
	}
	return token.NewVerifier(token.Config{Keystore: ks, Issuer: issuer, Trusted: trusted, Audience: f.audience, CallTimeout: f.keystoreTimeout, Log: f.log})
}
