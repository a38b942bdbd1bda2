package token

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// storePoll is one read of the store's change counter. Any number of callers may wait
// for it.
type storePoll struct {
	done chan struct{}
	err  error // set before done is closed
}

func newPoll() *storePoll { return &storePoll{done: make(chan struct{})} }

// isFresh reports whether the store's changes were read within maxStale.
func (v *Verifier) isFresh(now time.Time) bool {
	return int64(now.Sub(v.start)) < v.freshUntil.Load()
}

// isRevoked reports whether a token with these claims is revoked, by jti or by a rule for
// its issuer or one of its projects.
func (v *Verifier) isRevoked(c *Claims) bool {
	r := v.revoked.Load()
	if r.Has(c.ID) {
		return true
	}
	if src := c.PSN.Src; src != nil && r.Covers(c.Issuer, c.IssuedAt, src.Prj) {
		return true
	}
	return r.Covers(c.Issuer, c.IssuedAt, c.PSN.Dom.Prj)
}

// invalidate ends the validity of every cached grant and clears the cache.
func (v *Verifier) invalidate() {
	v.epoch.Add(1)
	v.cacheMu.Lock()
	defer v.cacheMu.Unlock()
	if !v.closed {
		v.cache.Clear()
	}
}

// pollStore reads the store's change counter and, if it has changed, revocations and
// issuers. NewVerifier calls it once, then only pollLoop. Revocations are replaced before
// the epoch is raised, so that a caller who sees the new epoch sees them.
func (v *Verifier) pollStore(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(v.ctx, timeout)
	defer cancel()
	began := v.now().Sub(v.start)
	n, err := v.ks.Change(ctx)
	if err == nil && (v.revoked.Load() == nil || n != v.change || v.keyRetired(v.now())) {
		revoked, e := v.ks.RevokedAt(ctx, n, v.revoked.Load())
		if err = e; err == nil {
			err = v.followIssuers(ctx)
		}
		if err == nil {
			v.revoked.Store(revoked)
			v.change = n
			v.invalidate()
		}
	}
	switch {
	case err == nil:
	case errors.Is(err, context.DeadlineExceeded) && v.ctx.Err() == nil:
		return fmt.Errorf("%w: no answer within %v: is its disk or its server overloaded? try again when it is not: %w", ErrUnavailable, timeout, err)
	case errors.Is(err, keys.ErrClock):
		v.freshUntil.Store(math.MinInt64) // at once: this clock may have gone back
		fallthrough
	default:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	v.freshUntil.Store(int64(began + maxStale))
	return nil
}

// pollLoop polls until Close.
func (v *Verifier) pollLoop() {
	defer v.running.Done()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	healthy, swept := true, v.now()
	for {
		select {
		case <-v.ctx.Done():
			return
		case <-tick.C:
		case <-v.wake:
		}
		v.pollMu.Lock()
		p := v.nextPoll
		v.nextPoll = newPoll()
		v.pollMu.Unlock()
		p.err = v.pollStore(v.storeTimeout)
		close(p.done)
		if ok := p.err == nil; ok != healthy && v.ctx.Err() == nil {
			healthy = ok
			if ok {
				v.log.Info("the keystore answers again")
			} else {
				v.log.Error("the keystore does not answer; tokens are refused until it does", "error", p.err)
			}
		}
		if now := v.now(); now.Sub(swept) >= sweepEvery {
			swept = now
			v.budgets.sweep(v, now)
		}
	}
}

// errNoAnswer is the cause of a context that ended after CallTimeout.
var errNoAnswer = errors.New("the keystore did not answer in time")

// withCallTimeout returns a context that ends after CallTimeout, if one is configured.
func (v *Verifier) withCallTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if v.callTimeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, v.callTimeout, errNoAnswer)
}

// timeoutAsUnavailable wraps an error in ErrUnavailable if ctx ended after CallTimeout
// and the error is not a refusal.
func (v *Verifier) timeoutAsUnavailable(ctx context.Context, err error) error {
	if err != nil && context.Cause(ctx) == errNoAnswer && !errors.Is(err, ErrUnavailable) {
		var refused *Error
		if !errors.As(err, &refused) {
			return fmt.Errorf("%w: %w: %w", ErrUnavailable, errNoAnswer, err)
		}
	}
	return err
}

// Sync returns when every change that was made to the store before the call, such as a
// revocation by another process, is in force here. Without Sync that takes up to a
// second.
func (v *Verifier) Sync(ctx context.Context) error {
	v.pollMu.Lock()
	p := v.nextPoll
	v.pollMu.Unlock()
	v.wakePoll()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	case <-v.ctx.Done():
		return ErrClosed
	}
}

// wakePoll makes pollLoop poll now.
func (v *Verifier) wakePoll() {
	select {
	case v.wake <- struct{}{}:
	default: // pollLoop is to begin another poll already
	}
}

// sync is Sync that returns at once if the last poll is recent.
func (v *Verifier) sync(ctx context.Context) error {
	if v.isFresh(v.now()) {
		return nil
	}
	return v.Sync(ctx)
}
