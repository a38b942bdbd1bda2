package doctor

import (
	"context"
	"time"
)

// checkClock holds this machine's clock against the keystore's.
func checkClock(ctx context.Context, p *patient) []Result {
	const check = "clock"
	if p.ks == nil {
		return []Result{skip(check, "not checked: %s", p.why)}
	}
	c, err := p.ks.Clock(ctx)
	if err != nil {
		return []Result{fail(check, remedyOf(err), "%v", plain(err))}
	}
	if _, err := c.Time(); err != nil {
		return []Result{fail(check, "set the clock that is wrong; if this one is right, say 'velonym key clock --accept'", "%v", plain(err))}
	}
	if c.Doubt > time.Minute {
		return []Result{warn(check, "if the clock is right, say 'velonym key clock --accept'", "it jumped by %v: no keys are destroyed until it has run steadily for a while", c.Doubt.Round(time.Second))}
	}
	if !c.Store.IsZero() {
		return []Result{ok(check, "%v from the database's", c.Local.Sub(c.Store).Abs().Round(time.Millisecond))}
	}
	return []Result{ok(check, "it agrees with the keystore, which was last used at %s", c.Acknowledged.UTC().Format(time.RFC3339))}
}

// checkMachineClock asks the system whether something keeps its clock right.
func checkMachineClock(context.Context, *patient) []Result {
	const check = "time-sync"
	synced, known := clockSynced()
	switch {
	case !known:
		return []Result{skip(check, "whether a time server keeps this machine's clock is not known here")}
	case !synced:
		return []Result{warn(check, "run a time service (chrony, systemd-timesyncd), here or on the host of this container", "the system says that nothing keeps this machine's clock right")}
	}
	return []Result{ok(check, "a time service keeps this machine's clock")}
}
