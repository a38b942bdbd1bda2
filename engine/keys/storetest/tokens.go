package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// testRevokeRules revokes by project, by issuer and by time.
func testRevokeRules(e *env) {
	other := e.second()
	last, err := other.Revoked(e.ctx, nil)
	e.must(err)
	rule := func(issuer, project string, before time.Time) time.Time {
		e.Helper()
		before, err := e.ks.RevokeBefore(e.ctx, keys.RevocationRule{Issuer: issuer, Project: project, Before: before})
		e.must(err)
		return before
	}
	covers := func(want bool, issuer string, issued time.Time, projects ...string) {
		e.Helper()
		fresh, err := e.second().Revoked(e.ctx, nil)
		e.must(err)
		last, err = other.Revoked(e.ctx, last)
		e.must(err)
		if a, b := fresh.Covers(issuer, issued, projects...), last.Covers(issuer, issued, projects...); a != want || b != want {
			e.Errorf("%s %v %v: read at once %v, by difference %v, want %v", issuer, issued, projects, a, b, want)
		}
	}
	now := e.now().UTC().Truncate(time.Second)
	covers(false, "i", now, "p")
	until := rule("", "p", time.Time{})
	if until.Before(now.Add(time.Second)) || until.After(now.Add(5*time.Second)) {
		e.Errorf("now is %v at %v", until, now)
	}
	covers(true, "i", now, "p")
	covers(true, "j", now, "q", "p") // p as the source
	covers(false, "i", now, "q")
	covers(false, "i", until, "p")
	rule("i", "", now.Add(-time.Hour))
	covers(true, "i", now.Add(-2*time.Hour), "q")
	covers(false, "i", now.Add(-time.Hour), "q")
	covers(false, "j", now.Add(-2*time.Hour), "q")
	// The time of a rule never goes back, and RevokeBefore returns the one in force.
	if got := rule("", "p", now.Add(-time.Hour)); !got.Equal(until) {
		e.Errorf("a rule was set back to %v", got)
	}
	covers(true, "i", now, "p")
	rule("", "p", until.Add(time.Hour))
	covers(true, "i", until, "p")
	from, err := e.ks.IssuableFrom(e.ctx, "i", "q", "p")
	e.must(err)
	if !from.Equal(until.Add(time.Hour)) {
		e.Errorf("issuable from %v", from)
	}
	_, err = e.ks.RevokeBefore(e.ctx, keys.RevocationRule{Project: "\n"})
	e.is(err, keys.ErrInvalid)

	for what, statements := range map[string]string{
		"gone":         "DELETE FROM @revocation_rule WHERE issuer = 'i'",
		"brought back": "UPDATE @revocation_rule SET before = before - 3600000000 WHERE issuer = ''",
		"another's":    "UPDATE @revocation_rule SET prj = 'r' WHERE prj = 'p'",
	} {
		e.Run(what, func(t *testing.T) {
			e := newEnv(t, e.again(t))
			for _, r := range []keys.RevocationRule{{Issuer: "i", Before: now}, {Project: "p"}} {
				_, err := e.ks.RevokeBefore(e.ctx, r)
				e.must(err)
			}
			e.must(e.location.Execute(statements))
			_, err := e.second().Revoked(e.ctx, nil)
			e.is(err, keys.ErrTampered)
		})
	}
}

// testRevokedSince follows a store by differences while tokens are revoked, revoked again
// with a later end, and dropped.
func testRevokedSince(e *env) {
	other := e.second()
	last, err := other.Revoked(e.ctx, nil)
	e.must(err)
	name := func(i int) string { return fmt.Sprintf("token %d", i) }
	const n = 6000 // more than the recent list holds, and more than one transaction drops
	now := e.now()
	for part := range 6 {
		list := make([]keys.Revocation, n/6)
		for i := range list {
			list[i] = keys.Revocation{JTI: name(part*n/6 + i), Expires: now.Add(time.Duration(1+i%2) * time.Hour)}
		}
		e.must(e.ks.RevokeTokens(e.ctx, list...))
		if last, err = other.Revoked(e.ctx, last); err != nil || last.Len() != (part+1)*n/6 {
			e.Fatalf("part %d: %d, %v", part, last.Len(), err)
		}
	}
	e.must(e.ks.RevokeTokens(e.ctx, keys.Revocation{JTI: name(0), Expires: now.Add(24 * time.Hour)}, keys.Revocation{JTI: name(1)}))
	before, err := other.Revoked(e.ctx, last)
	e.must(err)
	expect := func(r *keys.Revoked, want int) {
		e.Helper()
		if r.Len() != want {
			e.Errorf("%d are revoked, want %d", r.Len(), want)
		}
		for i := range 20 {
			long := i == 0 || i == 1 || want == n || i%2 == 1 && want > 2
			if r.Has(name(i)) != long {
				e.Errorf("%s: revoked %v with %d left", name(i), !long, want)
			}
		}
	}
	expect(before, n)
	for _, step := range []struct {
		later time.Duration
		left  int
	}{{90 * time.Minute, n/2 + 1}, {time.Hour, 2}} {
		e.later(step.later)
		_, err = e.ks.Sweep(e.ctx)
		e.must(err)
		after, err := other.Revoked(e.ctx, before)
		e.must(err)
		expect(after, step.left)
		expect(before, n) // an earlier set does not change
		fresh, err := e.second().Revoked(e.ctx, nil)
		e.must(err)
		expect(fresh, step.left)
	}
}

// testDropMany drops more records of ended tokens than one transaction deletes.
func testDropMany(e *env) {
	const n = 600
	now := e.now().UTC().Truncate(time.Second)
	name := func(i int) string { return fmt.Sprintf("token %d", i) }
	for i := range n {
		end := now.Add(time.Hour)
		if i == 0 {
			end = now.Add(24 * time.Hour)
		}
		e.must(e.ks.RecordToken(e.ctx, keys.IssuedToken{JTI: name(i), Issuer: "i", KeyID: "k", Op: "forward", Project: "p", Issued: now, Expires: end}))
		granted, _, err := e.ks.LeaseUntil(e.ctx, name(i), end, 10, 10)
		if e.must(err); granted != 10 {
			e.Fatalf("%s: %d granted", name(i), granted)
		}
	}
	e.later(2 * time.Hour)
	_, err := e.ks.Sweep(e.ctx)
	e.must(err)
	for i := range n {
		if _, err := e.ks.IssuedToken(e.ctx, name(i)); (err == nil) != (i == 0) {
			e.Errorf("%s is listed: %v", name(i), err)
		}
	}
	for _, i := range []int{0, 1, n - 1} {
		granted, _, err := e.ks.LeaseUntil(e.ctx, name(i), now.Add(3*time.Hour), 10, 10)
		if e.must(err); (granted == 0) != (i == 0) {
			e.Errorf("%s: %d granted of a budget that was spent", name(i), granted)
		}
	}
}

// testIssued lists issued tokens.
func testIssued(e *env) {
	now := e.now().UTC().Truncate(time.Second)
	add := func(jti, project string, change func(*keys.IssuedToken)) {
		e.Helper()
		t := keys.IssuedToken{JTI: jti, Issuer: "i", KeyID: "k", Op: "reverse", Project: project, Org: "o", Issued: now, Expires: now.Add(time.Hour)}
		if change != nil {
			change(&t)
		}
		e.must(e.ks.RecordToken(e.ctx, t))
	}
	add("a", "p", func(t *keys.IssuedToken) { t.Max = 100 })
	add("b", "q", func(t *keys.IssuedToken) { t.Op, t.Source, t.SourceOrg = "secondary", "p", "s" })
	add("c", "r", func(t *keys.IssuedToken) { t.Expires = now.Add(time.Minute) })
	add("\x00'\xff", "r", nil)
	e.is(e.ks.RecordToken(e.ctx, keys.IssuedToken{JTI: "a"}), keys.ErrExists)
	e.is(e.ks.RecordToken(e.ctx, keys.IssuedToken{}), keys.ErrInvalid)
	other := e.second()
	expect := func(f keys.TokenFilter, want ...string) []keys.TokenStatus {
		e.Helper()
		list, err := other.IssuedTokens(e.ctx, f)
		e.must(err)
		var got []string
		for _, t := range list {
			got = append(got, t.JTI)
		}
		if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			e.Errorf("%+v: %q, want %q", f, got, want)
		}
		return list
	}
	expect(keys.TokenFilter{}, "c", "\x00'\xff", "a", "b")
	expect(keys.TokenFilter{Project: "p"}, "a", "b")
	expect(keys.TokenFilter{Op: "secondary"}, "b")
	expect(keys.TokenFilter{Issuer: "j"})
	expect(keys.TokenFilter{After: now.Add(time.Minute)}, "\x00'\xff", "a", "b")
	expect(keys.TokenFilter{Before: now.Add(time.Minute)}, "c")
	expect(keys.TokenFilter{Limit: 2}, "c", "\x00'\xff")

	_, _, err := e.ks.LeaseUntil(e.ctx, "a", now.Add(time.Hour), 100, 30)
	e.must(err)
	e.must(e.ks.Revoke(e.ctx, "c", now.Add(time.Minute)))
	_, err = e.ks.RevokeBefore(e.ctx, keys.RevocationRule{Project: "p"})
	e.must(err)
	for _, t := range expect(keys.TokenFilter{}, "c", "\x00'\xff", "a", "b") {
		if wantSpent := map[string]int64{"a": 30}[t.JTI]; t.Spent != wantSpent || t.Revoked != (t.Project != "r" || t.JTI == "c") || !t.Issued.Equal(now) {
			e.Errorf("%+v", t)
		}
	}
	one, err := other.IssuedToken(e.ctx, "b")
	e.must(err)
	if one.Source != "p" || one.SourceOrg != "s" || one.Org != "o" || one.KeyID != "k" || !one.Revoked || !one.Expires.Equal(now.Add(time.Hour)) {
		e.Errorf("%+v", one)
	}
	_, err = other.IssuedToken(e.ctx, "nobody")
	e.is(err, keys.ErrNotFound)

	// Tokens are dropped from the list some time after they expire.
	e.later(30 * time.Minute)
	_, err = e.ks.Sweep(e.ctx)
	e.must(err)
	expect(keys.TokenFilter{}, "\x00'\xff", "a", "b")

	// A tampered row is reported and the others are returned.
	e.must(e.location.Execute("UPDATE @issued SET expires = expires + 1 WHERE prj = 'q'"))
	list, err := other.IssuedTokens(e.ctx, keys.TokenFilter{})
	e.is(err, keys.ErrTampered)
	if len(list) != 2 {
		e.Errorf("%d sound rows", len(list))
	}
	_, err = other.IssuedToken(e.ctx, "b")
	e.is(err, keys.ErrTampered)
}
