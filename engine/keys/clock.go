package keys

import (
	"context"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"time"
)

// Time that decides about keys is the store's, never one machine's alone. The store
// keeps the latest time that any process acknowledged, and a PostgreSQL server adds
// its own clock. A machine that disagrees is refused with [ErrClock]: it neither
// destroys nor gives out secrets until its clock is right again, or until an operator
// accepts it ([Keystore.AcceptClock]).

const (
	// ClockTolerance is how far a machine's clock may be from the database's, and
	// behind the latest acknowledged time.
	ClockTolerance = 5 * time.Minute

	// ClockJump is how far the time may be ahead of the latest acknowledged one: how
	// long a keystore may lie unused without a confirmation.
	ClockJump = 31 * 24 * time.Hour

	// acknowledgeEvery limits how often a change writes the acknowledged time.
	acknowledgeEvery = 30 * time.Second
)

const metaClock = "clock" // latest acknowledged time, in microseconds, and its MAC

// Clock is what a keystore knows of the time. Times are zero where there is none.
type Clock struct {
	Local        time.Time // of this machine
	Store        time.Time // of the database server; zero for SQLite
	Acknowledged time.Time // latest that any process acknowledged
}

// Time returns the time that decides about keys. It never goes back behind the
// acknowledged one. Errors: ErrClock.
func (c Clock) Time() (time.Time, error) {
	now := c.Local
	if !c.Store.IsZero() {
		if off := c.Local.Sub(c.Store); off > ClockTolerance || off < -ClockTolerance {
			return time.Time{}, fmt.Errorf("%w: this machine's clock is %s, the database's %s, which is more than %v apart: set the one that is wrong",
				ErrClock, c.Local.UTC().Format(time.RFC3339), c.Store.UTC().Format(time.RFC3339), ClockTolerance)
		}
		now = c.Store
	}
	if c.Acknowledged.IsZero() {
		return now, nil
	}
	const remedy = "set the clock, or say 'velonym key clock --accept' if it is right"
	switch off := now.Sub(c.Acknowledged); {
	case off < -ClockTolerance:
		return time.Time{}, fmt.Errorf("%w: the clock says %s, and this keystore was used at %s: %s",
			ErrClock, now.UTC().Format(time.RFC3339), c.Acknowledged.UTC().Format(time.RFC3339), remedy)
	case off > ClockJump:
		return time.Time{}, fmt.Errorf("%w: the clock says %s, more than %d days after this keystore was last used, at %s: %s",
			ErrClock, now.UTC().Format(time.RFC3339), ClockJump/(24*time.Hour), c.Acknowledged.UTC().Format(time.RFC3339), remedy)
	case off < 0:
		now = c.Acknowledged
	}
	return now, nil
}

// WithStoreClock replaces the clock of a store that has one, for tests.
func WithStoreClock(now func() time.Time) Option {
	return func(ks *Keystore) { ks.storeNow = now }
}

// Clock reads the clocks without judging them. Errors: ErrTampered.
func (ks *Keystore) Clock(ctx context.Context) (c Clock, err error) {
	err = ks.store.View(ctx, func(tx Tx) error {
		c, err = ks.readClock(tx)
		return err
	})
	return c, err
}

// AcceptClock makes the present time the acknowledged one, whether it is before or
// after it: the operator says that the clock is right. Destroyed keys stay destroyed.
// A machine whose clock differs from the database's is refused all the same.
func (ks *Keystore) AcceptClock(ctx context.Context) (now time.Time, err error) {
	err = ks.store.Update(ctx, func(tx Tx) error {
		c, err := ks.readClock(tx)
		if err != nil {
			return err
		}
		c.Acknowledged = time.Time{}
		if now, err = c.Time(); err != nil {
			return err
		}
		if err := ks.writeClock(tx, now); err != nil {
			return err
		}
		return tx.RaiseChange()
	})
	return now, err
}

func (ks *Keystore) readClock(tx Tx) (c Clock, err error) {
	store, err := tx.Clock()
	if err != nil {
		return c, err
	}
	acknowledged, err := tx.Meta(metaClock)
	if err != nil {
		return c, err
	}
	return ks.clockOf(store, acknowledged)
}

// clockOf is the clock of a store's time and of its entry metaClock.
func (ks *Keystore) clockOf(store time.Time, b []byte) (Clock, error) {
	c := Clock{Local: ks.now(), Store: store}
	if ks.storeNow != nil && !store.IsZero() {
		c.Store = ks.storeNow()
	}
	if b == nil {
		return c, nil
	}
	if len(b) != 8+sealSize {
		return c, ks.tampered("the time of its last use is not as it was left")
	}
	c.Acknowledged = time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC()
	if subtle.ConstantTimeCompare(b[8:], ks.clockMAC(c.Acknowledged)) != 1 {
		return c, ks.tampered("the time of its last use is not as it was left")
	}
	return c, nil
}

func (ks *Keystore) clockMAC(t time.Time) []byte { return ks.mac([]byte("clock 1"), field(t)) }

func (ks *Keystore) writeClock(tx Tx, t time.Time) error {
	t = stamp(t)
	return tx.SetMeta(metaClock, append(field(t), ks.clockMAC(t)...))
}

// time returns the time that decides about keys. Errors: ErrClock.
func (ks *Keystore) time(tx Tx) (time.Time, error) {
	c, err := ks.readClock(tx)
	if err != nil {
		return time.Time{}, err
	}
	return c.Time()
}

// acknowledge is time within an Update: it also stores what it returns, once in a
// while.
func (ks *Keystore) acknowledge(tx Tx) (time.Time, error) {
	c, err := ks.readClock(tx)
	if err != nil {
		return time.Time{}, err
	}
	now, err := c.Time()
	if err == nil && now.Sub(c.Acknowledged) >= acknowledgeEvery {
		err = ks.writeClock(tx, now)
	}
	return now, err
}
