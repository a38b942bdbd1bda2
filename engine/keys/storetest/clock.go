package storetest

import (
	"errors"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// machine opens the keystore as another server whose clock is off by some time.
func (e *env) machine(off time.Duration) *keys.Keystore {
	e.Helper()
	s, err := e.location.Open()
	e.must(err)
	ks, err := keys.New(e.ctx, s, e.mk, keys.WithClock(func() time.Time { return e.now().Add(off) }), keys.WithStoreClock(e.now), keys.WithUptime(e.uptime))
	e.must(err)
	e.Cleanup(func() { ks.Close() })
	return ks
}

// refusesClock fails the test unless ks refuses every call that destroys, creates or returns
// keys, and still reads.
func (e *env) refusesClock(ks *keys.Keystore) {
	e.Helper()
	_, err := ks.Secrets(e.ctx, keys.Domain{Prj: "p"})
	e.is(err, keys.ErrClock)
	_, err = ks.Sweep(e.ctx)
	e.is(err, keys.ErrClock)
	_, err = ks.Sever(e.ctx, "p")
	e.is(err, keys.ErrClock)
	_, err = ks.Change(e.ctx)
	e.is(err, keys.ErrClock)
	e.is(ks.Rotate(e.ctx, "p"), keys.ErrClock)
	e.is(ks.Shorten(e.ctx, "p", e.now().Add(time.Hour)), keys.ErrClock)
	p := e.project("new")
	p.Retention = e.now().Add(100 * 365 * 24 * time.Hour)
	e.is(ks.CreateProject(e.ctx, p, nil), keys.ErrClock)
	// Reading still works.
	_, err = ks.Projects(e.ctx)
	e.must(err)
	_, err = ks.Generations(e.ctx, "p")
	e.must(err)
	e.must(ks.Revoke(e.ctx, "revoked", time.Time{}))
}

// testClock runs two servers on one keystore. The server with a wrong clock neither destroys nor
// returns keys; the other is not affected.
func testClock(e *env) {
	e.create("p")
	c, err := e.ks.Clock(e.ctx)
	e.must(err)
	ownClock := !c.Store.IsZero()
	for _, off := range []time.Duration{-100 * 365 * 24 * time.Hour, -time.Hour, -keys.ClockTolerance - time.Minute,
		keys.ClockTolerance + time.Minute, 25 * time.Hour, keys.ClockJump + time.Minute, 50 * 365 * 24 * time.Hour} {
		if off > 0 && off <= keys.ClockJump && !ownClock {
			continue // this looks like a store that was not used for a while
		}
		ks := e.machine(off)
		e.refusesClock(ks)
		if len(e.secrets(e.ks, "p", "")) != 1 {
			e.Errorf("a clock off by %v has destroyed the key", off)
		}
		if ownClock {
			_, err := ks.AcceptClock(e.ctx)
			e.is(err, keys.ErrClock)
		}
	}
	for _, off := range []time.Duration{-keys.ClockTolerance + time.Minute, 0} {
		if len(e.secrets(e.machine(off), "p", "")) != 1 {
			e.Errorf("refused for %v", off)
		}
	}
	if _, err := e.ks.Sweep(e.ctx); err != nil {
		e.Error(err)
	}
}

// testClockInUse lets the only clock jump while the keystore is in use.
func testClockInUse(e *env) {
	e.create("p")
	const jump = 2 * keys.ClockJump
	e.set(jump)
	e.refusesClock(e.ks)
	e.set(-jump)
	e.secrets(e.ks, "p", "")
	// Setting the clock back is refused and restores nothing.
	e.set(25 * time.Hour)
	long := e.project("long")
	long.Retention = e.now().Add(10 * keys.ClockJump)
	e.must(e.ks.CreateProject(e.ctx, long, nil))
	_, err := e.ks.Sever(e.ctx, "p")
	e.must(err)
	e.set(-25 * time.Hour)
	_, err = e.ks.Secrets(e.ctx, keys.Domain{Prj: "p"})
	e.is(err, keys.ErrRetentionOver)
	_, err = e.ks.Secrets(e.ctx, keys.Domain{Prj: "long"})
	e.is(err, keys.ErrClock)
	before, err := e.ks.Clock(e.ctx)
	e.must(err)
	now, err := e.ks.AcceptClock(e.ctx)
	e.must(err)
	if got := before.Acknowledged.Sub(now); got < 24*time.Hour || got > 26*time.Hour {
		e.Errorf("the acknowledged time went back by %v", got)
	}
	e.secrets(e.ks, "long", "")
	_, err = e.ks.Secrets(e.ctx, keys.Domain{Prj: "p"})
	e.is(err, keys.ErrRetentionOver)
	// A store that was unused for long is used again after a confirmation.
	e.later(3 * keys.ClockJump)
	_, err = e.ks.Sweep(e.ctx)
	e.is(err, keys.ErrClock)
	_, err = e.ks.AcceptClock(e.ctx)
	e.must(err)
	e.secrets(e.second(), "long", "")
}

// testClockTampered changes the acknowledged time without the master key.
func testClockTampered(e *env) {
	e.create("p")
	e.must(e.store.Update(e.ctx, func(tx keys.Tx) error { return tx.SetMeta("clock", make([]byte, 24)) }))
	_, err := e.ks.Secrets(e.ctx, keys.Domain{Prj: "p"})
	e.is(err, keys.ErrTampered)
	_, err = e.ks.Change(e.ctx)
	e.is(err, keys.ErrTampered)
	if _, err = e.ks.Sweep(e.ctx); err == nil || errors.Is(err, keys.ErrClock) {
		e.Errorf("swept all the same: %v", err)
	}
}
