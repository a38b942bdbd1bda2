package keys

import (
	"context"
	"time"
)

// Outlook counts the projects of a keystore by state and tells what happens to them next.
// Times are zero if nothing does.
type Outlook struct {
	Active, Ended, Severed int
	Within7d, Within30d    int // active projects that end within so many days
	NextEnd                time.Time
	NextDestruction        time.Time // of the secrets of a project whose end was noted
}

// Outlook returns the outlook at the present time. The store computes it in one pass
// without verifying rows: Verify does that. Errors: ErrClock.
func (ks *Keystore) Outlook(ctx context.Context) (o Outlook, err error) {
	err = ks.store.View(ctx, func(tx Tx) error {
		now, err := ks.time(tx)
		if err != nil {
			return err
		}
		o, err = tx.Outlook(now)
		return err
	})
	return o, err
}

// The spans of Outlook.Within7d and Outlook.Within30d.
const (
	OutlookWeek  = 7 * 24 * time.Hour
	OutlookMonth = 30 * 24 * time.Hour
)
