package token

import (
	"bytes"
	"encoding/base64"
)

// MaxSize is the size of the longest token that is looked at, in bytes.
const MaxSize = 8 << 10

// Types of a token: the values that its typ header may have.
const (
	typePSN = "psn+jwt"
	typeJWT = "JWT"

	// typeAccess is the type of OAuth access tokens (RFC 9068), accepted in both
	// spellings from issuers that are configured so: TrustedIssuer.AccessTokens.
	typeAccess     = "at+jwt"
	typeAccessLong = "application/at+jwt"
)

// Algorithms that a token may be signed with. HS256 only ever with a secret
// that the operator configured.
const (
	algEdDSA = "EdDSA"
	algES256 = "ES256"
	algPS256 = "PS256"
	algRS256 = "RS256"
	algHS256 = "HS256"
)

// strictBase64 accepts one spelling of any bytes, but for the line ends that
// package base64 always skips; callers refuse those first (see segments).
var strictBase64 = base64.RawURLEncoding.Strict()

const wrongType = "the header's typ is not psn+jwt or JWT"

// header is a JOSE header that passed the allow-list.
type header struct{ alg, typ, kid string }

// segments cuts a token in its three parts, all non-empty and of base64url
// characters only.
func segments(raw []byte) (head, payload, signature []byte, ok bool) {
	i := bytes.IndexByte(raw, '.')
	if i <= 0 {
		return nil, nil, nil, false
	}
	j := bytes.IndexByte(raw[i+1:], '.')
	if j <= 0 {
		return nil, nil, nil, false
	}
	j += i + 1
	head, payload, signature = raw[:i], raw[i+1:j], raw[j+1:]
	if len(signature) == 0 || !base64url(head) || !base64url(payload) || !base64url(signature) {
		return nil, nil, nil, false
	}
	return head, payload, signature, true
}

func base64url(b []byte) bool {
	for _, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// parseHeader reads the first segment of a token against the allow-list. alg,
// typ and kid count; cty, x5t and x5t#S256, which issuers such as ADFS send, are
// texts without effect: they say what the claims are, which are read as JSON in
// any case, and which certificate the key is in, which kid says as well. All
// else is refused: jku, x5u, x5c, jwk, crit, b64, zip and what is yet to be
// invented, each of which would let a token say how it is to be checked.
//
// typ is needed, although RFC 7519 leaves it to the application: it is what
// keeps a token apart from whatever else the issuer's key signs (RFC 8725
// §3.11).
func parseHeader(segment []byte) (header, *Error) {
	b := make([]byte, strictBase64.DecodedLen(len(segment)))
	if !base64url(segment) {
		return header{}, invalid("the header is not base64url")
	}
	if _, err := strictBase64.Decode(b, segment); err != nil {
		return header{}, invalid("the header is not base64url in its one spelling")
	}
	n, err := parseJSON(b)
	if err != nil {
		return header{}, invalid("the header cannot be read: " + err.Error())
	}
	if n.kind != kindObject {
		return header{}, invalid("the header is no JSON object")
	}
	var h header
	for i, name := range n.names {
		v := n.items[i]
		switch name {
		case "alg", "typ", "kid", "cty", "x5t", "x5t#S256":
			if v.kind != kindText {
				return header{}, invalid("the header's " + name + " is no text")
			}
		case "jku", "x5u", "x5c", "jwk", "crit":
			return header{}, invalid("a token with the header member " + name + " is refused")
		default:
			return header{}, invalid("the header has a member other than alg, typ, kid, cty, x5t and x5t#S256")
		}
		switch name {
		case "alg":
			h.alg = v.text
		case "typ":
			h.typ = v.text
		case "kid":
			if len(v.text) == 0 || len(v.text) > 256 {
				return header{}, invalid("the header's kid must have 1 to 256 bytes")
			}
			h.kid = v.text
		}
	}
	switch h.alg {
	case algEdDSA, algES256, algPS256, algRS256, algHS256:
	case "":
		return header{}, invalid("the header has no alg")
	default:
		return header{}, invalid("the header's alg is not EdDSA, ES256, PS256, RS256 or HS256")
	}
	switch h.typ {
	case typePSN, typeJWT, typeAccess:
	case typeAccessLong:
		h.typ = typeAccess
	case "":
		return header{}, invalid("the header has no typ: psn+jwt or JWT is needed")
	default:
		return header{}, invalid(wrongType)
	}
	return h, nil
}
