package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

func testRevoke(e *env) {
	now := e.now()
	follower := e.second()
	last, err := follower.Revoked(e.ctx, nil)
	e.must(err)
	odd := "jti with \x00, \xff, ' and \u00e9"
	e.must(e.ks.Revoke(e.ctx, "short", now.Add(time.Minute)))
	e.must(e.ks.Revoke(e.ctx, "long", now.Add(time.Hour)))
	e.must(e.ks.Revoke(e.ctx, "long", now.Add(time.Minute))) // the later expiry is kept
	e.must(e.ks.Revoke(e.ctx, odd, time.Time{}))
	for _, jti := range []string{"", strings.Repeat("x", 1025)} {
		e.is(e.ks.Revoke(e.ctx, jti, now), keys.ErrInvalid)
	}
	expect := func(want ...string) {
		e.Helper()
		got, err := e.second().Revoked(e.ctx, nil)
		e.must(err)
		later, err := follower.Revoked(e.ctx, last)
		e.must(err)
		last = later
		for who, got := range map[string]*keys.Revoked{"at once": got, "by difference": later} {
			for _, jti := range want {
				if !got.Has(jti) {
					e.Errorf("%s: %q is not revoked", who, jti)
				}
			}
			if got.Len() != len(want) || got.Has("another") {
				e.Errorf("%s: %d are revoked, want %d", who, got.Len(), len(want))
			}
		}
	}
	expect("short", "long", odd)
	sweep := func(at time.Time) {
		e.Helper()
		e.later(at.Sub(e.now()))
		_, err := e.ks.AcceptClock(e.ctx)
		e.must(err)
		_, err = e.ks.Sweep(e.ctx)
		e.must(err)
	}
	sweep(now.Add(2 * time.Minute)) // expired, but within the tolerance for clocks
	expect("short", "long", odd)
	sweep(now.Add(30 * time.Minute))
	expect("long", odd)
	sweep(now.Add(100 * 365 * 24 * time.Hour))
	expect(odd)
}

func (e *env) lease(ks *keys.Keystore, jti string, max, want, granted int64) {
	e.Helper()
	got, err := ks.Lease(e.ctx, jti, max, want)
	e.must(err)
	if got != granted {
		e.Fatalf("granted %d of %d, want %d", got, want, granted)
	}
}

func testLease(e *env) {
	other := e.second()
	e.lease(e.ks, "a", 100, 30, 30)
	e.lease(other, "a", 100, 60, 60)
	e.lease(e.ks, "a", 100, 30, 10)
	e.lease(other, "a", 100, 1, 0)
	e.lease(e.ks, "b", 100, 1000, 100)
	e.lease(e.ks, "c", 0, 1, 0)
	e.lease(e.ks, "a", 50, 1, 0) // a smaller maximum returns nothing
	// Any process may return unused values.
	e.must(other.Return(e.ctx, "a", time.Time{}, 15))
	granted, rest, err := e.ks.LeaseUntil(e.ctx, "a", time.Time{}, 100, 10)
	e.must(err)
	if granted != 10 || rest != 5 {
		e.Errorf("granted %d, rest %d", granted, rest)
	}
	e.lease(e.ks, "a", 100, 10, 5)
	e.is(e.ks.Return(e.ctx, "a", time.Time{}, 101), keys.ErrInvalid)
	e.is(e.ks.Return(e.ctx, "a", time.Time{}, -1), keys.ErrInvalid)
	e.must(e.ks.Return(e.ctx, "nobody's", time.Time{}, 1))
	e.lease(e.ks, "nobody's", 1, 5, 1)
	const most = 1<<63 - 1
	e.lease(e.ks, "d", most, most, most)
	e.lease(e.ks, "d", most, most, 0)
	for _, bad := range []struct {
		jti       string
		max, want int64
	}{{"", 1, 1}, {"x", -1, 1}, {"x", 1, 0}, {"x", 1, -5}} {
		_, err := e.ks.Lease(e.ctx, bad.jti, bad.max, bad.want)
		e.is(err, keys.ErrInvalid)
	}
	// Budgets of expired tokens are dropped after a while, others never.
	now := e.now()
	_, _, err = e.ks.LeaseUntil(e.ctx, "ended", now, 5, 5)
	e.must(err)
	e.later(time.Minute)
	_, err = e.ks.Sweep(e.ctx)
	e.must(err)
	e.lease(e.ks, "ended", 5, 1, 0)
	_, _, err = e.ks.LeaseUntil(e.ctx, "ended2", now, 5, 5)
	e.must(err)
	e.later(time.Hour)
	_, err = e.ks.Sweep(e.ctx)
	e.must(err)
	e.lease(e.ks, "ended2", 5, 5, 5)
	e.lease(e.ks, "a", 100, 1, 0)
}

func testLeaseConcurrent(e *env) {
	handles := []*keys.Keystore{e.ks, e.second(), e.second()}
	const whole = 1000
	var wg sync.WaitGroup
	var mu sync.Mutex
	var total int64
	for i := range 9 {
		wg.Go(func() {
			for {
				n, err := handles[i%3].Lease(e.ctx, "j", whole, 7)
				if err != nil {
					e.Error(err)
					return
				}
				if n == 0 {
					return
				}
				mu.Lock()
				total += n
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if total != whole {
		e.Errorf("granted %d of %d", total, whole)
	}
}

func testConcurrent(e *env) {
	handles := []*keys.Keystore{e.ks, e.second()}
	e.create("shared", "x")
	var wg sync.WaitGroup
	for i := range 4 {
		ks := handles[i%2]
		wg.Go(func() {
			name := fmt.Sprintf("own %d", i)
			if err := ks.CreateProject(e.ctx, e.project(name), nil); err != nil {
				e.Error(err)
				return
			}
			for n := range 2 {
				if err := ks.Rotate(e.ctx, "shared"); err != nil {
					e.Error(err)
				}
				if err := ks.Revoke(e.ctx, fmt.Sprintf("%d %d", i, n), time.Time{}); err != nil {
					e.Error(err)
				}
				g, err := ks.Secrets(e.ctx, keys.Domain{Prj: "shared", Org: "x"})
				if err != nil || len(g) == 0 || g[len(g)-1].State != keys.Active || g[len(g)-1].Gen != len(g)-1 {
					e.Errorf("%d generations, error %v", len(g), err)
				}
			}
			if _, err := ks.Sever(e.ctx, name); err != nil && !errors.Is(err, keys.ErrTraces) {
				e.Error(err)
			}
		})
	}
	wg.Wait()
	if g := e.secrets(e.ks, "shared", "x"); len(g) != 9 {
		e.Errorf("%d generations, want 9", len(g))
	}
	rs, err := e.ks.Receipts(e.ctx, "")
	e.must(err)
	if len(rs) != 4 {
		e.Errorf("%d receipts, want 4", len(rs))
	}
}
