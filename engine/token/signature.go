package token

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// verifySignature verifies the signature and everything that depends on the claims alone.
// cacheable reports whether a refusal holds for the same bytes for refusalTTL.
func (v *Verifier) verifySignature(ctx context.Context, raw []byte, h *header) (s signedClaims, refused *Error, cacheable bool) {
	_, segment, _, ok := segments(raw)
	if !ok {
		return s, invalid("not three parts of base64url with points between"), true
	}
	payload, err := strictBase64.AppendDecode(nil, segment)
	if err != nil {
		return s, invalid("the claims are not base64url in its one spelling"), true
	}
	n, err := parseJSON(payload)
	if err != nil {
		return s, invalid("the claims cannot be read: " + err.Error()), true
	}
	var f faults
	read, audiences := readClaims(&n, &f)
	if len(f) > 0 {
		return s, f.err(), true
	}
	t := v.issuer(read.Issuer)
	if t == nil {
		return s, invalid("the issuer is not trusted here"), true
	}
	if h.typ == typeAccess && !t.accessTokens {
		return s, invalid(wrongType), true
	}
	if !t.allows(h.alg) {
		return s, invalid("the alg is not one that the issuer may sign with"), true
	}
	signers, err := t.checkSignature(ctx, raw, h)
	if err == nil {
		err = t.validator.Validate(&registered{c: &read, audiences: audiences})
	}
	if err != nil {
		switch {
		case errors.Is(err, errStale):
			return s, invalid(errStale.Error()), false
		case errors.Is(err, errNoKey):
			return s, invalid("the issuer has no such key"), false
		case errors.Is(err, jwt.ErrTokenUnverifiable):
			return s, invalid("the issuer's key is not for this alg"), true
		case errors.Is(err, jwt.ErrTokenSignatureInvalid):
			return s, invalid("the signature does not verify"), true
		case errors.Is(err, jwt.ErrTokenInvalidIssuer), errors.Is(err, jwt.ErrTokenInvalidAudience):
			return s, invalid("the token is for another audience"), true
		case errors.Is(err, jwt.ErrTokenExpired):
			return s, refuse(ExpiredToken, tokenExpired), true
		case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
			return s, invalid("the token is not valid yet"), false
		}
		return s, invalid("the token cannot be read"), true
	}
	read.Audience = t.audience
	if read.PSN = readPSN(&n, &f); len(f) > 0 {
		return s, f.err(), true
	}
	s = signedClaims{claims: &read, until: math.MaxInt64}
	if t.keys != nil && (t.keys.url != "" || t.keys.file != "" || t.withdraws) && h.alg != algHS256 {
		s.source, s.signers = t.keys, signers
	}
	if t.keys != nil && t.keys.url != "" {
		s.until = min(v.now().Add(t.keys.refresh).UnixNano(), t.keys.staleAt.Load())
	}
	return s, nil, false
}

// checkSignature verifies the signature of raw, whose header is h, by the issuer's keys.
// One of signers made it; a secret is not among them. raw has three parts, and the issuer
// may sign with the header's alg.
func (t *trusted) checkSignature(ctx context.Context, raw []byte, h *header) (signers []crypto.PublicKey, err error) {
	at := bytes.LastIndexByte(raw, '.')
	signature, err := strictBase64.AppendDecode(nil, raw[at+1:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", jwt.ErrTokenMalformed, err)
	}
	tok := &jwt.Token{Method: jwt.GetSigningMethod(h.alg), Header: map[string]any{"alg": h.alg}}
	if h.kid != "" {
		tok.Header["kid"] = h.kid
	}
	key, err := t.key(ctx, tok, *h)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", jwt.ErrTokenUnverifiable, err)
	}
	text := string(raw[:at])
	switch k := key.(type) {
	case []byte:
		err = tok.Method.Verify(text, signature, k)
	case jwt.VerificationKeySet:
		for _, key := range k.Keys {
			if err = tok.Method.Verify(text, signature, key); err == nil {
				signers = []crypto.PublicKey{key}
				break
			}
		}
	default:
		signers = []crypto.PublicKey{k}
		err = tok.Method.Verify(text, signature, k)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", jwt.ErrTokenSignatureInvalid, err)
	}
	return signers, nil
}

// signedClaims are claims whose signature is valid.
type signedClaims struct {
	claims  *Claims
	until   int64              // end of the trust in the issuer's keys, in Unix nanoseconds
	source  *keySource         // of the issuer's keys; nil: they cannot be withdrawn
	signers []crypto.PublicKey // one of them signed
}

// registered passes the registered claims to package jwt.
type registered struct {
	c         *Claims
	audiences []string
}

func (r *registered) GetExpirationTime() (*jwt.NumericDate, error) {
	return &jwt.NumericDate{Time: r.c.Expires}, nil
}

func (r *registered) GetIssuedAt() (*jwt.NumericDate, error) {
	return &jwt.NumericDate{Time: r.c.IssuedAt}, nil
}

func (r *registered) GetNotBefore() (*jwt.NumericDate, error) {
	if r.c.NotBefore.IsZero() {
		return nil, nil
	}
	return &jwt.NumericDate{Time: r.c.NotBefore}, nil
}

func (r *registered) GetIssuer() (string, error) { return r.c.Issuer, nil }

func (r *registered) GetSubject() (string, error) { return "", nil }

func (r *registered) GetAudience() (jwt.ClaimStrings, error) { return r.audiences, nil }

// knownHeader is the first segment of a verified token, with the header that it encodes.
// Tokens of an issuer share it, so it is parsed once.
type knownHeader struct {
	segment []byte // with the dot behind it
	h       header
}

// cachedHeader returns the header of raw, or nil if its first segment is unknown.
func (v *Verifier) cachedHeader(raw []byte) *header {
	known := *v.headers.Load()
	for i := range known {
		if bytes.HasPrefix(raw, known[i].segment) {
			return &known[i].h
		}
	}
	return nil
}

// cacheHeader keeps the header of a verified token, up to a few of them.
func (v *Verifier) cacheHeader(raw []byte, h header) {
	old := v.headers.Load()
	if len(*old) >= 8 || v.cachedHeader(raw) != nil {
		return
	}
	segment := bytes.Clone(raw[:bytes.IndexByte(raw, '.')+1])
	list := append(slices.Clone(*old), knownHeader{segment, h})
	v.headers.CompareAndSwap(old, &list) // if another call was faster, the next token adds it
}
