package token

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// reading returns how often the store was read for a project or secrets.
func (m *memory) reading() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reads
}

// TestCacheHit checks that the second verification of a token reads nothing from the store and
// gives the same grant, and that a changed byte of the token is refused.
func TestCacheHit(t *testing.T) {
	r := newRig(t)
	raw := []byte(compact(goodHeader, goodClaims().String()))
	ctx := context.Background()
	first, err := r.Verify(ctx, raw, OpsForward)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	r.settle()
	reads := r.store.reading()
	again, err := r.Verify(ctx, raw, OpsForward)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Release()
	if r.store.reading() != reads || r.Stats().Hits != 1 {
		t.Errorf("a cached token was verified in full: %d reads, %+v", r.store.reading()-reads, r.Stats())
	}
	if again.Claims.ID != "0123456789abcdef0123456789abcdef" || forward(again.Plan, "7") != forward(first.Plan, "7") {
		t.Error("the hit returned another grant")
	}
	if got := code(r.try(string(raw), OpsReverse)); got != ForbiddenOperation {
		t.Errorf("a hit on the wrong endpoint: got %q", got)
	}
	for i := range raw {
		changed := append([]byte(nil), raw...)
		changed[i] ^= 1
		if err := r.try(string(changed), OpsForward); err == nil {
			t.Fatalf("byte %d changed: accepted", i)
		}
	}
}

// TestCacheHitChecksDeadlines checks that a hit is compared with the clock, even if the cache
// still holds the entry.
func TestCacheHitChecksDeadlines(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(o object)
		last time.Duration // the last moment at which the token is valid
		want string
	}{
		{"exp", func(o object) { o["exp"] = epoch0.Add(10 * time.Minute).Unix() }, 10*time.Minute + maxSkew, ExpiredToken},
		{"psn.ret", func(o object) { o.psn()["ret"] = epoch0.Add(7 * time.Minute).Unix() }, 7 * time.Minute, RetentionExpired},
		{"project's retention", func(o object) {
			o.psn()["dom"], o.psn()["ret"] = object{"prj": "brief", "org": ""}, epoch0.Add(time.Hour).Unix()
			o["exp"] = epoch0.Add(5 * time.Hour).Unix()
		}, time.Hour, RetentionExpired},
		{"source's retention", func(o object) {
			o.psn()["op"], o.psn()["src"] = "secondary", object{"prj": "brief", "org": ""}
			o["exp"] = epoch0.Add(5 * time.Hour).Unix()
		}, time.Hour, RetentionExpired},
	} {
		r := newRig(t)
		o := goodClaims()
		c.set(o)
		raw := compact(goodHeader, o.String())
		ctx := context.Background()
		held, err := r.Verify(ctx, []byte(raw), OpsForward)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		r.settle()
		r.clock.Advance(c.last - 1)
		if err := r.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		if err := r.try(raw, OpsForward); err != nil {
			t.Errorf("%s, a nanosecond before the end: %v", c.name, err)
		}
		if r.Stats().Hits != 1 {
			t.Errorf("%s: the last valid call was not a hit", c.name)
		}
		if err := held.Spend(ctx, 1); err != nil {
			t.Errorf("%s, a grant held up to the end: %v", c.name, err)
		}
		r.clock.Advance(1)
		if got := code(r.try(raw, OpsForward)); got != c.want {
			t.Errorf("%s, at the end: got %q, want %s", c.name, got, c.want)
		}
		if got := code(held.Spend(ctx, 1)); got != c.want {
			t.Errorf("%s, a grant held over the end: got %q, want %s", c.name, got, c.want)
		}
		held.Release()
	}
}

// TestStoreFailureStopsCachedTokens checks that cached tokens are valid for a second after the
// store breaks, and again once it is repaired.
func TestStoreFailureStopsCachedTokens(t *testing.T) {
	r := newRig(t)
	raw := compact(goodHeader, goodClaims().String())
	ctx := context.Background()
	held, err := r.Verify(ctx, []byte(raw), OpsForward)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	r.settle()
	r.store.breakDown(errBroken)
	if err := r.try(raw, OpsForward); err != nil {
		t.Errorf("right after the store broke: %v", err)
	}
	r.clock.Advance(maxStale)
	err = r.try(raw, OpsForward)
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, errBroken) {
		t.Errorf("a second after: %v", err)
	}
	if err := held.Spend(ctx, 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a grant held meanwhile: %v", err)
	}
	if err := r.Healthy(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("healthy: %v", err)
	}
	if got := code(r.try(raw+"A", OpsForward)); got != InvalidToken {
		t.Errorf("a bad token meanwhile: %q, want %q", got, InvalidToken)
	}
	r.store.breakDown(nil)
	if err := r.try(raw, OpsForward); err != nil {
		t.Errorf("after the repair: %v", err)
	}
	if err := r.Healthy(); err != nil {
		t.Errorf("healthy after the repair: %v", err)
	}
}

// TestStoreThatHangsTimesOut checks that a call to a store that hangs ends with its context or
// after StoreTimeout.
func TestStoreThatHangsTimesOut(t *testing.T) {
	r := newRig(t, func(c *Config) { c.StoreTimeout = time.Second })
	raw := compact(goodHeader, goodClaims().String())
	if err := r.try(raw, OpsForward); err != nil {
		t.Fatal(err)
	}
	r.settle()
	r.store.alter(func() { r.store.hang = true })
	r.clock.Advance(maxStale)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := r.Verify(ctx, []byte(raw), OpsForward); !errors.Is(err, context.Canceled) {
		t.Errorf("a call whose context has ended: %v", err)
	}
	if err := r.try(raw, OpsForward); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "within 1s") {
		t.Errorf("a call that waits: %v", err)
	}
	r.store.alter(func() { r.store.hang = false })
	await(t, "the store's recovery", func() bool { return r.try(raw, OpsForward) == nil })
}

// TestRefusalCache checks that a refusal is repeated without verification for refusalTTL, and
// only while it still holds: for the same endpoint, store and time.
func TestRefusalCache(t *testing.T) {
	r := newRig(t)
	good := compact(goodHeader, goodClaims().String())
	bad := good[:len(good)-4] + "AAAA"
	for range 3 {
		if got := code(r.try(bad, OpsForward)); got != InvalidToken {
			t.Fatalf("got %q, want %q", got, InvalidToken)
		}
	}
	if s := r.Stats(); s.Negative != 2 || s.Misses != 1 || s.Refused != 3 {
		t.Errorf("%+v, want 3 refusals of which 2 from the cache", s)
	}
	// It ends after refusalTTL.
	r.clock.Advance(refusalTTL)
	if err := r.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	_ = r.try(bad, OpsForward)
	if s := r.Stats(); s.Misses != 2 {
		t.Errorf("after %v: %+v, want the token verified again", refusalTTL, s)
	}
	// A refusal because of the project ends with the next change of the store.
	o := goodClaims()
	o.psn()["dom"] = object{"prj": "later", "org": ""}
	raw := compact(goodHeader, o.String())
	if got := code(r.try(raw, OpsForward)); got != UnknownDomain {
		t.Fatalf("got %q, want %q", got, UnknownDomain)
	}
	r.store.add(keys.Project{Name: "later", Method: "reversible", Policy: "same", Form: "pair62", Orgs: []string{""}, Retention: epoch0.AddDate(1, 0, 0)})
	if err := r.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := r.try(raw, OpsForward); err != nil {
		t.Errorf("after the project was created: %v, want a grant", err)
	}
	// A refusal for one endpoint does not apply to the other.
	o.psn()["op"] = "reverse"
	raw = compact(goodHeader, o.String())
	if got := code(r.try(raw, OpsForward)); got != ForbiddenOperation {
		t.Fatalf("got %q", got)
	}
	if err := r.try(raw, OpsReverse); err != nil {
		t.Errorf("at its own endpoint: %v", err)
	}
	// A token that is not valid yet becomes valid.
	o = goodClaims()
	o["nbf"] = r.clock.Now().Add(maxSkew + time.Second).Unix()
	raw = compact(goodHeader, o.String())
	if got := code(r.try(raw, OpsForward)); got != InvalidToken {
		t.Fatalf("got %q", got)
	}
	r.clock.Advance(time.Second)
	if err := r.try(raw, OpsForward); err != nil {
		t.Errorf("a second later: %v", err)
	}
}

// TestRefusalCacheSkipsStoreErrors checks that an error of the store is not cached.
func TestRefusalCacheSkipsStoreErrors(t *testing.T) {
	r := newRig(t)
	raw := compact(goodHeader, goodClaims().String())
	r.store.breakDown(errBroken)
	if err := r.try(raw, OpsForward); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	r.store.breakDown(nil)
	if err := r.try(raw, OpsForward); err != nil {
		t.Errorf("after the repair: %v", err)
	}
}

// TestHashCollision checks that two tokens whose digests share the cache's 64-bit key are not
// confused.
func TestHashCollision(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	raw := []byte(compact(goodHeader, goodClaims().String()))
	g, err := r.Verify(ctx, raw, OpsForward)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Release()
	r.settle()
	other := g.sum
	other[31]++ // same first 64 bits
	if hit, err := r.lookup(&other, r.clock.Now(), nil); hit != nil || err != nil {
		t.Fatalf("the grant of another token: %v, %v", hit, err)
	}
	// The same for refusals.
	r.refusedTokens.put(&g.sum, r.epoch.Load(), OpsAny, r.clock.Now(), invalid("x"))
	if refused := r.refusedTokens.get(&other, r.epoch.Load(), OpsForward, r.clock.Now()); refused != nil {
		t.Error("a token got the refusal of another")
	}
	// One replaces the other under the same key.
	twin := &Grant{Claims: g.Claims, Op: g.Op, v: r.Verifier, sum: other, epoch: g.epoch, deadline: g.deadline}
	twin.refs.Store(1)
	r.store.alter(func() {})
	r.Verifier.addToCache(twin)
	r.settle()
	if hit, _ := r.lookup(&g.sum, r.clock.Now(), nil); hit != nil {
		t.Error("the first token is found although another replaced it")
	}
	twin.Release()
}

// users returns the number of holders of each domain's keys.
func (r *rig) users() map[keys.Domain]int {
	r.ring.mu.Lock()
	defer r.ring.mu.Unlock()
	out := map[keys.Domain]int{}
	for d, k := range r.ring.m {
		out[d] = k.users
	}
	return out
}

// TestKeysLiveAsLongAsTheirUsers checks that tokens of a domain share its keys, which are
// wiped with the last holder.
func TestKeysLiveAsLongAsTheirUsers(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	clinic := keys.Domain{Prj: "study", Org: "clinic"}
	var grants []*Grant
	for i := range 3 {
		o := goodClaims()
		o["jti"] = fmt.Sprint("t", i)
		g, err := r.Verify(ctx, []byte(compact(goodHeader, o.String())), OpsForward)
		if err != nil {
			t.Fatal(err)
		}
		grants = append(grants, g)
	}
	r.settle()
	if got := r.users()[clinic]; got != 3 {
		t.Fatalf("%d users of the domain's keys, want 3", got)
	}
	k := grants[0].held[0]
	if grants[1].held[0] != k || grants[2].held[0] != k {
		t.Fatal("the domain's keys are expanded more than once")
	}
	r.invalidate() // the cache releases its grants
	if got := r.users()[clinic]; got != 3 {
		t.Fatalf("%d users while three grants are held", got)
	}
	want := forward(grants[0].Plan, "42")
	for i, g := range grants {
		if got := forward(g.Plan, "42"); got != want {
			t.Fatalf("grant %d in flight makes %q, want %q", i, got, want)
		}
		g.Release()
	}
	if got := r.users(); len(got) != 0 {
		t.Errorf("keys without users: %v", got)
	}
	if k.users != 0 {
		t.Errorf("%d users left", k.users)
	}
}

// TestEvictionReleasesKeys checks that eviction releases keys, but not those of a grant that
// is held.
func TestEvictionReleasesKeys(t *testing.T) {
	r := newRig(t, func(c *Config) { c.CacheSize = 8 })
	ctx := context.Background()
	held, err := r.Verify(ctx, []byte(compact(goodHeader, goodClaims().String())), OpsForward)
	if err != nil {
		t.Fatal(err)
	}
	want := forward(held.Plan, "42")
	for i := range 400 {
		o := goodClaims()
		o["jti"] = fmt.Sprint("t", i)
		o.psn()["dom"] = object{"prj": "study", "org": []string{"clinic", "lab"}[i%2]}
		raw := compact(goodHeader, o.String())
		for range 1 + i%3 {
			if err := r.try(raw, OpsForward); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.settle()
	if got := forward(held.Plan, "42"); got != want {
		t.Errorf("the grant in flight makes %q, want %q", got, want)
	}
	total := 0
	for _, n := range r.users() {
		total += n
	}
	if total > 8+1 {
		t.Errorf("%d grants hold keys, in a cache of 8 and with one in flight", total)
	}
	held.Release()
	r.Close()
	if got := r.users(); len(got) != 0 {
		t.Errorf("keys in use after Close: %v", got)
	}
	if _, err := r.Verify(ctx, []byte("a.b.c"), OpsForward); !errors.Is(err, ErrClosed) && code(err) != InvalidToken {
		t.Errorf("after Close: %v", err)
	}
}

// TestClosedVerifier checks that every method fails with ErrClosed after Close, and that a held
// grant keeps working until it is released.
func TestClosedVerifier(t *testing.T) {
	r := newRig(t)
	raw := compact(goodHeader, goodClaims().String())
	g, err := r.Verify(context.Background(), []byte(raw), OpsForward)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	r.Close()
	if got := forward(g.Plan, "1"); len(got) != 32 {
		t.Errorf("a grant that outlives its verifier: %q", got)
	}
	g.Release()
	if err := r.try(raw, OpsForward); !errors.Is(err, ErrClosed) {
		t.Errorf("Verify: %v", err)
	}
	if err := r.Sync(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("Sync: %v", err)
	}
	if err := r.Healthy(); !errors.Is(err, ErrClosed) {
		t.Errorf("Healthy: %v", err)
	}
	if got := r.users(); len(got) != 0 {
		t.Errorf("keys in use: %v", got)
	}
}

// TestReleaseTwicePanics checks that releasing a grant twice panics.
func TestReleaseTwicePanics(t *testing.T) {
	r := newRig(t)
	g, err := r.Local(context.Background(), LocalRequest{Project: "study", Org: "lab"})
	if err != nil {
		t.Fatal(err)
	}
	g.Release()
	defer func() {
		if recover() == nil {
			t.Error("a second Release did not panic")
		}
	}()
	g.Release()
}

// TestCacheHitAllocatesNothing checks that a hit allocates nothing besides the cache's own
// buffers.
func TestCacheHitAllocatesNothing(t *testing.T) {
	r, raw, _ := newLiveRig(t)
	ctx := context.Background()
	if err := r.try(string(raw), OpsForward); err != nil {
		t.Fatal(err)
	}
	r.settle()
	hits := r.Stats().Hits
	const runs = 2000
	n := testing.AllocsPerRun(runs, func() {
		g, err := r.Verify(ctx, raw, OpsForward)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Spend(ctx, 100); err != nil {
			t.Fatal(err)
		}
		g.Release()
	})
	if n != 0 {
		t.Errorf("%v allocations for a hit, want none", n)
	}
	if got := r.Stats().Hits - hits; got < runs/2 {
		t.Errorf("only %d of %d calls were hits", got, runs)
	}
}
