package token

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// authorize checks claims against the stored project and expands the keys. The
// returned grant has one holder.
func (v *Verifier) authorize(ctx context.Context, c *Claims, op spec.Op, s suite.Spec, epoch uint64, now time.Time) (*Grant, error) {
	d := keys.Domain{Prj: c.PSN.Dom.Prj, Org: c.PSN.Dom.Org}
	found, err := v.projectAndSecrets(ctx, d, epoch)
	defer keys.WipeSecrets(found.secrets)
	p := found.Project
	if err = checkProject(p, err, d.Org, now); err != nil {
		return nil, err
	}
	if refused := checkPolicy(p, c, op, now); refused != nil {
		return nil, refused
	}
	g := &Grant{Claims: c, Op: op, v: v, epoch: epoch}
	g.checkedEpoch.Store(epoch)
	g.refs.Store(1)
	end := p.Retention
	sooner := func(t time.Time) {
		if !t.IsZero() && (end.IsZero() || t.Before(end)) {
			end = t
		}
	}
	sooner(p.SeverAt)
	if c.PSN.Ret != 0 {
		sooner(time.Unix(c.PSN.Ret, 0))
	}
	target, err := v.ring.acquire(ctx, v.ks, d, epoch, &found)
	if err != nil {
		return nil, err
	}
	g.held[0] = target
	reads := op
	if c.PSN.rekeys() {
		reads = spec.Reverse // psn.gen names the generation of the input
	}
	if refused := target.allows(c.PSN.Gen, reads); refused != nil {
		g.Release()
		return nil, refused
	}
	if op != spec.Secondary {
		g.Plan, err = suite.NewPlan(op, s, target.keys)
	} else {
		d := keys.Domain{Prj: c.PSN.Src.Prj, Org: c.PSN.Src.Org}
		found, e := v.projectAndSecrets(ctx, d, epoch)
		defer keys.WipeSecrets(found.secrets)
		var src suite.Spec
		if src, err = sourceSpec(found.Project, e, d.Org, now); err == nil {
			sooner(found.Retention)
			g.held[1], err = v.ring.acquire(ctx, v.ks, d, epoch, &found)
		}
		if err == nil {
			if c.PSN.rekeys() {
				src.Gen, s.Gen = s.Gen, -1
			}
			g.Plan, err = suite.NewSecondary(src, g.held[1].keys, s, target.keys)
		}
	}
	if err != nil {
		g.Release()
		return nil, err
	}
	g.end = math.MaxInt64
	if !c.Expires.IsZero() {
		g.end = nanos(c.Expires.Add(v.skew))
	}
	if !end.IsZero() {
		g.end = min(g.end, nanos(end))
	}
	return g, nil
}

// rekeys reports whether the token translates pseudonyms within one domain, from an
// older generation to the active one.
func (p *PSN) rekeys() bool { return p.Op == spec.Secondary && p.Src != nil && *p.Src == p.Dom }

// nanos returns t.UnixNano(), or the maximum where that overflows (from 2262 on).
func nanos(t time.Time) int64 {
	if t.Unix() >= math.MaxInt64/int64(time.Second) {
		return math.MaxInt64
	}
	return t.UnixNano()
}

// checkPolicy refuses claims that differ from the stored project. A token whose psn.ret
// lies after the project's retention, because the retention was shortened since, remains
// valid if its exp does not.
func checkPolicy(p keys.Project, claims *Claims, op spec.Op, now time.Time) *Error {
	c := &claims.PSN
	policy := p.Policy
	if policy == "" {
		policy = spec.Same
	}
	switch {
	case op == spec.Reverse && (p.Method != spec.Reversible || c.Method != spec.Reversible):
		return refuse(ForbiddenOperation, "an irreversible project cannot be reversed")
	case c.Method != p.Method:
		return refuse(ForbiddenOperation, "psn.method is not the project's: have the token made anew for the project as it is")
	case c.Policy != policy:
		return refuse(ForbiddenOperation, "psn.policy is not the project's: have the token made anew for the project as it is")
	case c.Tag != p.Tag:
		return refuse(ForbiddenOperation, "psn.tag is not the project's: have the token made anew for the project as it is")
	case c.Ret != 0 && !p.Retention.IsZero() && c.Ret > p.Retention.Unix() && (claims.Expires.IsZero() || claims.Expires.After(p.Retention)):
		return refuse(ForbiddenOperation, "psn.ret and exp are beyond the project's retention: have the token made anew; it may have been shortened since")
	case c.Ret != 0 && now.Unix() >= c.Ret:
		return refuse(RetentionExpired, "the token's retention is over")
	}
	return nil
}

// sourceSpec returns how the input of a secondary pseudonymisation was made, for the
// result of reading its project.
func sourceSpec(p keys.Project, err error, org string, now time.Time) (suite.Spec, error) {
	var s suite.Spec
	if err = checkProject(p, err, org, now); err != nil {
		return s, err
	}
	if p.Method != spec.Reversible {
		return s, refuse(ForbiddenOperation, "the source project is irreversible")
	}
	stored := PSN{Op: spec.Secondary, Method: p.Method, Policy: p.Policy, Fmt: p.Form, Tag: p.Tag}
	if stored.Policy == "" {
		stored.Policy = spec.Same
	}
	if stored.Fmt == "" {
		stored.Fmt = spec.Pair62
	}
	_, s, refused := stored.spec()
	if refused != nil {
		return s, fmt.Errorf("token: the source project is stored with a policy that cannot be read: %s", refused.Detail)
	}
	return s, nil
}

// LocalRequest describes an operation of the operator's own process, which needs no
// token.
type LocalRequest struct {
	Project, Org      string
	Op                spec.Op   // default pseudonymise
	Source, SourceOrg string    // secondary only
	Form              spec.Form // default: the project's
	Norm              []string
	Err               string // default strict
	Gen               *int
}

// Local returns the grant that a token for r would give, after the same checks, but
// without a budget. Its jti begins with "local:". The caller must Release it once.
func (v *Verifier) Local(ctx context.Context, r LocalRequest) (*Grant, error) {
	now := v.now()
	epoch := v.epoch.Load()
	if err := v.sync(ctx); err != nil {
		return nil, err
	}
	c, _, err := draftClaims(ctx, v.ks, Request{Project: r.Project, Org: r.Org, Op: r.Op, Source: r.Source,
		SourceOrg: r.SourceOrg, Form: r.Form, Norm: r.Norm, Err: r.Err, Gen: r.Gen}, now)
	if err != nil {
		return nil, err
	}
	if c.PSN.Err != ErrStrict && c.PSN.Err != ErrItem {
		return nil, errors.New("token: errors are answered strict or item")
	}
	c.Issuer, c.Audience, c.ID, c.IssuedAt = "local", "local", "local:"+NewID(), now.UTC().Truncate(time.Second)
	op, s, refused := c.PSN.spec()
	if refused != nil {
		return nil, refused
	}
	g, err := v.authorize(ctx, &c, op, s, epoch, now)
	if err != nil {
		return nil, err
	}
	g.deadline = g.end
	return g, nil
}
