package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// testWrongClockDestroysNothing runs machines whose clocks are wrong in various ways:
// whatever grace a project has, no key is destroyed, and once the clock is right again
// all projects are in use.
func testWrongClockDestroysNothing(e *env) {
	const day = 24 * time.Hour
	graces := []time.Duration{0, time.Minute, grace}
	for _, c := range []struct {
		what string
		sets []time.Duration // steps by which the clock is set, one after the other
	}{
		{"ahead by hours", []time.Duration{25 * time.Hour}},
		{"ahead by as much as a keystore may lie unused", []time.Duration{keys.ClockJump - time.Hour}},
		{"ahead by too much", []time.Duration{keys.ClockJump + time.Hour}},
		{"ahead by years", []time.Duration{50 * 365 * day}},
		{"ahead again and again", slices.Repeat([]time.Duration{20 * day}, 6)},
		{"ahead in steps below the tolerance", slices.Repeat([]time.Duration{keys.ClockTolerance - time.Second}, 40)},
		{"behind", []time.Duration{-time.Hour}},
		{"behind by years", []time.Duration{-10 * 365 * day}},
		{"ahead, back and ahead", []time.Duration{20 * day, -20 * day, 30 * day, -30 * day, 25 * day}},
	} {
		e.Run(c.what, func(t *testing.T) {
			e := newEnv(t, e.again(t))
			life := day
			if len(c.sets) > 10 {
				life = 2 * time.Hour
			}
			for i, g := range graces {
				p := e.project(fmt.Sprint(i))
				p.Grace, p.Retention = g, e.now().Add(life)
				e.must(e.ks.CreateProject(e.ctx, p, nil))
			}
			e.sweeps(0, e.ks)
			for _, by := range c.sets {
				e.set(by)
				// A running server, one that has just started, and the first again.
				for _, ks := range []*keys.Keystore{e.ks, e.second(), e.ks} {
					swept, err := ks.Sweep(e.ctx)
					if len(swept.Destroyed) != 0 {
						e.Fatalf("destroyed %d, error %v", len(swept.Destroyed), err)
					}
					_, _ = ks.Change(e.ctx)
				}
				e.later(time.Minute)
			}
			for i := range graces {
				if len(e.blobs(fmt.Sprint(i))) != 1 {
					e.Fatalf("the key of the project with grace %v was destroyed", graces[i])
				}
			}
			e.right()
			e.sweeps(0, e.ks, e.second())
			for i := range graces {
				e.secrets(e.ks, fmt.Sprint(i), "")
			}
			// The true end still destroys.
			e.later(life)
			swept, err := e.ks.Sweep(e.ctx)
			e.must(err)
			if len(swept.Destroyed) != 1 || swept.Destroyed[0].Project != "0" || len(swept.Ended) != 2 {
				e.Errorf("swept %+v", swept)
			}
			e.later(grace + time.Minute)
			e.sweeps(2, e.ks)
		})
	}
}

// right corrects the clock and accepts it as an operator does.
func (e *env) right() {
	e.Helper()
	e.muNow.Lock()
	e.wrong = 0
	e.muNow.Unlock()
	_, err := e.ks.AcceptClock(e.ctx)
	e.must(err)
}

// testDoubt lets a clock jump ahead to the right time. Ended projects are held until an
// operator accepts the clock or it has run steadily for long enough.
func testDoubt(e *env) {
	const jump = 20 * 24 * time.Hour
	held := func(ks *keys.Keystore, want ...string) {
		e.Helper()
		swept, err := ks.Sweep(e.ctx)
		e.must(err)
		if !slices.Equal(swept.Held, want) || len(swept.Destroyed) != 0 {
			e.Fatalf("held %q, destroyed %d, want %q held", swept.Held, len(swept.Destroyed), want)
		}
	}
	e.create("accepted")
	e.sweeps(0, e.ks)
	e.set(jump)
	swept, err := e.ks.Sweep(e.ctx)
	e.must(err)
	if !slices.Equal(swept.Ended, []string{"accepted"}) {
		e.Fatalf("noted %q", swept.Ended)
	}
	held(e.second(), "accepted")
	c, err := e.ks.Clock(e.ctx)
	e.must(err)
	if off := c.Doubt - jump; off < -time.Minute || off > time.Minute {
		e.Errorf("doubt %v", c.Doubt)
	}
	_, err = e.ks.AcceptClock(e.ctx)
	e.must(err)
	e.sweeps(1, e.ks)

	p := e.project("settled")
	p.Retention = e.now().Add(jump - time.Hour)
	e.must(e.ks.CreateProject(e.ctx, p, nil))
	e.set(jump)
	held(e.ks)
	for range 6 {
		e.later(24 * time.Hour)
		held(e.ks, "settled")
	}
	e.later(25 * time.Hour)
	e.sweeps(1, e.ks)
	// A keystore that one machine uses occasionally needs no confirmation.
	e.create("seldom used")
	e.later(jump)
	e.sweeps(1, e.second())
}

// testAnotherMachine lets two machines use the keystore alternately. Their times since
// boot are not comparable.
func testAnotherMachine(e *env) {
	machine := func(boot string) *keys.Keystore {
		s, err := e.location.Open()
		e.must(err)
		ks, err := keys.New(e.ctx, s, e.mk, keys.WithClock(e.now), keys.WithStoreClock(e.now), keys.WithUptime(func() (string, time.Duration) {
			_, span := e.uptime()
			return boot, span
		}))
		e.must(err)
		e.Cleanup(func() { ks.Close() })
		return ks
	}
	a, b := machine("a"), machine("b")
	e.create("p")
	for range 24*60/4 - 1 {
		e.later(4 * time.Minute)
		_, err := a.Sweep(e.ctx)
		e.must(err)
		a, b = b, a
	}
	for range 2 {
		e.later(3 * time.Minute)
		_, err := a.Sweep(e.ctx)
		e.must(err)
	}
	if len(e.blobs("p")) != 0 {
		e.Error("short steps of two machines did not end the doubt")
	}
	e.create("q")
	e.later(25 * time.Hour)
	e.sweeps(0, b)
	e.sweeps(0, a)
	swept, err := a.Sweep(e.ctx)
	e.must(err)
	if !slices.Equal(swept.Held, []string{"q"}) {
		e.Errorf("held %q", swept.Held)
	}
}

// testRestoreProject restores a project that a scheduled severing ended. It cannot restore one
// whose retention has ended.
func testRestoreProject(e *env) {
	p := e.project("p")
	p.Grace, p.Retention = grace, e.now().Add(20*24*time.Hour)
	e.must(e.ks.CreateProject(e.ctx, p, nil))
	other := e.second()
	e.is(e.ks.RestoreProject(e.ctx, "none"), keys.ErrNotFound)
	e.is(e.ks.RestoreProject(e.ctx, "p"), keys.ErrInvalid)
	e.must(e.ks.ScheduleSever(e.ctx, "p", e.now().Add(time.Hour)))
	e.is(e.ks.RestoreProject(e.ctx, "p"), keys.ErrInvalid) // not due yet: it must be cancelled instead
	for _, sweep := range []bool{true, false} {
		if !sweep {
			e.must(e.ks.ScheduleSever(e.ctx, "p", e.now().Add(time.Hour)))
		}
		e.later(2 * time.Hour)
		_, err := other.Secrets(e.ctx, keys.Domain{Prj: "p"})
		e.is(err, keys.ErrSevered)
		if sweep {
			e.sweeps(0, other)
		}
		e.must(other.RestoreProject(e.ctx, "p"))
		e.secrets(e.ks, "p", "")
		got, err := e.ks.Project(e.ctx, "p")
		e.must(err)
		if !got.Ended.IsZero() || !got.SeverAt.IsZero() || !got.Retention.Equal(wholeSecond(p.Retention)) {
			e.Errorf("restored as %+v", got)
		}
	}
	// Neither works after the grace or after the retention.
	e.must(e.ks.ScheduleSever(e.ctx, "p", e.now().Add(time.Hour)))
	e.later(2 * time.Hour)
	e.sweeps(0, e.ks)
	e.later(20 * 24 * time.Hour)
	e.is(e.ks.RestoreProject(e.ctx, "p"), keys.ErrRetentionOver)
	e.sweeps(1, e.ks)
	e.is(e.ks.RestoreProject(e.ctx, "p"), keys.ErrRetentionOver)
	e.create("q")
	_, err := e.ks.Sever(e.ctx, "q")
	e.must(err)
	e.is(e.ks.RestoreProject(e.ctx, "q"), keys.ErrSevered)
}

func wholeSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
