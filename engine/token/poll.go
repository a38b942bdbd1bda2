package token

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// storePoll is one read of the store's change counter, which several callers may await.
type storePoll struct {
	done chan struct{}
	err  error // set before done is closed
}

func newPoll() *storePoll { return &storePoll{done: make(chan struct{})} }

func (v *Verifier) isFresh(now time.Time) bool {
	return int64(now.Sub(v.start)) < v.fresh.Load()
}

// isRevoked reports whether the token of these claims is revoked, by its jti or by a
// rule for its issuer or one of its projects.
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

// pollStore reads the store's change counter, and what it stands for when it has
// changed. One at a time: NewVerifier's, then those of pollLoop. The order matters:
// whoever sees the new epoch finds the new revocations. It takes at most the
// time given.
func (v *Verifier) pollStore(most time.Duration) error {
	ctx, cancel := context.WithTimeout(v.ctx, most)
	defer cancel()
	began := v.now().Sub(v.start)
	n, err := v.ks.Change(ctx)
	if err == nil && (v.revoked.Load() == nil || n != v.change || v.lapsed(v.now())) {
		revoked, e := v.ks.Revoked(ctx, v.revoked.Load())
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
		return fmt.Errorf("%w: no answer within %v: is its disk or its server overloaded? try again when it is not: %w", ErrUnavailable, most, err)
	case errors.Is(err, keys.ErrClock):
		v.fresh.Store(math.MinInt64) // by a clock that may have gone back
		fallthrough
	default:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	v.fresh.Store(int64(began + maxStale))
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
		w := v.nextPoll
		v.nextPoll = newPoll()
		v.pollMu.Unlock()
		w.err = v.pollStore(v.storeTimeout)
		close(w.done)
		if ok := w.err == nil; ok != healthy && v.ctx.Err() == nil {
			healthy = ok
			if ok {
				v.log.Info("the keystore answers again")
			} else {
				v.log.Error("the keystore does not answer; tokens are refused until it does", "error", w.err)
			}
		}
		if now := v.now(); now.Sub(swept) >= sweepEvery {
			swept = now
			v.budgets.sweep(v, now)
		}
	}
}

// errNoAnswer is the cause of the end of a call that waited too long for the store.
var errNoAnswer = errors.New("the keystore did not answer in time")

// bounded returns a context that ends when a call has waited long enough for the store.
func (v *Verifier) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if v.callTimeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, v.callTimeout, errNoAnswer)
}

// unanswered makes an error of the store ErrUnavailable if it came of ctx's bound.
func (v *Verifier) unanswered(ctx context.Context, err error) error {
	if err != nil && context.Cause(ctx) == errNoAnswer && !errors.Is(err, ErrUnavailable) {
		var refused *Error
		if !errors.As(err, &refused) {
			return fmt.Errorf("%w: %w: %w", ErrUnavailable, errNoAnswer, err)
		}
	}
	return err
}

// Sync returns when every change made to the store before the call is in force here,
// such as a token that another process revoked. Without Sync that takes at most a
// second.
func (v *Verifier) Sync(ctx context.Context) error {
	v.pollMu.Lock()
	w := v.nextPoll
	v.pollMu.Unlock()
	v.wakePoll()
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	case <-v.ctx.Done():
		return ErrClosed
	}
}

// wakePoll has pollLoop look at the store now.
func (v *Verifier) wakePoll() {
	select {
	case v.wake <- struct{}{}:
	default: // a poll that has not begun yet is on its way
	}
}

// sync waits for a poll of the store unless the last one is recent.
func (v *Verifier) sync(ctx context.Context) error {
	if v.isFresh(v.now()) {
		return nil
	}
	return v.Sync(ctx)
}
