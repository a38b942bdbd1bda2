package token

import (
	"slices"
	"time"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// maxDate is the last second of the year 9999.
const maxDate = 253402300799

// readClaims reads the registered claims; readPSN reads psn. It ignores members that the
// contract does not name (RFC 7519 §4). audiences holds all members of aud. Faults are
// added to f.
func readClaims(n *node, f *faults) (c Claims, audiences []string) {
	if n.kind != kindObject {
		f.add("claims", "the claims are no JSON object")
		return c, nil
	}
	text := func(name string, most int, into *string) {
		switch v, ok := n.member(name); {
		case !ok:
			f.add(name, name+" is missing")
		case v.kind != kindText || len(v.text) == 0 || len(v.text) > most:
			f.add(name, name+" is no text or of a wrong length")
		default:
			*into = v.text
		}
	}
	date := func(name string, must, up bool, into *time.Time) {
		v, ok := n.member(name)
		if !ok {
			if must {
				f.add(name, name+" is missing")
			}
			return
		}
		s, ok := v.seconds(up)
		if !ok || s > maxDate {
			f.add(name, name+" is not a number of seconds since 1970")
			return
		}
		*into = time.Unix(s, 0).UTC()
	}
	text("iss", 1024, &c.Issuer)
	text("jti", 256, &c.ID)
	date("iat", true, false, &c.IssuedAt)
	date("exp", true, false, &c.Expires)
	date("nbf", false, true, &c.NotBefore)
	aud, ok := n.member("aud")
	switch {
	case !ok:
		f.add("aud", "aud is missing")
	case aud.kind == kindText:
		audiences = []string{aud.text}
	case aud.kind == kindArray:
		for _, v := range aud.items {
			if v.kind != kindText {
				f.add("aud", "aud holds something other than a text")
				return c, nil
			}
			audiences = append(audiences, v.text)
		}
	default:
		f.add("aud", "aud is no text")
	}
	if aud != nil && !f.has("aud") && (len(audiences) == 0 || slices.Contains(audiences, "")) {
		f.add("aud", "aud is empty")
		return c, nil
	}
	if len(audiences) > 0 {
		c.Audience = audiences[0]
	}
	return c, audiences
}

// readPSN reads the claim psn. An unknown member, a wrong type and a value out of range
// are faults, which are added to f.
func readPSN(claims *node, f *faults) PSN {
	p := PSN{Policy: spec.Same, Fmt: spec.Pair62, Err: ErrStrict}
	n, ok := claims.member("psn")
	if !ok {
		f.add("psn", "psn is missing")
		return p
	}
	if n.kind != kindObject {
		f.add("psn", "psn is no JSON object")
		return p
	}
	for _, must := range [...]string{"v", "op", "dom", "method"} {
		if _, ok := n.member(must); !ok {
			f.add("psn."+must, "psn."+must+" is missing")
		}
	}
	for i, name := range n.names {
		p.read(name, &n.items[i], f)
	}
	if _, src := n.member("src"); !f.has("psn.op") && (p.Op == spec.Secondary) != src {
		f.add("psn.src", "psn.src goes with psn.op secondary, and only with it")
	}
	if _, ret := n.member("ret"); p.Method == spec.Reversible && !ret {
		f.add("psn.ret", "psn.ret is missing, which a reversible method needs")
	}
	if len(*f) == 0 {
		if _, _, err := p.spec(); err != nil {
			f.addError("psn", err, "choose a method, policy, fmt and tag that go together, as the project does: an irreversible method has no tag, and uuid and digits have no room for one or for randomness")
		}
	}
	return p
}

// read sets the field of p for a member of the claim.
func (p *PSN) read(name string, v *node, f *faults) {
	claim := "psn." + name
	switch name {
	case "v":
		if d, ok := v.integer(); !ok || d != 1 {
			f.add(claim, "psn.v is not 1")
		}
		p.V = 1
	case "op", "method", "policy", "fmt", "err":
		p.readText(name, v, f)
	case "dom":
		p.Dom = readDomain(claim, v, f)
	case "src":
		d := readDomain(claim, v, f)
		p.Src = &d
	case "tag":
		d, ok := v.integer()
		if !ok || d != 0 && d != 64 && d != 128 {
			f.add(claim, "psn.tag is not 0, 64 or 128")
		}
		p.Tag = int(d)
	case "gen":
		d, ok := v.integer()
		if !ok || d < 0 || d > 11 {
			f.add(claim, "psn.gen is not 0 to 11")
			return
		}
		g := int(d)
		p.Gen = &g
	case "ret":
		d, ok := v.seconds(false)
		if !ok || d < 1 || d > maxDate {
			f.add(claim, "psn.ret is not a number of seconds since 1970")
			return
		}
		p.Ret = d
	case "norm":
		p.readNorm(v, f)
	case "lim":
		p.Lim = readLimits(v, f)
	default:
		*f = append(*f, Fault{InvalidToken, "psn", "psn has a member that is not known here",
			"leave out members other than v, op, dom, src, method, policy, fmt, tag, gen, ret, norm, err and lim; upper and lower case differ"})
	}
}

// readText sets a field of p whose type is an enumeration of texts.
func (p *PSN) readText(name string, v *node, f *faults) {
	claim := "psn." + name
	if v.kind != kindText {
		f.add(claim, claim+" is no text")
		return
	}
	switch name {
	case "op":
		if p.Op = spec.Op(v.text); !p.Op.Valid() {
			f.add(claim, "psn.op is not pseudonymise, reverse or secondary")
		}
	case "method":
		if p.Method = spec.Method(v.text); !p.Method.Valid() {
			f.add(claim, "psn.method is not reversible or irreversible")
		}
	case "policy":
		if p.Policy = spec.Policy(v.text); !p.Policy.Valid() {
			f.add(claim, "psn.policy is not same, different or document")
		}
	case "fmt":
		if p.Fmt = spec.Form(v.text); !p.Fmt.Valid() {
			f.add(claim, "psn.fmt is none of the known forms")
		}
	case "err":
		if p.Err = v.text; p.Err != ErrStrict && p.Err != ErrItem {
			f.add(claim, "psn.err is not strict or item")
		}
	}
}

func (p *PSN) readNorm(v *node, f *faults) {
	if v.kind != kindArray || len(v.items) > 16 {
		f.add("psn.norm", "psn.norm is no list of at most 16 steps")
		return
	}
	for _, s := range v.items {
		if s.kind != kindText {
			f.add("psn.norm", "psn.norm holds something other than a text")
			return
		}
		p.Norm = append(p.Norm, s.text)
	}
	if _, err := suite.ParseNorm(p.Norm); err != nil {
		f.add("psn.norm", "psn.norm has a step other than trim, nfc, upper, lower and digits")
	}
}

func readDomain(claim string, n *node, f *faults) (d Domain) {
	if n.kind != kindObject {
		f.add(claim, claim+" is no JSON object")
		return d
	}
	for i, name := range n.names {
		v := n.items[i]
		if name != "prj" && name != "org" {
			f.add(claim, claim+" has a member other than prj and org")
			continue
		}
		if v.kind != kindText || len(v.text) > 255 {
			f.add(claim, claim+" has a "+name+" that is no text of at most 255 bytes")
			continue
		}
		if name == "prj" {
			d.Prj = v.text
		} else {
			d.Org = v.text
		}
	}
	if d.Prj == "" {
		f.add(claim, claim+" has no prj")
	}
	return d
}

func readLimits(n *node, f *faults) (l Limits) {
	if n.kind != kindObject {
		f.add("psn.lim", "psn.lim is no JSON object")
		return l
	}
	for i, name := range n.names {
		var into *int64
		switch name {
		case "max":
			into = &l.Max
		case "rate":
			into = &l.Rate
		case "req":
			into = &l.Req
		default:
			f.add("psn.lim", "psn.lim has a member other than max, rate and req")
			continue
		}
		d, ok := n.items[i].integer()
		if !ok || d < 1 || d > 1<<53 {
			f.add("psn.lim", "psn.lim has something other than whole numbers from 1")
			continue
		}
		*into = d
	}
	return l
}
