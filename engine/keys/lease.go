package keys

import (
	"context"
	"fmt"
	"time"
)

// Lease reserves up to want values of a token's budget of max values and returns how
// many it granted, 0 if the budget is spent. A grant is durable when Lease returns and
// counts as spent even if it is not used: the sum of all grants never exceeds max,
// whichever processes take part and however they end. The record is kept permanently:
// see [Keystore.LeaseUntil].
func (ks *Keystore) Lease(ctx context.Context, jti string, max, want int64) (granted int64, err error) {
	granted, _, err = ks.LeaseUntil(ctx, jti, time.Time{}, max, want)
	return granted, err
}

// LeaseUntil is [Keystore.Lease] for a token that ends at exp. Sweep drops the record
// ten minutes after exp. rest is what remains of the budget after this lease.
func (ks *Keystore) LeaseUntil(ctx context.Context, jti string, exp time.Time, max, want int64) (granted, rest int64, err error) {
	if err := checkJTI(jti); err != nil {
		return 0, 0, err
	}
	if max < 0 || want <= 0 {
		return 0, 0, fmt.Errorf("%w: a lease needs a budget of at least 0 and an amount of at least 1", ErrInvalid)
	}
	err = ks.store.Update(ctx, func(tx Tx) error {
		spent, err := tx.Spent(jti)
		if err != nil {
			return err
		}
		if granted, rest = min(want, max-spent), 0; granted <= 0 {
			granted = 0
			return nil
		}
		rest = max - spent - granted
		return tx.SetSpent(jti, spent+granted, exp)
	})
	if err != nil {
		// A failed commit may still have taken effect, so its grant is not used.
		return 0, 0, err
	}
	return granted, rest, nil
}

// Return gives back n values that were granted and not used. The caller must stop using
// them before the call: they may have been returned even if the error is not nil.
func (ks *Keystore) Return(ctx context.Context, jti string, exp time.Time, n int64) error {
	if err := checkJTI(jti); err != nil {
		return err
	}
	if n <= 0 {
		return fmt.Errorf("%w: at least 1 value is given back", ErrInvalid)
	}
	return ks.store.Update(ctx, func(tx Tx) error {
		spent, err := tx.Spent(jti)
		if err != nil || spent == 0 { // the token has ended and a sweep dropped its record
			return err
		}
		if spent < n {
			return fmt.Errorf("%w: more values were given back than were granted", ErrInvalid)
		}
		return tx.SetSpent(jti, spent-n, exp)
	})
}
