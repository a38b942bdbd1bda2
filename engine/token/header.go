package token

import (
	"bytes"
	"encoding/base64"
)

// MaxSize is the size in bytes of the longest token that is read.
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

// Signature algorithms. HS256 needs a secret that the operator configured.
const (
	algEdDSA = "EdDSA"
	algES256 = "ES256"
	algPS256 = "PS256"
	algRS256 = "RS256"
	algHS256 = "HS256"
)

// strictBase64 accepts one spelling of any bytes. Package base64 skips line ends all the
// same; segments refuses them first.
var strictBase64 = base64.RawURLEncoding.Strict()

const wrongType = "the header's typ is not psn+jwt or JWT"

// header is a JOSE header that passed the allow-list.
type header struct{ alg, typ, kid string }

// segments splits a token into its three parts. ok is false unless all are non-empty
// and consist of base64url characters.
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

// parseHeader reads the first segment of a token by an allow-list of members. alg, typ
// and kid count. cty, x5t and x5t#S256, which issuers such as ADFS send, are ignored if
// they are texts. All others are refused: jku, x5u, x5c, jwk, crit, b64, zip and any
// future one could let a token choose how it is verified.
//
// typ is required, although RFC 7519 leaves that to the application: it distinguishes a
// token from anything else the issuer's key signs (RFC 8725 §3.11).
func parseHeader(segment []byte) (header, *Error) {
	var f faults
	h := readHeader(segment, &f)
	return h, f.err()
}

// readHeader is parseHeader that adds every fault to f.
func readHeader(segment []byte, f *faults) (h header) {
	b := make([]byte, strictBase64.DecodedLen(len(segment)))
	if !base64url(segment) {
		f.add("header", "the header is not base64url")
		return h
	}
	if _, err := strictBase64.Decode(b, segment); err != nil {
		f.add("header", "the header is not base64url in its one spelling")
		return h
	}
	n, err := parseJSON(b)
	if err != nil {
		f.add("header", "the header cannot be read: "+err.Error())
		return h
	}
	if n.kind != kindObject {
		f.add("header", "the header is no JSON object")
		return h
	}
	for i, name := range n.names {
		v := n.items[i]
		switch name {
		case "alg", "typ", "kid", "cty", "x5t", "x5t#S256":
			if v.kind != kindText {
				f.add("header."+name, "the header's "+name+" is no text")
				continue
			}
		case "jku", "x5u", "x5c", "jwk", "crit":
			*f = append(*f, Fault{InvalidToken, "header." + name, "a token with the header member " + name + " is refused", "leave it out: keys come from the issuer's JWK Set alone"})
			continue
		default:
			*f = append(*f, Fault{InvalidToken, "header", "the header has a member other than alg, typ, kid, cty, x5t and x5t#S256", "leave it out"})
			continue
		}
		switch name {
		case "alg":
			h.alg = v.text
		case "typ":
			h.typ = v.text
		case "kid":
			if len(v.text) == 0 || len(v.text) > 256 {
				f.add("header.kid", "the header's kid must have 1 to 256 bytes")
			}
			h.kid = v.text
		}
	}
	switch h.alg {
	case algEdDSA, algES256, algPS256, algRS256, algHS256:
	case "":
		if !f.has("header.alg") {
			f.add("header.alg", "the header has no alg")
		}
	default:
		f.add("header.alg", "the header's alg is not EdDSA, ES256, PS256, RS256 or HS256")
	}
	switch h.typ {
	case typePSN, typeJWT, typeAccess:
	case typeAccessLong:
		h.typ = typeAccess
	case "":
		if !f.has("header.typ") {
			f.add("header.typ", "the header has no typ: psn+jwt or JWT is needed")
		}
	default:
		f.add("header.typ", wrongType)
	}
	return h
}
