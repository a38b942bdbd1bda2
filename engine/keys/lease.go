package keys

import (
	"context"
	"fmt"
	"time"
)

// Lease reserves up to want values of a token's budget of max values and returns how
// many it granted, 0 if the budget is spent. A grant is durable when Lease returns
// and counts as spent even if it is not used: the sum of all grants never exceeds
// max, whichever processes take part and however they end. The record is kept
// permanently; see [Keystore.LeaseUntil].
func (ks *Keystore) Lease(ctx context.Context, jti string, max, want int64) (granted int64, err error) {
	return ks.LeaseUntil(ctx, jti, time.Time{}, max, want)
}

// LeaseUntil is [Keystore.Lease] for a token that ends at exp. Sweep drops the record
// ten minutes later.
func (ks *Keystore) LeaseUntil(ctx context.Context, jti string, exp time.Time, max, want int64) (granted int64, err error) {
	if err := checkJTI(jti); err != nil {
		return 0, err
	}
	if max < 0 || want <= 0 {
		return 0, fmt.Errorf("%w: a lease needs a budget of at least 0 and an amount of at least 1", ErrInvalid)
	}
	err = ks.store.Update(ctx, func(tx Tx) error {
		spent, err := tx.Spent(jti)
		if err != nil {
			return err
		}
		granted = min(want, max-spent)
		if granted <= 0 {
			granted = 0
			return nil
		}
		return tx.SetSpent(jti, spent+granted, exp)
	})
	if err != nil {
		// A failed commit may still have taken effect; its grant is not given out.
		return 0, err
	}
	return granted, nil
}
