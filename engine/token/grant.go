package token

import (
	"context"
	"crypto"
	"sync/atomic"
	"time"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// Grant is a verified token's permission, with the plan that carries it out. Callers
// with the same token may share one Grant. It is safe for concurrent use. Its keys live
// until every holder has released it.
type Grant struct {
	Claims *Claims     // read only
	Plan   *suite.Plan // for Claims.PSN.Op
	Op     spec.Op

	v            *Verifier
	sum          [32]byte // SHA-256 of the token
	epoch        uint64   // of the store's state at verification
	deadline     int64    // of the cache entry, in Unix nanoseconds
	end          int64    // of the token or the retention, whichever is first, in Unix nanoseconds
	checkedEpoch atomic.Uint64
	refs         atomic.Int32
	held         [2]*domainKeys     // target, source
	budget       *budget            // nil for local grants
	source       *keySource         // of the issuer's keys; nil: they cannot be withdrawn
	signers      []crypto.PublicKey // one of them signed the token
}

// retain adds a holder and reports true, unless the last one has released the grant.
func (g *Grant) retain() bool {
	for {
		n := g.refs.Load()
		if n <= 0 {
			return false
		}
		if g.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Release removes a holder. Call it exactly once for each Verify or Local. The keys of
// a domain are wiped with its last holder.
func (g *Grant) Release() {
	switch n := g.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		panic("token: a grant was released more often than it was given")
	}
	if g.Plan != nil {
		g.Plan.Close()
	}
	for _, k := range g.held {
		if k != nil {
			g.v.ring.release(k)
		}
	}
	if g.budget != nil {
		g.v.budgets.close(g.budget)
	}
}

// alive checks a grant that may have been held for long: against the clock and, if the
// store has changed, against revocations and the project.
func (g *Grant) alive(ctx context.Context) error {
	v := g.v
	now := v.now()
	if now.UnixNano() >= g.end {
		if c := g.Claims; !c.Expires.IsZero() && !now.Before(c.Expires.Add(v.skew)) {
			return refuse(ExpiredToken, tokenExpired)
		}
		return refuse(RetentionExpired, "the retention is over")
	}
	if v.isFresh(now) && g.checkedEpoch.Load() == v.epoch.Load() && (g.source == nil || !g.source.stale(now)) {
		return nil
	}
	ctx, done := v.withCallTimeout(ctx)
	defer done()
	return v.timeoutAsUnavailable(ctx, g.aliveNow(ctx, now))
}

// aliveNow is the part of alive that may read the store.
func (g *Grant) aliveNow(ctx context.Context, now time.Time) error {
	v := g.v
	if err := v.sync(ctx); err != nil {
		return err
	}
	if g.source != nil && g.source.stale(now) {
		return invalid(errStale.Error())
	}
	epoch := v.epoch.Load()
	if g.checkedEpoch.Load() == epoch {
		return nil
	}
	if g.source != nil && !g.source.hasAny(ctx, g.signers) {
		return invalid("the issuer has withdrawn its key")
	}
	if g.budget != nil && v.isRevoked(g.Claims) {
		return refuse(RevokedToken, tokenRevoked)
	}
	psn := &g.Claims.PSN
	p, err := v.project(ctx, psn.Dom.Prj, epoch)
	if err = checkProject(p, err, psn.Dom.Org, now); err != nil {
		return err
	}
	if refused := checkPolicy(p, g.Claims, g.Op, now); refused != nil {
		return refused
	}
	if psn.Src != nil {
		p, err := v.project(ctx, psn.Src.Prj, epoch)
		if _, err := sourceSpec(p, err, psn.Src.Org, now); err != nil {
			return err
		}
	}
	g.checkedEpoch.Store(epoch)
	return nil
}
