package token

import (
	"context"
	"crypto"
	"sync/atomic"
	"time"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// Grant is what a verified token allows, ready for use. Callers with the same
// token may get the same Grant. It is safe for concurrent use, and stays alive,
// keys and all, until each of its holders has released it.
type Grant struct {
	Claims *Claims     // read only
	Plan   *suite.Plan // for Claims.PSN.Op
	Op     spec.Op

	v        *Verifier
	sum      [32]byte // SHA-256 of the token
	epoch    uint64   // of the state that it was verified against
	deadline int64    // until when a hit counts, in Unix nanoseconds
	end      int64    // when the token or a retention ends
	seen     atomic.Uint64
	refs     atomic.Int32
	held     [2]*domainKeys
	budget   *budget            // nil for local grants
	source   *keySource         // of the issuer's keys; nil: they cannot be withdrawn
	signers  []crypto.PublicKey // one of them signed the token
}

// retain adds a holder unless the last one has gone.
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

// Release gives the grant back. The keys are wiped with the last holder of
// their domain. Call it exactly once for each Verify or Local.
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

// alive checks a grant that may have been held for long: the clock, and when
// something has changed in the store, revocation and project.
func (g *Grant) alive(ctx context.Context) error {
	v := g.v
	now := v.now()
	if now.UnixNano() >= g.end {
		if c := g.Claims; !c.Expires.IsZero() && !now.Before(c.Expires.Add(v.skew)) {
			return refuse(ExpiredToken, tokenExpired)
		}
		return refuse(RetentionExpired, "the retention is over")
	}
	if v.isFresh(now) && g.seen.Load() == v.epoch.Load() && (g.source == nil || !g.source.stale(now)) {
		return nil
	}
	ctx, done := v.bounded(ctx)
	defer done()
	return v.unanswered(ctx, g.aliveNow(ctx, now))
}

// aliveNow is the part of alive that may ask the store.
func (g *Grant) aliveNow(ctx context.Context, now time.Time) error {
	v := g.v
	if err := v.sync(ctx); err != nil {
		return err
	}
	if g.source != nil && g.source.stale(now) {
		return invalid(errStale.Error())
	}
	epoch := v.epoch.Load()
	if g.seen.Load() == epoch {
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
	if err = stateOf(p, err, psn.Dom.Org, now); err != nil {
		return err
	}
	if refused := agrees(p, g.Claims, g.Op, now); refused != nil {
		return refused
	}
	if psn.Src != nil {
		if _, _, err := v.source(ctx, psn.Src, epoch, now); err != nil {
			return err
		}
	}
	g.seen.Store(epoch)
	return nil
}
