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

// ledger is what is remembered of a token between its requests: its budget and
// the detector of number walks. It lives on when the cache drops the token.
type ledger struct {
	users int       // grants that hold it; under books.mu
	idle  time.Time // since when none does; under books.mu
	lim   Limits
	lease string // name of the budget in the store
	exp   time.Time

	mu     sync.Mutex
	tokens float64 // of the rate bucket; below 0 after a request larger than the bucket
	at     time.Time
	left   int64 // leased from the store and not spent
	spent  int64 // by this process
	dry    bool  // the store has no more to lease
	walk   walk
}

// books holds the ledgers of the tokens in use.
type books struct {
	mu sync.Mutex
	m  map[[32]byte]*ledger
}

// open finds or makes the ledger of a token, which is known by issuer and jti.
func (b *books) open(v *Verifier, c *Claims) *ledger {
	key := sha256.Sum256([]byte(c.Issuer + "\x00" + c.ID))
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.m[key]
	if l == nil || l.lim != c.PSN.Lim { // the same jti with other limits is another token
		l = &ledger{lim: c.PSN.Lim, lease: c.ID, exp: c.Expires,
			tokens: float64(c.PSN.Lim.Rate), at: v.now()}
		if c.Issuer != v.builtin {
			// Issuers know nothing of each other's jti.
			l.lease = hex.EncodeToString(key[:])
		}
		b.m[key] = l
	}
	l.users++
	return l
}

func (b *books) close(l *ledger) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.users--
	if l.users == 0 {
		l.idle = time.Time{}
	}
}

// ledgerRest is for how long a ledger without users is kept.
const ledgerRest = 10 * time.Minute

// sweep drops ledgers that nobody uses: at once when their token has ended, and
// after a rest when they owe nothing to the rate and hold no leased values,
// which would be lost to the token.
func (b *books) sweep(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, l := range b.m {
		if l.users > 0 {
			continue
		}
		if l.idle.IsZero() {
			l.idle = now
		}
		l.mu.Lock()
		full := l.tokens+float64(l.lim.Rate)*now.Sub(l.at).Seconds() >= float64(l.lim.Rate)
		rested := now.Sub(l.idle) >= ledgerRest && l.left == 0 && full
		l.mu.Unlock()
		if rested || now.After(l.exp.Add(maxSkew)) {
			delete(b.m, key)
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
	l := g.book
	if l == nil || n <= 0 || l.lim == (Limits{}) {
		return nil
	}
	return l.spend(ctx, g.v, int64(n))
}

func (l *ledger) spend(ctx context.Context, v *Verifier, n int64) error {
	if l.lim.Req > 0 && n > l.lim.Req {
		return refuse(TooLarge, fmt.Sprintf("more values in one request than the %d that psn.lim.req allows; send them in parts", l.lim.Req))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lim.Rate > 0 {
		rate := float64(l.lim.Rate)
		if now := v.now(); now.After(l.at) {
			l.tokens = min(rate, l.tokens+rate*now.Sub(l.at).Seconds())
			l.at = now
		}
		if need := min(float64(n), rate); l.tokens < need {
			wait := time.Duration(math.Ceil((need - l.tokens) / rate * float64(time.Second)))
			return &Error{Code: QuotaExceeded, Detail: "more values a second than psn.lim.rate allows", RetryAfter: max(wait, time.Millisecond)}
		}
	}
	if l.lim.Max > 0 {
		if err := l.draw(ctx, v, n); err != nil {
			return err
		}
		l.left -= n
	}
	l.spent += n
	if l.lim.Rate > 0 {
		l.tokens -= float64(n)
	}
	return nil
}

// draw sees to it that n values are leased; l.mu is held.
func (l *ledger) draw(ctx context.Context, v *Verifier, n int64) error {
	if l.left >= n {
		return nil
	}
	over := refuse(QuotaExceeded, budgetSpent)
	if l.dry || n > l.lim.Max-l.spent {
		return over
	}
	piece := min(max(l.lim.Max/100, 1), 1<<20)
	want := max(n-l.left, piece)
	granted, err := v.ks.LeaseUntil(ctx, l.lease, l.exp, l.lim.Max, want)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if granted < 0 || granted > want {
		return errors.New("token: the keystore leased what was not asked for")
	}
	l.left += granted
	l.dry = granted < want
	if l.left < n {
		return over
	}
	return nil
}

// Left says how much of psn.lim.max may be left, as far as this process knows;
// others may have spent of it too. ok is false for a token without that limit.
func (g *Grant) Left() (left int64, ok bool) {
	l := g.book
	if l == nil || l.lim.Max == 0 {
		return 0, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dry {
		return l.left, true
	}
	return l.lim.Max - l.spent, true
}
