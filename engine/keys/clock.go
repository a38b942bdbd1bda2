package keys

import (
	"fmt"
	"time"
)

// The time that decides about keys is the store's, never that of one machine alone. The
// store keeps the latest time that any process acknowledged, and a PostgreSQL server adds
// its own clock. A machine that disagrees gets [ErrClock]: it neither destroys nor
// returns secrets until its clock is right again, or until an operator accepts it
// ([Keystore.AcceptClock]).
//
// A project ends by the acknowledged time. Secrets are destroyed by the sure time: the
// acknowledged time minus the doubt, the sum of the spans whose passing nobody observed.
// Between two uses by one machine, the observed span is the growth of its time since
// boot, which no setting of its clock changes. Between uses by two machines, or across a
// boot, the whole span counts as observed if it is at most ClockTolerance, else none of
// it. A jump of the clock therefore destroys nothing, however often it happens, until an
// operator accepts it or the clock has run steadily for ClockSettled.

const (
	// ClockTolerance is how far a machine's clock may differ from the database's, and
	// how far it may be behind the acknowledged time.
	ClockTolerance = 5 * time.Minute

	// ClockJump is how far the time may be ahead of the acknowledged time, which is
	// how long a keystore may stay unused without a confirmation.
	ClockJump = 31 * 24 * time.Hour

	// ClockSettled is how long a clock must run steadily after a jump before secrets
	// are destroyed by it without a confirmation.
	ClockSettled = 7 * 24 * time.Hour

	// acknowledgeEvery is the least time between two writes of the acknowledged time.
	acknowledgeEvery = 30 * time.Second

	// clockCorrection is how far the clock may be stepped forward between two
	// acknowledgements and still count as steady: time servers do that.
	clockCorrection = 10 * time.Second
)

// Clock holds the times that a keystore knows.
type Clock struct {
	Local        time.Time // this machine's clock
	Store        time.Time // the database server's clock; zero for SQLite
	Acknowledged time.Time // latest time that any process acknowledged; zero for none

	// Doubt is the part of the acknowledged time whose passing nobody observed. Steady
	// is the time since which no doubt was added.
	Doubt  time.Duration
	Steady time.Time

	uptime, lastUptime uptime // this machine's now, and that stored with Acknowledged
}

// Time returns the time that decides about keys. It is never before the acknowledged
// time. Errors: ErrClock.
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

// Sure returns the time by which secrets are destroyed: [Clock.Time] minus the doubt.
// Errors: ErrClock.
func (c Clock) Sure() (time.Time, error) {
	next, err := c.advanced()
	return next.Acknowledged.Add(-next.Doubt), err
}

// advanced returns the clock with the present time acknowledged. Errors: ErrClock.
func (c Clock) advanced() (Clock, error) {
	now, err := c.Time()
	if err != nil {
		return c, err
	}
	if c.Acknowledged.IsZero() {
		c.Acknowledged, c.Steady = now, now
		return c, nil
	}
	step := now.Sub(c.Acknowledged)
	unseen := step
	switch {
	case c.uptime.boot == c.lastUptime.boot:
		unseen -= min(step, max(0, c.uptime.span-c.lastUptime.span))
	case step <= ClockTolerance:
		unseen = 0
	}
	c.Acknowledged = now
	c.Doubt += unseen
	if unseen > clockCorrection {
		c.Steady = now
	}
	if now.Sub(c.Steady) >= ClockSettled {
		c.Doubt = 0
	}
	return c, nil
}
