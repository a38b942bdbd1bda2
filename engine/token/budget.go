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
	left   int64 // leased from the store and unspent
	spent  int64 // by this process
	dry    bool  // the store has no more to lease
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
// after a rest when they owe nothing to the rate and hold no leased values,
// which would be lost to the token.
func (bs *budgets) sweep(now time.Time) {
	bs.mu.Lock()
	defer bs.mu.Unlock()
	for key, b := range bs.m {
		if b.users > 0 {
			continue
		}
		if b.idle.IsZero() {
			b.idle = now
		}
		b.mu.Lock()
		full := b.tokens+float64(b.lim.Rate)*now.Sub(b.at).Seconds() >= float64(b.lim.Rate)
		rested := now.Sub(b.idle) >= idleBudgetTTL && b.left == 0 && full
		b.mu.Unlock()
		if rested || now.After(b.exp.Add(maxSkew)) {
			delete(bs.m, key)
		}
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
// leased from the store in pieces of about a hundredth, so that few requests
// write; the values of a lease that a process did not use before it ended count
// as spent, and no more than max are ever given out.
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
	if b.dry || n > b.lim.Max-b.spent {
		return over
	}
	piece := min(max(b.lim.Max/100, 1), 1<<20)
	want := max(n-b.left, piece)
	granted, err := v.ks.LeaseUntil(ctx, b.lease, b.exp, b.lim.Max, want)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if granted < 0 || granted > want {
		return errors.New("token: the keystore leased what was not asked for")
	}
	b.left += granted
	b.dry = granted < want
	if b.left < n {
		return over
	}
	return nil
}

// Left says how much of psn.lim.max may be left, as far as this process knows;
// others may have spent of it too. ok is false for a token without that limit.
func (g *Grant) Left() (left int64, ok bool) {
	b := g.budget
	if b == nil || b.lim.Max == 0 {
		return 0, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dry {
		return b.left, true
	}
	return b.lim.Max - b.spent, true
}
