package token

import (
	"encoding/json"
	"time"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// Domain names a key domain in a token: a project and one of its
// organisations, which is "" for a project without any.
type Domain struct {
	Prj string `json:"prj"`
	Org string `json:"org"`
}

// Limits are the budget of a token, in values; 0 stands for no limit.
type Limits struct {
	Max  int64 `json:"max,omitempty"`  // in the token's life, counted durably over all processes
	Rate int64 `json:"rate,omitempty"` // a second, in each process
	Req  int64 `json:"req,omitempty"`  // a request
}

// How values that cannot be transformed are answered (psn.err).
const (
	ErrStrict = "strict" // the whole request is refused
	ErrItem   = "item"   // null in their place
)

// PSN is the claim psn: what the token allows. When a token is issued, zero members
// stand for the contract's defaults; when it is read, the defaults are filled in.
type PSN struct {
	V      int // 1
	Op     spec.Op
	Dom    Domain  // target key domain
	Src    *Domain // secondary only: where the input pseudonyms were made
	Method spec.Method
	Policy spec.Policy // default same
	Fmt    spec.Form   // default pair62
	Tag    int         // bits of integrity: 0, 64 or 128
	Gen    *int        // key generation; nil: the active one
	Ret    int64       // end of retention in Unix seconds; 0: none
	Norm   []string    // steps before the transform
	Err    string      // strict (default) or item
	Lim    Limits
}

// Claims are the contents of a token. Times are whole seconds. RFC 7519 allows
// fractions, which are rounded so that a token's life never grows: exp, psn.ret and iat
// down, nbf up. The claims of a grant are shared between callers and read-only.
type Claims struct {
	Issuer    string
	Audience  string // the one it was verified for, when the token names several
	ID        string // jti
	IssuedAt  time.Time
	NotBefore time.Time // zero: absent
	Expires   time.Time
	PSN       PSN
}

// spec converts the claim to the suite's description of the transform.
func (p *PSN) spec() (op spec.Op, s suite.Spec, err *Error) {
	op = p.Op
	if !op.Valid() {
		return op, s, invalid("psn.op is not pseudonymise, reverse or secondary")
	}
	if s.Method = p.Method; !s.Method.Valid() {
		return op, s, invalid("psn.method is not reversible or irreversible")
	}
	if s.Policy = p.Policy; !s.Policy.Valid() {
		return op, s, invalid("psn.policy is not same, different or document")
	}
	var e error
	if s.Form, e = spec.ParseForm(string(p.Fmt)); e != nil {
		return op, s, invalid("psn.fmt is none of the known forms")
	}
	if s.Norm, e = suite.ParseNorm(p.Norm); e != nil {
		return op, s, invalid("psn.norm has a step other than trim, nfc, upper, lower and digits")
	}
	s.Tag = p.Tag
	s.Gen = -1
	if p.Gen != nil {
		s.Gen = *p.Gen
	}
	if e = s.Validate(); e != nil {
		return op, s, invalid("psn asks for a method, policy, fmt and tag that do not go together")
	}
	return op, s, nil
}

// claimsJSON is the JSON form of Claims, without defaults.
type claimsJSON struct {
	Iss string  `json:"iss"`
	Aud string  `json:"aud"`
	Jti string  `json:"jti"`
	Iat int64   `json:"iat"`
	Nbf *int64  `json:"nbf,omitempty"`
	Exp int64   `json:"exp"`
	Psn psnJSON `json:"psn"`
}

type psnJSON struct {
	V      int         `json:"v"`
	Op     spec.Op     `json:"op"`
	Dom    Domain      `json:"dom"`
	Src    *Domain     `json:"src,omitempty"`
	Method spec.Method `json:"method"`
	Policy spec.Policy `json:"policy,omitempty"`
	Fmt    spec.Form   `json:"fmt,omitempty"`
	Tag    int         `json:"tag,omitempty"`
	Gen    *int        `json:"gen,omitempty"`
	Ret    int64       `json:"ret,omitempty"`
	Norm   []string    `json:"norm,omitempty"`
	Err    string      `json:"err,omitempty"`
	Lim    *Limits     `json:"lim,omitempty"`
}

// MarshalJSON returns the claims as a token has them.
func (c Claims) MarshalJSON() ([]byte, error) {
	p := c.PSN
	w := claimsJSON{Iss: c.Issuer, Aud: c.Audience, Jti: c.ID, Iat: c.IssuedAt.Unix(), Exp: c.Expires.Unix(),
		Psn: psnJSON{V: p.V, Op: p.Op, Dom: p.Dom, Src: p.Src, Method: p.Method, Policy: p.Policy, Fmt: p.Fmt,
			Tag: p.Tag, Gen: p.Gen, Ret: p.Ret, Norm: p.Norm, Err: p.Err}}
	if !c.NotBefore.IsZero() {
		s := c.NotBefore.Unix()
		w.Nbf = &s
	}
	if p.Lim != (Limits{}) {
		w.Psn.Lim = &p.Lim
	}
	return json.Marshal(w)
}
