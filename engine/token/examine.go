package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
)

// Examine returns every fault of a token, where Verify stops at the first: in its form,
// claims and signature, and in what it asks of the stored projects. It returns nil for
// a token that Verify accepts for its own operation. The texts may name the policy of
// stored projects, so they are for operators only. With an error that says nothing
// about the token, such as ErrUnavailable, Examine returns the faults found so far.
func (v *Verifier) Examine(ctx context.Context, raw []byte) ([]Fault, error) {
	d, err := Decode(raw)
	var refused *Error
	if errors.As(err, &refused) {
		return []Fault{{refused.Code, "", refused.Detail, "write a JWT in JWS compact form (RFC 7515), of 8 KiB at most"}}, nil
	}
	if err != nil {
		return nil, err
	}
	f := faults(slices.Clone(d.Faults))
	if err := v.sync(ctx); err != nil {
		return f, err
	}
	v.examineIssuer(ctx, raw, d, &f)
	v.examineTimes(&d.claims, &f)
	if err := v.examineProjects(ctx, &d.claims, &f); err != nil {
		return f, err
	}
	if d.claims.ID != "" && v.isRevoked(&d.claims) {
		f.addError("jti", refuse(RevokedToken, tokenRevoked), "issue a new token, if the operator who revoked this one agrees")
	}
	// Verify decides, whatever was found above.
	g, err := v.Verify(ctx, raw, OpsAny)
	switch {
	case err == nil:
		g.Release()
		return nil, nil
	case !errors.As(err, &refused):
		return f, err
	case len(f) == 0:
		f.addError("", refused, "")
	}
	return f, nil
}

// examineIssuer checks issuer, audience, algorithm and signature.
func (v *Verifier) examineIssuer(ctx context.Context, raw []byte, d *Decoded, f *faults) {
	if f.has("iss", "claims") {
		return
	}
	t := v.issuer(d.claims.Issuer)
	if t == nil {
		f.addError("iss", invalid("the issuer is not trusted here"), "write the name of an issuer that is trusted here, as it was given there, or ask the operator to trust this one")
		return
	}
	if len(d.audiences) > 0 && !slices.Contains(d.audiences, t.audience) {
		f.addError("aud", invalid("the token is for another audience"), fmt.Sprintf("write %q", t.audience))
	}
	h := d.header
	switch {
	case f.has("header", "header.alg", "header.typ", "header.kid"):
		return
	case h.typ == typeAccess && !t.accessTokens:
		f.add("header.typ", wrongType)
		return
	case !t.allows(h.alg):
		f.addError("header.alg", invalid("the alg is not one that the issuer may sign with"), fmt.Sprintf("sign with one of %v", t.algs))
		return
	}
	_, err := t.checkSignature(ctx, raw, &h)
	switch {
	case err == nil:
	case errors.Is(err, errStale):
		f.addError("signature", invalid(errStale.Error()), "publish the JWK Set where the operator of this service can fetch it")
	case errors.Is(err, errNoKey):
		f.add("header.kid", "the issuer has no such key")
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		f.add("header.alg", "the issuer's key is not for this alg")
	default:
		f.add("signature", "the signature does not verify")
	}
}

// examineTimes compares the token's times with the clock.
func (v *Verifier) examineTimes(c *Claims, f *faults) {
	now := v.now()
	if !f.has("exp", "claims") && !now.Before(c.Expires.Add(v.skew)) {
		f.addError("exp", refuse(ExpiredToken, tokenExpired), "issue a new token")
	}
	for _, t := range []struct {
		claim string
		from  time.Time
	}{{"iat", c.IssuedAt}, {"nbf", c.NotBefore}} {
		if !t.from.IsZero() && t.from.After(now.Add(v.skew)) {
			f.addError(t.claim, invalid("the token is not valid yet"), "wait, or set the clock that is wrong: the issuer's or this machine's")
		}
	}
}

// examineProjects compares what the token asks for with the stored projects.
func (v *Verifier) examineProjects(ctx context.Context, c *Claims, f *faults) error {
	p := &c.PSN
	if f.has("claims", "psn.dom") || p.Dom.Prj == "" {
		return nil
	}
	now, epoch := v.now(), v.epoch.Load()
	project, known, err := v.examineDomain(ctx, "psn.dom", &p.Dom, f)
	if err != nil {
		return err
	}
	if known {
		v.examinePolicy(project, c, f)
		if p.Ret != 0 && now.Unix() >= p.Ret {
			f.addError("psn.ret", refuse(RetentionExpired, "the token's retention is over"), "issue a new token, with a psn.ret that is not past")
		}
		k, err := v.ring.acquire(ctx, v.ks, keys.Domain{Prj: p.Dom.Prj, Org: p.Dom.Org}, epoch, &foundProject{})
		var refused *Error
		switch {
		case errors.As(err, &refused):
			f.addError("psn.dom", refused, "")
		case err != nil:
			return err
		default:
			if refused := k.allows(p.Gen, p.Op); refused != nil && !f.has("psn.gen", "psn.op") {
				f.addError("psn.gen", refused, "")
			}
			v.ring.release(k)
		}
	}
	if p.Src == nil || p.Src.Prj == "" || f.has("psn.src") {
		return nil
	}
	source, known, err := v.examineDomain(ctx, "psn.src", p.Src, f)
	if known && source.Method != spec.Reversible {
		f.addError("psn.src", refuse(ForbiddenOperation, "the source project is irreversible"), "name a reversible project, or make the pseudonyms from the identifiers")
	}
	return err
}

// examineDomain finds the project of a domain.
func (v *Verifier) examineDomain(ctx context.Context, claim string, d *Domain, f *faults) (p keys.Project, known bool, err error) {
	p, err = v.project(ctx, d.Prj, v.epoch.Load())
	err = checkProject(p, err, d.Org, v.now())
	var refused *Error
	if errors.As(err, &refused) {
		remedy := ""
		if refused.Code == RetentionExpired {
			remedy = "nothing helps: ask for a new project"
		}
		f.addError(claim, refused, remedy)
		return p, false, nil
	}
	return p, err == nil, err
}

// examinePolicy compares each choice of the token with the project's.
func (v *Verifier) examinePolicy(p keys.Project, c *Claims, f *faults) {
	psn := &c.PSN
	differs := func(claim string, other bool, detail, remedy string) {
		if other && !f.has(claim) {
			f.addError(claim, refuse(ForbiddenOperation, detail), remedy)
		}
	}
	policy := p.Policy
	if policy == "" {
		policy = spec.Same
	}
	differs("psn.op", psn.Op == spec.Reverse && p.Method != spec.Reversible, "an irreversible project cannot be reversed", "nothing helps: no way leads back in this project")
	differs("psn.method", psn.Method != p.Method, "psn.method is not the project's", fmt.Sprintf("write %q, as the project has it", p.Method))
	differs("psn.policy", psn.Policy != policy, "psn.policy is not the project's", fmt.Sprintf("write %q, as the project has it", policy))
	differs("psn.tag", psn.Tag != p.Tag, "psn.tag is not the project's", fmt.Sprintf("write %d, as the project has it", p.Tag))
	if !p.Retention.IsZero() && psn.Ret > p.Retention.Unix() && c.Expires.After(p.Retention) {
		differs("psn.ret", true, "psn.ret and exp are beyond the project's retention", fmt.Sprintf("write %d or less in both, as the project has it; it may have been shortened since", p.Retention.Unix()))
	}
}
