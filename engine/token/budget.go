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

// budget holds the limits a token has used and its enumeration guard. It outlives
// the token's cache entry.
type budget struct {
	users int       // grants that hold it; guarded by budgets.mu
	idle  time.Time // when the last grant released it; guarded by budgets.mu
	lim   Limits
	lease string // key of the budget in the store
	exp   time.Time

	mu     sync.Mutex
	tokens float64 // in the rate bucket; negative after a request larger than the bucket
	at     time.Time
	left   int64     // leased from the store and unspent
	spent  int64     // by this process
	rest   int64     // what the store had left to lease, the last time that it was asked
	asked  bool      // it was asked
	dry    time.Time // until when the store is not asked again: it had less than was wanted
	down   time.Time // until when the store is not asked again: it did not answer
	closed bool      // what was leased is given back, and nothing is leased any more
	guard  enumerationGuard
}

// budgets holds the budgets of the tokens in use.
type budgets struct {
	mu sync.Mutex
	m  map[[32]byte]*budget
}

// open returns the budget of a token, identified by issuer and jti.
func (bs *budgets) open(v *Verifier, c *Claims) *budget {
	key := sha256.Sum256([]byte(c.Issuer + "\x00" + c.ID))
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b := bs.m[key]
	if b == nil || b.lim != c.PSN.Lim { // the same jti with different limits is a different token
		b = &budget{lim: c.PSN.Lim, lease: c.ID, exp: c.Expires,
			tokens: float64(c.PSN.Lim.Rate), at: v.now()}
		if c.Issuer != v.builtin {
			// Two issuers may use the same jti.
			b.lease = hex.EncodeToString(key[:])
		}
		bs.m[key] = b
	}
	b.users++
	return b
}

func (bs *budgets) close(b *budget) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	b.users--
	if b.users == 0 {
		b.idle = time.Time{}
	}
}

// idleBudgetTTL is for how long a budget without users is kept.
const idleBudgetTTL = 10 * time.Minute

// sweep drops budgets that nobody uses: at once when their token has ended, and
// after a rest when they owe nothing to the rate. What they have leased and not spent
// is given back.
func (bs *budgets) sweep(v *Verifier, now time.Time) {
	var rested []*budget
	bs.mu.Lock()
	for key, b := range bs.m {
		if b.users > 0 {
			continue
		}
		if b.idle.IsZero() {
			b.idle = now
		}
		b.mu.Lock()
		full := b.tokens+float64(b.lim.Rate)*now.Sub(b.at).Seconds() >= float64(b.lim.Rate)
		b.mu.Unlock()
		if now.Sub(b.idle) >= idleBudgetTTL && full || now.After(b.exp.Add(maxSkew)) {
			delete(bs.m, key)
			rested = append(rested, b)
		}
	}
	bs.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), giveBackTimeout)
	defer cancel()
	for _, b := range rested {
		b.giveBack(ctx, v)
	}
}

// giveBack gives back what all budgets have leased and not spent, and leases no more.
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

// giveBackTimeout bounds how long it may take to give back unspent values. Those of a
// store that does not answer are lost to their tokens, as when the process is killed.
const giveBackTimeout = 2 * time.Second

// giveBack returns what is leased and not spent to the store. It counts as gone
// before: a return that failed may have taken effect.
func (b *budget) giveBack(ctx context.Context, v *Verifier) {
	b.mu.Lock()
	n := b.left
	b.left = 0
	b.mu.Unlock()
	if n == 0 {
		return
	}
	if err := v.ks.Return(ctx, b.lease, b.exp, n); err != nil {
		v.log.Warn("values of a token's budget could not be given back, and count as spent", "values", n, "error", err)
	}
}

// Spend takes n values from the token's budget before they are transformed: all
// or nothing, and no value is given back if the request fails later. A negative
// n is taken as 0. It also refuses a grant that was held while its token ended
// or was revoked, or its project severed, so a long run spends chunk by chunk.
//
// A refusal is an *Error, with RetryAfter where waiting helps. rate is a token
// bucket of one second's worth in each process; a request larger than that
// passes when the bucket is full and the debt is waited off after it. max is
// leased from the store: as many values as are wanted, and then as many again as the
// process has spent so far, up to a hundredth of max, so that many small requests
// write seldom and one leases only what it needs. What is left of a lease is given
// back when the verifier is closed; a process that is killed before has spent it. No
// more than max are ever given out.
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
		if now := v.now(); now.After(b.at) {
			b.tokens = min(rate, b.tokens+rate*now.Sub(b.at).Seconds())
			b.at = now
		}
		if need := min(float64(n), rate); b.tokens < need {
			wait := time.Duration(math.Ceil((need - b.tokens) / rate * float64(time.Second)))
			return &Error{Code: QuotaExceeded, Detail: "more values a second than psn.lim.rate allows", RetryAfter: max(wait, time.Millisecond)}
		}
	}
	if b.lim.Max > 0 {
		if err := b.draw(ctx, v, n); err != nil {
			return err
		}
		b.left -= n
	}
	b.spent += n
	if b.lim.Rate > 0 {
		b.tokens -= float64(n)
	}
	return nil
}

// draw sees to it that n values are leased; b.mu is held.
func (b *budget) draw(ctx context.Context, v *Verifier, n int64) error {
	if b.left >= n {
		return nil
	}
	over := refuse(QuotaExceeded, budgetSpent)
	switch now := v.now(); {
	case b.closed:
		return ErrClosed
	case n > b.lim.Max-b.spent, now.Before(b.dry):
		return over
	}
	more := min(b.spent, max(b.lim.Max/100, 1), 1<<20)
	want := max(n-b.left, more)
	if v.now().Before(b.down) {
		return fmt.Errorf("%w: it did not lease a moment ago", ErrUnavailable) // who queued behind that does not wait again
	}
	ctx, done := v.bounded(ctx)
	defer done()
	granted, rest, err := v.ks.LeaseUntil(ctx, b.lease, b.exp, b.lim.Max, want)
	v.leases.Add(1)
	if err != nil {
		v.leaseFailures.Add(1)
		if context.Cause(ctx) == errNoAnswer {
			b.down = v.now().Add(downPause)
		}
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if granted < 0 || granted > want {
		return errors.New("token: the keystore leased what was not asked for")
	}
	b.left += granted
	b.rest, b.asked = rest, true
	if b.left < n {
		// Another process may give some back, which is looked for once in a while.
		b.dry = v.now().Add(dryPause)
		v.leasesShort.Add(1)
		return over
	}
	return nil
}

// downPause is the pause before a store that did not answer is asked again.
const downPause = 200 * time.Millisecond

// dryPause is the pause between two questions to the store for more of a budget that
// is spent there.
const dryPause = time.Second

// Left says how much of psn.lim.max is left, as of the last time that this process
// leased of it: what it holds, and what nobody had leased then. ok is false for a
// token without that limit.
func (g *Grant) Left() (left int64, ok bool) {
	b := g.budget
	if b == nil || b.lim.Max == 0 {
		return 0, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.asked {
		return b.lim.Max - b.spent, true
	}
	return b.left + b.rest, true
}

// Unspent is Left, but asks the store where this process has leased nothing yet.
func (g *Grant) Unspent(ctx context.Context) (left int64, ok bool, err error) {
	b := g.budget
	if b == nil || b.lim.Max == 0 {
		return 0, false, nil
	}
	spent, err := g.v.ks.Spent(ctx, b.lease)
	if err != nil {
		return 0, true, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(0, b.lim.Max-spent) + b.left, true, nil
}
