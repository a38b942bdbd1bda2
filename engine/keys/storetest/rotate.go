package storetest

import (
	"slices"
	"strings"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// testRotateEvery lets sweeps replace generations until none is left.
func testRotateEvery(e *env) {
	const every = 90 * 24 * time.Hour
	p := e.project("p", "a", "b")
	p.Retention = e.now().Add(5 * 365 * 24 * time.Hour)
	e.must(e.ks.CreateProject(e.ctx, p, nil))
	for _, wrong := range []time.Duration{-1, time.Minute, every + 1, 100 * 366 * 24 * time.Hour} {
		_, err := e.ks.RotateEvery(e.ctx, "p", wrong)
		e.is(err, keys.ErrInvalid)
	}
	_, err := e.ks.RotateEvery(e.ctx, "none", every)
	e.is(err, keys.ErrNotFound)
	next, err := e.ks.RotateEvery(e.ctx, "p", every)
	e.must(err)
	got, err := e.second().Project(e.ctx, "p")
	e.must(err)
	if got.RotateEvery != every || !got.RotateAt.Equal(next) || !next.Equal(got.Created.Add(every)) {
		e.Fatalf("next on %v, stored %+v", next, got)
	}
	sweep := func() keys.Swept {
		e.Helper()
		var all keys.Swept
		for _, ks := range []*keys.Keystore{e.ks, e.second()} {
			swept, err := ks.Sweep(e.ctx)
			e.must(err)
			all.Rotated = append(all.Rotated, swept.Rotated...)
			all.Spent = append(all.Spent, swept.Spent...)
		}
		return all
	}
	pass := func(d time.Duration) { // in steps shorter than keys.ClockJump
		for ; d > 30*24*time.Hour; d -= 30 * 24 * time.Hour {
			e.later(30 * 24 * time.Hour)
			sweep()
		}
		e.later(d)
	}
	pass(every - time.Hour)
	if s := sweep(); !s.Empty() {
		e.Fatalf("swept too early: %+v", s)
	}
	e.set(2 * time.Hour) // a jump of the clock rotates nothing
	if s := sweep(); !s.Empty() {
		e.Fatalf("swept by a clock that jumped: %+v", s)
	}
	e.right()
	for n := 1; n < keys.MaxGenerations; n++ {
		pass(2 * time.Hour)
		if s := sweep(); !slices.Equal(s.Rotated, []string{"p"}) || len(s.Spent) != 0 {
			e.Fatalf("generation %d: swept %+v", n, s)
		}
		if g := e.secrets(e.ks, "p", "b"); len(g) != n+1 || g[n].State != keys.Active || g[n-1].State != keys.Deactivated {
			e.Fatalf("%d generations", len(g))
		}
		pass(every - time.Hour)
	}
	pass(2 * time.Hour)
	if s := sweep(); !slices.Equal(s.Spent, []string{"p"}) || len(s.Rotated) != 0 {
		e.Fatalf("after the last: swept %+v", s)
	}
	if s := sweep(); !s.Empty() {
		e.Fatalf("a second sweep reported the same again: %+v", s)
	}
	_, err = e.ks.RotateEvery(e.ctx, "p", every)
	e.is(err, keys.ErrTooManyGenerations)
	err = e.ks.Rotate(e.ctx, "p")
	e.is(err, keys.ErrTooManyGenerations)
	for _, way := range []string{"successor", "secondary", "source is p"} {
		if !strings.Contains(err.Error(), way) {
			e.Errorf("the error does not name the remedy %q: %v", way, err)
		}
	}
	_, err = e.ks.RotateEvery(e.ctx, "p", 0)
	e.must(err)
	if got, err = e.ks.Project(e.ctx, "p"); err != nil || got.RotateEvery != 0 || !got.RotateAt.IsZero() {
		e.Errorf("turned off: %+v, %v", got, err)
	}
	e.secrets(e.ks, "p", "a")
}

// testDestroyGeneration destroys one generation and keeps the others.
func testDestroyGeneration(e *env) {
	e.create("p", "a", "b")
	e.must(e.ks.Rotate(e.ctx, "p"))
	e.must(e.ks.Rotate(e.ctx, "p"))
	for gen, want := range map[int]error{2: keys.ErrInvalid, 3: keys.ErrNotFound, -1: keys.ErrNotFound} {
		_, err := e.ks.DestroyGeneration(e.ctx, "p", gen)
		e.is(err, want)
	}
	_, err := e.ks.DestroyGeneration(e.ctx, "none", 0)
	e.is(err, keys.ErrNotFound)
	all := e.blobs("p") // sorted by organisation, then by number
	doomed, living := [][]byte{all[1], all[4]}, [][]byte{all[0], all[2], all[3], all[5]}
	before := e.change()
	r, err := e.ks.DestroyGeneration(e.ctx, "p", 1)
	e.must(err)
	if e.change() == before {
		e.Error("the change counter was not raised")
	}
	pub, err := e.ks.ReceiptKey(e.ctx)
	e.must(err)
	e.must(keys.VerifyReceipt(r, pub))
	if r.Reason != keys.ReasonGeneration || len(r.Orgs) != 2 || len(r.Orgs[1].Generations) != 1 || r.Orgs[1].Generations[0].Gen != 1 {
		e.Errorf("receipt %+v", r)
	}
	if any, _ := e.onDisk(doomed...); any {
		e.Error("the wrapped secret is still on disk")
	}
	if _, all := e.onDisk(living...); !all {
		e.Error("the secret of a living generation is gone")
	}
	for _, ks := range []*keys.Keystore{e.ks, e.second()} {
		g := e.secrets(ks, "p", "b")
		if len(g) != 2 || g[0].Gen != 0 || g[1].Gen != 2 || g[1].State != keys.Active {
			e.Errorf("%d generations live", len(g))
		}
		_, err := ks.DestroyGeneration(e.ctx, "p", 1)
		e.is(err, keys.ErrNotFound)
		e.must(ks.Verify(e.ctx))
	}
	// The generation has its own receipt, and no number is reused.
	e.must(e.ks.Rotate(e.ctx, "p"))
	last, err := e.ks.Sever(e.ctx, "p")
	e.must(err)
	if g := last.Orgs[0].Generations; len(g) != 3 || g[0].Gen != 0 || g[1].Gen != 2 || g[2].Gen != 3 {
		e.Errorf("receipt %+v", last)
	}
	_, err = e.ks.DestroyGeneration(e.ctx, "p", 0)
	e.is(err, keys.ErrSevered)
}
