package storetest

import (
	"time"

	"github.com/velonym/velonym/engine/keys"
)

const grace = 7 * 24 * time.Hour

// withGrace creates a project with a retention of a day and a grace of a week.
func (e *env) withGrace(name string) keys.Project {
	e.Helper()
	p := e.project(name)
	p.Grace = grace
	e.must(e.ks.CreateProject(e.ctx, p, nil))
	p, err := e.ks.Project(e.ctx, name)
	e.must(err)
	return p
}

// sweeps lets every given keystore sweep and checks how many projects are destroyed.
func (e *env) sweeps(want int, all ...*keys.Keystore) (receipts []keys.Receipt) {
	e.Helper()
	for _, ks := range all {
		rs, err := ks.Sweep(e.ctx)
		e.must(err)
		receipts = append(receipts, rs.Destroyed...)
	}
	if len(receipts) != want {
		e.Fatalf("swept %d, want %d", len(receipts), want)
	}
	return receipts
}

// testGrace checks that the end of a retention blocks at once and destroys after the grace.
func testGrace(e *env) {
	p := e.withGrace("p")
	if p.Grace != grace || !p.Ended.IsZero() || !p.DestroyAt().IsZero() {
		e.Fatalf("created %+v, want a grace of a week", p)
	}
	other := e.second()
	e.sweeps(0, e.ks, other)
	e.later(25 * time.Hour)
	for _, ks := range []*keys.Keystore{e.ks, other} {
		_, err := ks.Secrets(e.ctx, keys.Domain{Prj: "p"})
		e.is(err, keys.ErrRetentionOver)
		e.is(ks.Rotate(e.ctx, "p"), keys.ErrRetentionOver)
	}
	before := e.change()
	e.sweeps(0, e.ks, other)
	if e.change() != before+1 {
		e.Errorf("the counter went up by %d", e.change()-before)
	}
	p, err := other.Project(e.ctx, "p")
	e.must(err)
	if p.Severed || p.Ended.IsZero() || !p.DestroyAt().Equal(p.Ended.Add(grace)) || len(e.blobs("p")) != 1 {
		e.Fatalf("noted %+v", p)
	}
	e.later(grace - time.Hour)
	e.sweeps(0, e.ks, other)
	e.later(2 * time.Hour)
	r := e.sweeps(1, other, e.ks)[0]
	if r.Reason != keys.ReasonRetention || r.GraceSeconds != int64(grace/time.Second) || !r.Ended.Equal(p.Ended) || len(e.blobs("p")) != 0 {
		e.Errorf("receipt %+v", r)
	}
	pub, err := e.ks.ReceiptKey(e.ctx)
	e.must(err)
	e.must(keys.VerifyReceipt(r, pub))
	// Severing does not wait for the grace.
	e.withGrace("q")
	_, err = e.ks.Sever(e.ctx, "q")
	e.must(err)
	if len(e.blobs("q")) != 0 {
		e.Error("severing waits for the grace")
	}
	for _, wrong := range []time.Duration{-1, time.Millisecond, 100 * 366 * 24 * time.Hour} {
		p := e.project("wrong")
		p.Grace = wrong
		e.is(e.ks.CreateProject(e.ctx, p, nil), keys.ErrInvalid)
	}
}

// testScheduledSever schedules a severing and cancels it.
func testScheduledSever(e *env) {
	p := e.project("p")
	p.Grace, p.Retention = grace, e.now().Add(20*24*time.Hour)
	e.must(e.ks.CreateProject(e.ctx, p, nil))
	e.is(e.ks.ScheduleSever(e.ctx, "none", e.now().Add(time.Hour)), keys.ErrNotFound)
	for _, wrong := range []time.Time{{}, e.now(), e.now().Add(-time.Hour), p.Retention, p.Retention.Add(time.Hour)} {
		e.is(e.ks.ScheduleSever(e.ctx, "p", wrong), keys.ErrInvalid)
	}
	other := e.second()
	e.must(e.ks.ScheduleSever(e.ctx, "p", e.now().Add(time.Hour)))
	e.secrets(other, "p", "")
	e.must(other.ScheduleSever(e.ctx, "p", time.Time{}))
	e.later(2 * time.Hour)
	e.secrets(e.ks, "p", "")
	e.must(e.ks.ScheduleSever(e.ctx, "p", e.now().Add(24*time.Hour)))
	e.later(25 * time.Hour)
	_, err := other.Secrets(e.ctx, keys.Domain{Prj: "p"})
	e.is(err, keys.ErrSevered)
	// A severing that is due cannot be cancelled.
	e.is(other.ScheduleSever(e.ctx, "p", time.Time{}), keys.ErrSevered)
	e.sweeps(0, e.ks, other)
	e.is(other.ScheduleSever(e.ctx, "p", time.Time{}), keys.ErrSevered)
	e.later(grace + time.Hour)
	if r := e.sweeps(1, e.ks, other)[0]; r.Reason != keys.ReasonSevered || len(e.blobs("p")) != 0 {
		e.Errorf("receipt %+v", r)
	}
	_, err = other.Secrets(e.ctx, keys.Domain{Prj: "p"})
	e.is(err, keys.ErrSevered)
}

// testSweepBefore checks that a sweep before a change does everything that is due, and that
// without anything due the change acknowledges the time.
func testSweepBefore(e *env) {
	p := e.project("p")
	p.Retention = e.now().Add(time.Hour)
	e.must(e.ks.CreateProject(e.ctx, p, nil))
	_, _, err := e.ks.LeaseUntil(e.ctx, "t", e.now().Add(time.Hour), 10, 3)
	e.must(err)
	acknowledged := func() time.Time {
		c, err := e.ks.Clock(e.ctx)
		e.must(err)
		return c.Acknowledged
	}
	before := acknowledged()
	e.later(time.Minute)
	swept, err := e.ks.SweepBefore(e.ctx)
	e.must(err)
	if !swept.Empty() || !acknowledged().Equal(before) {
		e.Errorf("nothing was due, but the sweep did %+v and acknowledged %v instead of %v", swept, acknowledged(), before)
	}
	_, err = e.ks.Sweep(e.ctx)
	e.must(err)
	if !acknowledged().After(before) {
		e.Error("a sweep does not acknowledge the time")
	}
	e.later(2 * time.Hour)
	swept, err = e.ks.SweepBefore(e.ctx)
	e.must(err)
	if len(swept.Destroyed) != 1 || len(e.blobs("p")) != 0 {
		e.Errorf("swept %+v", swept)
	}
	if spent, err := e.ks.Spent(e.ctx, "t"); err != nil || spent != 0 {
		e.Errorf("the budget of an ended token is kept: %d, %v", spent, err)
	}
}
