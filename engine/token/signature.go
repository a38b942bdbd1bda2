package token

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"math"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// signature verifies the signature and all that follows from the claims alone.
// final says that the same bytes will be refused again for a while.
func (v *Verifier) signature(ctx context.Context, raw []byte, h *header) (s verdict, refused *Error, final bool) {
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
	read, audiences := claimsOf(&n, &f)
	if len(f) > 0 {
		return s, f.err(), true
	}
	t := v.issuer(read.Issuer)
	if t == nil {
		return s, invalid("the issuer is not trusted here"), true
	}
	if h.typ == typeAccess && !t.access {
		return s, invalid(wrongType), true
	}
	if !t.allows(h.alg) {
		return s, invalid("the alg is not one that the issuer may sign with"), true
	}
	signers, err := v.parse(ctx, t, raw, &registered{c: &read, audiences: audiences}, h)
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
	if read.PSN = psnOf(&n, &f); len(f) > 0 {
		return s, f.err(), true
	}
	s = verdict{claims: &read, until: math.MaxInt64}
	if t.keys != nil && (t.keys.url != "" || t.keys.file != "" || t.withdraws) && h.alg != algHS256 {
		s.source, s.signers = t.keys, signers
	}
	if t.keys != nil && t.keys.url != "" {
		s.until = min(v.now().Add(t.keys.refresh).UnixNano(), t.keys.staleAt.Load())
	}
	return s, nil, false
}

func (v *Verifier) parse(ctx context.Context, t *trusted, raw []byte, r *registered, h *header) (signers []crypto.PublicKey, err error) {
	return v.parseWith(ctx, t.parser, t, raw, r, h)
}

func (v *Verifier) parseWith(ctx context.Context, parser *jwt.Parser, t *trusted, raw []byte, r *registered, h *header) (signers []crypto.PublicKey, err error) {
	_, err = parser.ParseWithClaims(string(raw), r, func(tok *jwt.Token) (any, error) {
		key, err := t.key(ctx, tok, *h)
		switch k := key.(type) {
		case nil, []byte:
		case jwt.VerificationKeySet:
			for _, one := range k.Keys {
				signers = append(signers, one)
			}
		default:
			signers = append(signers, k)
		}
		return key, err
	})
	return signers, err
}

// verdict is what a verified signature says.
type verdict struct {
	claims  *Claims
	until   int64              // when the issuer's keys are to be looked at again, in Unix nanoseconds
	source  *keySource         // of the issuer's keys; nil: they cannot be withdrawn
	signers []crypto.PublicKey // one of them signed
}

// registered hands claims that were read already to package jwt, which checks
// their signature and their values.
type registered struct {
	c         *Claims
	audiences []string
}

// UnmarshalJSON does nothing: the claims were read from the same bytes.
func (r *registered) UnmarshalJSON([]byte) error { return nil }

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

// knownHead is the first segment of a token that was verified. Tokens of an
// issuer share theirs, so that the allow-list need not be gone through again.
type knownHead struct {
	segment []byte // with the point behind it
	h       header
}

// head returns the header of raw when its first segment is known.
func (v *Verifier) head(raw []byte) *header {
	heads := *v.heads.Load()
	for i := range heads {
		if bytes.HasPrefix(raw, heads[i].segment) {
			return &heads[i].h
		}
	}
	return nil
}

// learn remembers the first segment of a verified token; a few are enough.
func (v *Verifier) learn(raw []byte, h header) {
	old := v.heads.Load()
	if len(*old) >= 8 || v.head(raw) != nil {
		return
	}
	segment := bytes.Clone(raw[:bytes.IndexByte(raw, '.')+1])
	list := append(slices.Clone(*old), knownHead{segment, h})
	v.heads.CompareAndSwap(old, &list) // whoever loses learns it the next time
}
