package token

import (
	"encoding/json"
	"slices"
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

// PSN is the claim psn: what the token allows. Its zero members mean the
// defaults of the contract when it is issued; one that was read from a token
// has them filled in.
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

// Claims are what a token says. Times have whole seconds: a fraction in a token
// (RFC 7519 allows it) is rounded so that no token is good before or after what
// it says, exp and psn.ret down, nbf up, iat down. Claims that came out of a
// verification are shared between callers and must not be changed.
type Claims struct {
	Issuer    string
	Audience  string // the one it was verified for, when the token names several
	ID        string // jti
	IssuedAt  time.Time
	NotBefore time.Time // zero: absent
	Expires   time.Time
	PSN       PSN
}

// spec reads the suite's description of the transform out of the claims.
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

// maxDate is the last second of the year 9999.
const maxDate = 253402300799

// claimsOf reads the registered claims; psn is left to psnOf. Members that the
// contract does not name are for others and are passed over, as RFC 7519 §4
// wants. audiences holds all that aud names.
func claimsOf(n *node) (c Claims, audiences []string, err *Error) {
	if n.kind != kindObject {
		return c, nil, invalid("the claims are no JSON object")
	}
	text := func(name string, most int, into *string) *Error {
		v, ok := n.member(name)
		if !ok {
			return invalid(name + " is missing")
		}
		if v.kind != kindText || len(v.text) == 0 || len(v.text) > most {
			return invalid(name + " is no text or of a wrong length")
		}
		*into = v.text
		return nil
	}
	date := func(name string, must, up bool, into *time.Time) *Error {
		v, ok := n.member(name)
		if !ok {
			if must {
				return invalid(name + " is missing")
			}
			return nil
		}
		s, ok := v.seconds(up)
		if !ok || s > maxDate {
			return invalid(name + " is not a number of seconds since 1970")
		}
		*into = time.Unix(s, 0).UTC()
		return nil
	}
	if err = text("iss", 1024, &c.Issuer); err != nil {
		return c, nil, err
	}
	if err = text("jti", 256, &c.ID); err != nil {
		return c, nil, err
	}
	if err = date("iat", true, false, &c.IssuedAt); err != nil {
		return c, nil, err
	}
	if err = date("exp", true, false, &c.Expires); err != nil {
		return c, nil, err
	}
	if err = date("nbf", false, true, &c.NotBefore); err != nil {
		return c, nil, err
	}
	aud, ok := n.member("aud")
	switch {
	case !ok:
		return c, nil, invalid("aud is missing")
	case aud.kind == kindText:
		audiences = []string{aud.text}
	case aud.kind == kindArray:
		for _, v := range aud.items {
			if v.kind != kindText {
				return c, nil, invalid("aud holds something other than a text")
			}
			audiences = append(audiences, v.text)
		}
	default:
		return c, nil, invalid("aud is no text")
	}
	if len(audiences) == 0 || slices.Contains(audiences, "") {
		return c, nil, invalid("aud is empty")
	}
	c.Audience = audiences[0]
	return c, audiences, nil
}

// psnOf reads the claim psn: every member known, of its type and in its range.
func psnOf(claims *node) (PSN, *Error) {
	p := PSN{Policy: spec.Same, Fmt: spec.Pair62, Err: ErrStrict}
	n, ok := claims.member("psn")
	if !ok {
		return p, invalid("psn is missing")
	}
	if n.kind != kindObject {
		return p, invalid("psn is no JSON object")
	}
	for _, must := range [...]string{"v", "op", "dom", "method"} {
		if _, ok := n.member(must); !ok {
			return p, invalid("psn." + must + " is missing")
		}
	}
	for i, name := range n.names {
		if err := p.read(name, &n.items[i]); err != nil {
			return p, err
		}
	}
	op, s, err := p.spec()
	if err != nil {
		return p, err
	}
	if p.Err != ErrStrict && p.Err != ErrItem {
		return p, invalid("psn.err is not strict or item")
	}
	if (op == spec.Secondary) != (p.Src != nil) {
		return p, invalid("psn.src goes with psn.op secondary, and only with it")
	}
	if s.Method == spec.Reversible && p.Ret == 0 {
		return p, invalid("psn.ret is missing, which a reversible method needs")
	}
	return p, nil
}

// read sets the member of p that name stands for.
func (p *PSN) read(name string, v *node) *Error {
	switch name {
	case "v":
		if d, ok := v.integer(); !ok || d != 1 {
			return invalid("psn.v is not 1")
		}
		p.V = 1
	case "op", "method", "policy", "fmt", "err":
		if v.kind != kindText {
			return invalid("psn." + name + " is no text")
		}
		switch name {
		case "op":
			p.Op = spec.Op(v.text)
		case "method":
			p.Method = spec.Method(v.text)
		case "policy":
			p.Policy = spec.Policy(v.text)
		case "fmt":
			p.Fmt = spec.Form(v.text)
		case "err":
			p.Err = v.text
		}
	case "dom":
		d, err := domainOf(v)
		if err != nil {
			return err
		}
		p.Dom = d
	case "src":
		d, err := domainOf(v)
		if err != nil {
			return err
		}
		p.Src = &d
	case "tag":
		d, ok := v.integer()
		if !ok || d != 0 && d != 64 && d != 128 {
			return invalid("psn.tag is not 0, 64 or 128")
		}
		p.Tag = int(d)
	case "gen":
		d, ok := v.integer()
		if !ok || d < 0 || d > 11 {
			return invalid("psn.gen is not 0 to 11")
		}
		g := int(d)
		p.Gen = &g
	case "ret":
		d, ok := v.seconds(false)
		if !ok || d < 1 || d > maxDate {
			return invalid("psn.ret is not a number of seconds since 1970")
		}
		p.Ret = d
	case "norm":
		if v.kind != kindArray || len(v.items) > 16 {
			return invalid("psn.norm is no list of at most 16 steps")
		}
		for _, s := range v.items {
			if s.kind != kindText {
				return invalid("psn.norm holds something other than a text")
			}
			p.Norm = append(p.Norm, s.text)
		}
	case "lim":
		l, err := limitsOf(v)
		if err != nil {
			return err
		}
		p.Lim = l
	default:
		return invalid("psn has a member that is not known here")
	}
	return nil
}

func domainOf(n *node) (Domain, *Error) {
	var d Domain
	if n.kind != kindObject {
		return d, invalid("a key domain of psn is no JSON object")
	}
	for i, name := range n.names {
		v := n.items[i]
		if name != "prj" && name != "org" {
			return d, invalid("a key domain of psn has a member other than prj and org")
		}
		if v.kind != kindText || len(v.text) > 255 {
			return d, invalid("a key domain of psn has a " + name + " that is no text of at most 255 bytes")
		}
		if name == "prj" {
			d.Prj = v.text
		} else {
			d.Org = v.text
		}
	}
	if d.Prj == "" {
		return d, invalid("a key domain of psn has no prj")
	}
	return d, nil
}

func limitsOf(n *node) (Limits, *Error) {
	var l Limits
	if n.kind != kindObject {
		return l, invalid("psn.lim is no JSON object")
	}
	for i, name := range n.names {
		d, ok := n.items[i].integer()
		if !ok || d < 1 || d > 1<<53 {
			return l, invalid("psn.lim has something other than whole numbers from 1")
		}
		switch name {
		case "max":
			l.Max = d
		case "rate":
			l.Rate = d
		case "req":
			l.Req = d
		default:
			return l, invalid("psn.lim has a member other than max, rate and req")
		}
	}
	return l, nil
}

// wire is the JSON of Claims, defaults left out.
type wire struct {
	Iss string `json:"iss"`
	Aud string `json:"aud"`
	Jti string `json:"jti"`
	Iat int64  `json:"iat"`
	Nbf *int64 `json:"nbf,omitempty"`
	Exp int64  `json:"exp"`
	Psn psn    `json:"psn"`
}

type psn struct {
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

// MarshalJSON writes the claims as they stand in a token.
func (c Claims) MarshalJSON() ([]byte, error) {
	p := c.PSN
	w := wire{Iss: c.Issuer, Aud: c.Audience, Jti: c.ID, Iat: c.IssuedAt.Unix(), Exp: c.Expires.Unix(),
		Psn: psn{V: p.V, Op: p.Op, Dom: p.Dom, Src: p.Src, Method: p.Method, Policy: p.Policy, Fmt: p.Fmt,
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
