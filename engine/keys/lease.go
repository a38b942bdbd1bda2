package keys

import (
	"context"
	"fmt"
	"time"
)

// Lease takes up to want values from the budget of a token, whose whole is max,
// and says how many were granted: 0 when it is spent. A grant is durable when
// Lease returns, and counts as spent whether or not it is used: the sum of all
// grants never passes max, whatever processes take part and however they end.
// The record is kept for good; see [Keystore.LeaseUntil].
func (ks *Keystore) Lease(ctx context.Context, jti string, max, want int64) (granted int64, err error) {
	return ks.LeaseUntil(ctx, jti, time.Time{}, max, want)
}

// LeaseUntil is [Keystore.Lease] for a token that ends at exp: some minutes
// later Sweep drops the record.
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
		// After a failed commit nobody knows whether it holds: what it may
		// have granted is not given out.
		return 0, err
	}
	return granted, nil
}
