package keys

import (
	"fmt"
	"time"
)

// Time that decides about keys is the store's, never one machine's alone. The store
// keeps the latest time that any process acknowledged, and a PostgreSQL server adds
// its own clock. A machine that disagrees is refused with [ErrClock]: it neither
// destroys nor gives out secrets until its clock is right again, or until an operator
// accepts it ([Keystore.AcceptClock]).
//
// What ends is refused as soon as the acknowledged time says so. What is destroyed
// waits for the sure time: the acknowledged time without the spans that nobody saw
// pass. Between two uses by one machine, the span that was seen is that by which its
// time since boot grew, which no setting of its clock moves. Between uses by two
// machines, or across a boot, it is the whole span if that is no longer than
// ClockTolerance, and else nothing. A jump of the clock therefore destroys nothing,
// however often it is repeated, until an operator accepts it or the clock has run on
// steadily for ClockSettled.

const (
	// ClockTolerance is how far a machine's clock may be from the database's, and
	// behind the latest acknowledged time.
	ClockTolerance = 5 * time.Minute

	// ClockJump is how far the time may be ahead of the latest acknowledged one: how
	// long a keystore may lie unused without a confirmation.
	ClockJump = 31 * 24 * time.Hour

	// ClockSettled is how long a clock must run steadily after a jump until secrets
	// are destroyed by it without a confirmation.
	ClockSettled = 7 * 24 * time.Hour

	// acknowledgeEvery limits how often a change writes the acknowledged time.
	acknowledgeEvery = 30 * time.Second

	// clockCorrection is how much a time server may step the clock forward between two
	// acknowledgements of a clock that counts as steady.
	clockCorrection = 10 * time.Second
)

// Clock is what a keystore knows of the time. Times are zero where there is none.
type Clock struct {
	Local        time.Time // of this machine
	Store        time.Time // of the database server; zero for SQLite
	Acknowledged time.Time // latest that any process acknowledged

	// Doubt is how much of the acknowledged time nobody saw pass, and Steady is since
	// when none was added.
	Doubt  time.Duration
	Steady time.Time

	uptime, lastUptime uptime // of this machine, and when Acknowledged was written
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

// Sure returns the time by which secrets are destroyed: that of [Clock.Time] without
// what nobody saw pass. Errors: ErrClock.
func (c Clock) Sure() (time.Time, error) {
	next, err := c.advanced()
	return next.Acknowledged.Add(-next.Doubt), err
}

// advanced returns the clock as it is to be stored now. Errors: ErrClock.
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
