package client

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
)

// Values of claims that change what a client does.
const (
	opReverse       = "reverse"
	policyDifferent = "different"
	policyDocument  = "document"
	errItem         = "item"
)

// ownClaims are the claims that a client reads of its token.
type ownClaims struct {
	PSN struct {
		Op     string `json:"op"`
		Policy string `json:"policy"`
		Err    string `json:"err"`
		Lim    struct {
			Max int64 `json:"max"`
			Req int64 `json:"req"`
		} `json:"lim"`
	} `json:"psn"`
}

// claimsOf reads the claims of a JWT without verifying it. Any other token has none.
func claimsOf(token []byte) (c ownClaims) {
	payload, ok := payloadOf(token)
	if !ok || json.Unmarshal(payload, &c) != nil {
		return ownClaims{}
	}
	return c
}

// payloadOf returns the payload of a token that looks like a JWT.
func payloadOf(token []byte) ([]byte, bool) {
	parts := bytes.Split(token, []byte{'.'})
	if len(parts) != 3 {
		return nil, false
	}
	b, err := base64.RawURLEncoding.DecodeString(string(parts[1]))
	return b, err == nil
}

// Identity identifies the server and what the token allows there, without revealing the
// token. JWTs with the same rules have the same identity whatever their limits and times,
// so that a new token can continue the work of an expired one.
func (c *Client) Identity() string {
	what := c.cfg.Token
	var claims struct {
		PSN map[string]json.RawMessage `json:"psn"`
	}
	if payload, ok := payloadOf(c.cfg.Token); ok && json.Unmarshal(payload, &claims) == nil && len(claims.PSN) > 0 {
		delete(claims.PSN, "lim")
		if rules, err := json.Marshal(claims.PSN); err == nil { // the names sorted
			what = rules
		}
	}
	s := sha256.Sum256(what)
	return c.Endpoint() + " " + hex.EncodeToString(s[:])
}
