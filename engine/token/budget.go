package token

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// budget is the use that a token has made of its limits, and its enumeration guard. It
// outlives the token's cache entry.
type budget struct {
	users    int       // grants that hold it; guarded by budgets.mu
	idle     time.Time // first sweep that found no users; guarded by budgets.mu
	lim      Limits
	leaseKey string // of the budget in the store
	exp      time.Time

	mu               sync.Mutex // guards the fields below
	rateTokens       float64    // in the rate's token bucket; negative after a request larger than the bucket
	refilled         time.Time  // last refill of the bucket
	leased           int64      // values leased from the store and not spent
	spent            int64      // values spent by this process
	storeLeft        int64      // values left in the store after the last lease
	storeLeftKnown   bool
	exhaustedUntil   time.Time // no leasing before: the store had fewer values than needed
	unreachableUntil time.Time // no leasing before: the store did not answer
	closed           bool      // the lease has been returned, and no other may be taken
	guard            enumerationGuard
}

// budgets holds the budgets of the tokens in use, by the SHA-256 of issuer and jti.
type budgets struct {
	mu sync.Mutex
	m  map[[32]byte]*budget
}

// open returns the budget of a token and adds a user to it.
func (bs *budgets) open(v *Verifier, c *Claims) *budget {
	key := sha256.Sum256([]byte(c.Issuer + "\x00" + c.ID))
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b := bs.m[key]
	if b == nil || b.lim != c.PSN.Lim { // the same jti with different limits is a different token
		b = &budget{lim: c.PSN.Lim, leaseKey: c.ID, exp: c.Expires,
			rateTokens: float64(c.PSN.Lim.Rate), refilled: v.now()}
		if c.Issuer != v.builtin {
			// Two issuers may use the same jti.
			b.leaseKey = hex.EncodeToString(key[:])
		}
		bs.m[key] = b
	}
	b.users++
	return b
}

// close removes a user from a budget.
func (bs *budgets) close(b *budget) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b.users--
	if b.users == 0 {
		b.idle = time.Time{}
	}
}

// idleBudgetTTL is how long a budget without users is kept.
const idleBudgetTTL = 10 * time.Minute

// sweep removes budgets without users and returns their leases: at once if the token
// has expired, else after idleBudgetTTL if the rate's bucket is full again.
func (bs *budgets) sweep(v *Verifier, now time.Time) {
	var expired []*budget
	bs.mu.Lock()
	for key, b := range bs.m {
		if b.users > 0 {
			continue
		}
		if b.idle.IsZero() {
			b.idle = now
		}
		b.mu.Lock()
		full := b.rateTokens+float64(b.lim.Rate)*now.Sub(b.refilled).Seconds() >= float64(b.lim.Rate)
		b.mu.Unlock()
		if now.Sub(b.idle) >= idleBudgetTTL && full || now.After(b.exp.Add(maxSkew)) {
			delete(bs.m, key)
			expired = append(expired, b)
		}
	}
	bs.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), giveBackTimeout)
	defer cancel()
	for _, b := range expired {
		b.giveBack(ctx, v)
	}
}

// giveBack returns the leases of all budgets to the store and closes the budgets.
func (bs *budgets) giveBack(v *Verifier) {
	ctx, cancel := context.WithTimeout(context.Background(), giveBackTimeout)
	defer cancel()
	bs.mu.Lock()
	defer bs.mu.Unlock()
	for _, b := range bs.m {
		b.mu.Lock()
		b.closed = true
		b.mu.Unlock()
		b.giveBack(ctx, v)
	}
}

// giveBackTimeout bounds the return of leases. Values that could not be returned count
// as spent, as when the process is killed.
const giveBackTimeout = 2 * time.Second

// giveBack returns the unspent part of the lease to the store. It is never tried twice:
// a return that failed may have taken effect.
func (b *budget) giveBack(ctx context.Context, v *Verifier) {
	b.mu.Lock()
	n := b.leased
	b.leased = 0
	b.mu.Unlock()
	if n == 0 {
		return
	}
	if err := v.ks.Return(ctx, b.leaseKey, b.exp, n); err != nil {
		v.log.Warn("values of a token's budget could not be given back, and count as spent", "values", n, "error", err)
	}
}

// Spend charges n values to the token's budget, all or nothing; call it before they
// are transformed. Nothing is refunded if the request fails later. A negative n counts
// as 0. Spend also refuses a grant whose token has expired or was revoked, or whose
// project was severed, while the grant was held; a long run therefore spends chunk by
// chunk.
//
// A refusal is an *Error, with RetryAfter set where waiting helps. The rate is a token
// bucket of one second's worth in each process; a larger request passes when the bucket
// is full, and those after it wait until the debt is paid. The maximum is leased from
// the store: the values needed, or if that is more, as many as the process has spent so
// far, up to a hundredth of the maximum. Many small requests thus write seldom, and a
// single one leases only what it needs. The rest of a lease is returned when the
// verifier is closed; if the process is killed first, it counts as spent. The total
// never exceeds the maximum.
func (g *Grant) Spend(ctx context.Context, n int) error {
	if err := g.alive(ctx); err != nil {
		return err
	}
	b := g.budget
	if b == nil || n <= 0 || b.lim == (Limits{}) {
		return nil
	}
	return b.spend(ctx, g.v, int64(n))
}

func (b *budget) spend(ctx context.Context, v *Verifier, n int64) error {
	if b.lim.Req > 0 && n > b.lim.Req {
		return refuse(TooLarge, fmt.Sprintf("more values in one request than the %d that psn.lim.req allows; send them in parts", b.lim.Req))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lim.Rate > 0 {
		rate := float64(b.lim.Rate)
		if now := v.now(); now.After(b.refilled) {
			b.rateTokens = min(rate, b.rateTokens+rate*now.Sub(b.refilled).Seconds())
			b.refilled = now
		}
		if need := min(float64(n), rate); b.rateTokens < need {
			wait := time.Duration(math.Ceil((need - b.rateTokens) / rate * float64(time.Second)))
			return &Error{Code: QuotaExceeded, Detail: "more values a second than psn.lim.rate allows", RetryAfter: max(wait, time.Millisecond)}
		}
	}
	if b.lim.Max > 0 {
		if err := b.ensureLeased(ctx, v, n); err != nil {
			return err
		}
		b.leased -= n
	}
	b.spent += n
	if b.lim.Rate > 0 {
		b.rateTokens -= float64(n)
	}
	return nil
}

// ensureLeased leases values until at least n are leased; b.mu is held.
func (b *budget) ensureLeased(ctx context.Context, v *Verifier, n int64) error {
	if b.leased >= n {
		return nil
	}
	spent := refuse(QuotaExceeded, budgetSpent)
	switch now := v.now(); {
	case b.closed:
		return ErrClosed
	case n > b.lim.Max-b.spent, now.Before(b.exhaustedUntil):
		return spent
	}
	ahead := min(b.spent, max(b.lim.Max/100, 1), 1<<20)
	want := max(n-b.leased, ahead)
	if v.now().Before(b.unreachableUntil) {
		return fmt.Errorf("%w: it did not lease a moment ago", ErrUnavailable) // callers that queued on b.mu meanwhile do not wait as well
	}
	ctx, done := v.withCallTimeout(ctx)
	defer done()
	granted, rest, err := v.ks.LeaseUntil(ctx, b.leaseKey, b.exp, b.lim.Max, want)
	v.leases.Add(1)
	if err != nil {
		v.leaseFailures.Add(1)
		if context.Cause(ctx) == errNoAnswer {
			b.unreachableUntil = v.now().Add(unreachablePause)
		}
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if granted < 0 || granted > want {
		return errors.New("token: the keystore leased what was not asked for")
	}
	b.leased += granted
	b.storeLeft, b.storeLeftKnown = rest, true
	if b.leased < n {
		// Another process may return some of its lease, so the store is asked again later.
		b.exhaustedUntil = v.now().Add(exhaustedPause)
		v.leasesShort.Add(1)
		return spent
	}
	return nil
}

// unreachablePause is the time between attempts to lease from a store that did not answer.
const unreachablePause = 200 * time.Millisecond

// exhaustedPause is the time between attempts to lease from a budget that had too few
// values left.
const exhaustedPause = time.Second

// Left returns how much of psn.lim.max is left: what this process has leased and not
// spent, and what the store had left at this process's last lease. ok is false for a
// token without that limit.
func (g *Grant) Left() (left int64, ok bool) {
	b := g.budget
	if b == nil || b.lim.Max == 0 {
		return 0, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.storeLeftKnown {
		return b.lim.Max - b.spent, true
	}
	return b.leased + b.storeLeft, true
}

// Unspent is Left with the store's present count.
func (g *Grant) Unspent(ctx context.Context) (left int64, ok bool, err error) {
	b := g.budget
	if b == nil || b.lim.Max == 0 {
		return 0, false, nil
	}
	spent, err := g.v.ks.Spent(ctx, b.leaseKey)
	if err != nil {
		return 0, true, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(0, b.lim.Max-spent) + b.leased, true, nil
}
