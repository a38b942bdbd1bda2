package token

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// limited returns the grant of a token with the limits lim.
func (r *rig) limited(t testing.TB, jti string, lim object) *Grant {
	t.Helper()
	o := goodClaims()
	o["jti"] = jti
	o.psn()["lim"] = lim
	g, err := r.Verify(context.Background(), []byte(compact(goodHeader, o.String())), OpsForward)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Release)
	return g
}

func retryAfter(err error) time.Duration {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.RetryAfter
	}
	return -1
}

// TestSpendLimitPerRequest checks that a request of more values than psn.lim.req is refused
// with TOO_LARGE.
func TestSpendLimitPerRequest(t *testing.T) {
	r := newRig(t)
	g := r.limited(t, "req", object{"req": 100})
	ctx := context.Background()
	for range 50 {
		if err := g.Spend(ctx, 100); err != nil {
			t.Fatal(err)
		}
	}
	err := g.Spend(ctx, 101)
	if code(err) != TooLarge || retryAfter(err) != 0 || !strings.Contains(fmt.Sprint(err), "the 100 that") {
		t.Errorf("101 values where 100 are allowed: %v, retry after %v", err, retryAfter(err))
	}
}

// TestSpendRateLimit checks the token bucket of psn.lim.rate, its Retry-After, and requests
// larger than the bucket.
func TestSpendRateLimit(t *testing.T) {
	r := newRig(t)
	g := r.limited(t, "rate", object{"rate": 100})
	ctx := context.Background()
	for range 10 {
		if err := g.Spend(ctx, 10); err != nil {
			t.Fatal(err)
		}
	}
	err := g.Spend(ctx, 10)
	if code(err) != QuotaExceeded || retryAfter(err) != 100*time.Millisecond {
		t.Fatalf("the second's worth is spent: %v, retry after %v", err, retryAfter(err))
	}
	r.clock.Advance(retryAfter(err))
	if err := g.Spend(ctx, 10); err != nil {
		t.Errorf("after the wait that was asked for: %v", err)
	}
	// A request of ten seconds' worth passes when the bucket is full, and the next one waits
	// as long.
	r.clock.Advance(900 * time.Millisecond)
	if code(g.Spend(ctx, 1000)) != QuotaExceeded {
		t.Error("a large request passes although the bucket is not full")
	}
	r.clock.Advance(100 * time.Millisecond)
	if err := g.Spend(ctx, 1000); err != nil {
		t.Errorf("a large request and a full bucket: %v", err)
	}
	err = g.Spend(ctx, 1)
	if code(err) != QuotaExceeded || retryAfter(err) != 9010*time.Millisecond {
		t.Errorf("after a large request: %v, retry after %v, want %s after 9.01 s", err, retryAfter(err), QuotaExceeded)
	}
	r.clock.Advance(9010 * time.Millisecond)
	if err := g.Spend(ctx, 1); err != nil {
		t.Errorf("after its time: %v", err)
	}
}

// TestRateBucketOutlivesCacheEntry checks that a token has the same bucket after the cache has
// dropped it, and that idle budgets are removed.
func TestRateBucketOutlivesCacheEntry(t *testing.T) {
	r := newRig(t)
	ctx := context.Background()
	o := goodClaims()
	o.psn()["lim"] = object{"rate": 10}
	raw := []byte(compact(goodHeader, o.String()))
	spend := func() error {
		g, err := r.Verify(ctx, raw, OpsForward)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Release()
		return g.Spend(ctx, 10)
	}
	if err := spend(); err != nil {
		t.Fatal(err)
	}
	r.invalidate()
	r.budgets.sweep(r.Verifier, r.clock.Now())
	if code(spend()) != QuotaExceeded {
		t.Error("a token that the cache dropped has a new, full bucket")
	}
	r.invalidate()
	r.budgets.sweep(r.Verifier, r.clock.Now())
	r.clock.Advance(idleBudgetTTL)
	r.budgets.sweep(r.Verifier, r.clock.Now())
	if n := len(r.budgets.m); n != 0 {
		t.Errorf("%d budgets of idle tokens are kept, want none", n)
	}
}

// TestSpendUpToMax checks that psn.lim.max values and no more can be spent, with few leases.
func TestSpendUpToMax(t *testing.T) {
	r := newRig(t)
	g := r.limited(t, "max", object{"max": 1000})
	ctx := context.Background()
	if left, ok := g.Left(); !ok || left != 1000 {
		t.Errorf("left %d, %v", left, ok)
	}
	for i := range 1000 {
		if err := g.Spend(ctx, 1); err != nil {
			t.Fatalf("value %d of 1000: %v", i+1, err)
		}
	}
	err := g.Spend(ctx, 1)
	if code(err) != QuotaExceeded || retryAfter(err) != 0 {
		t.Errorf("value 1001: %v, retry after %v, want %s and no retry", err, retryAfter(err), QuotaExceeded)
	}
	if r.store.leases > 110 {
		t.Errorf("%d writes for 1000 requests, want 110 at most", r.store.leases)
	}
	leases := r.store.leases
	for range 10 {
		_ = g.Spend(ctx, 1)
	}
	if r.store.leases > leases {
		t.Error("the store is asked again at once for a spent budget")
	}
	if left, ok := g.Left(); !ok || left != 0 {
		t.Errorf("left %d, %v", left, ok)
	}
	if err := g.Spend(ctx, 0); err != nil {
		t.Errorf("spending 0 values of a spent budget: %v, want no error", err)
	}
	// A request that exceeds the budget costs nothing.
	g = r.limited(t, "max2", object{"max": 10})
	if code(g.Spend(ctx, 11)) != QuotaExceeded {
		t.Error("11 values of a budget of 10 were spent")
	}
	if err := g.Spend(ctx, 10); err != nil {
		t.Errorf("10 values of a budget of 10: %v", err)
	}
}

// TestLeasesAreReturned checks that a process leases what it needs and returns the unspent
// part when it stops or the budget is idle. It is one sequence, since each step depends on
// what the processes before have leased.
func TestLeasesAreReturned(t *testing.T) {
	store := newMemory(func() time.Time { return epoch0 })
	ctx := context.Background()
	process := func() (*rig, *Grant) {
		r := newRig(t, func(c *Config) { c.Keystore = store })
		return r, r.limited(t, "leases", object{"max": 10_000})
	}
	// Small runs that are killed have leased their one value and no more.
	for range 100 {
		if _, g := process(); g.Spend(ctx, 1) != nil {
			t.Fatal("a single value could not be spent")
		}
	}
	if got := store.spent["leases"]; got != 100 {
		t.Fatalf("100 runs of one value have spent %d, want 100", got)
	}
	r, g := process()
	for range 150 {
		if err := g.Spend(ctx, 1); err != nil {
			t.Fatal(err)
		}
	}
	if left, ok := g.Left(); !ok || left != 9750 {
		t.Errorf("left %d, %v", left, ok)
	}
	if store.spent["leases"] == 250 {
		t.Error("a long run leases nothing ahead")
	}
	if left, ok, err := g.Unspent(ctx); left != 9750 || !ok || err != nil {
		t.Errorf("unspent %d, %v, %v", left, ok, err)
	}
	r.Close()
	r.Close()
	if got := store.spent["leases"]; got != 250 {
		t.Errorf("the store counts %d values spent after Close, want 250", got)
	}
	if err := g.Spend(ctx, 1); err == nil {
		t.Error("a grant spends after its verifier was closed")
	}
	if got := store.spent["leases"]; got != 250 {
		t.Errorf("the store counts %d values after a grant outlived its verifier, want 250", got)
	}

	// Another process, which found the budget spent, can use what one returns.
	r, g = process()
	if err := g.Spend(ctx, 5000); err != nil {
		t.Fatal(err)
	}
	if err := g.Spend(ctx, 1); err != nil { // leases a hundredth
		t.Fatal(err)
	}
	other, h := process()
	if err := h.Spend(ctx, 4650); err != nil {
		t.Fatal(err)
	}
	if code(h.Spend(ctx, 1)) != QuotaExceeded {
		t.Fatal("more values were spent than the budget has")
	}
	r.Close()
	other.clock.Advance(exhaustedPause)
	if err := h.Spend(ctx, 99); err != nil {
		t.Errorf("spending the returned values: %v", err)
	}
	if code(h.Spend(ctx, 1)) != QuotaExceeded || store.spent["leases"] != 10_000 {
		t.Errorf("the store counts %d values spent, want 10,000", store.spent["leases"])
	}

	// An idle budget returns its lease too.
	r, _ = process()
	g = r.limited(t, "rests", object{"max": 1000})
	for range 3 {
		if err := g.Spend(ctx, 4); err != nil {
			t.Fatal(err)
		}
	}
	if store.spent["rests"] == 12 {
		t.Fatal("nothing is leased ahead")
	}
	r.budgets.close(g.budget)
	r.budgets.sweep(r.Verifier, r.clock.Now())
	r.clock.Advance(idleBudgetTTL)
	r.budgets.sweep(r.Verifier, r.clock.Now())
	if store.spent["rests"] != 12 {
		t.Errorf("the store counts %d values spent, want 12", store.spent["rests"])
	}
}

// TestSpendMaxAcrossProcesses checks that several processes, some of which are killed, never
// spend more than max together.
func TestSpendMaxAcrossProcesses(t *testing.T) {
	store := newMemory(func() time.Time { return epoch0 })
	const most = 5000
	var spent atomic.Int64
	for round := range 3 {
		var wg sync.WaitGroup
		for range 3 {
			r := newRig(t, func(c *Config) { c.Keystore = store })
			g := r.limited(t, "shared", object{"max": most})
			for w := range 2 {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for i := range 200 {
						n := 1 + (i*7+w)%5
						if round == 2 {
							n = 1
						}
						switch err := g.Spend(context.Background(), n); code(err) {
						case "":
							spent.Add(int64(n))
						case QuotaExceeded:
						default:
							t.Errorf("spend: %v", err)
						}
					}
				}()
			}
			// The process is killed here and loses its lease.
		}
		wg.Wait()
	}
	if got := spent.Load(); got > most || got < most/2 {
		t.Errorf("%d values were spent, want at most %d", got, most)
	}
	if store.spent["shared"] > most {
		t.Errorf("%d values were leased, want at most %d", store.spent["shared"], most)
	}
}

// TestSpendWhenTheStoreFails checks that a failed lease refuses the request and costs nothing.
func TestSpendWhenTheStoreFails(t *testing.T) {
	r := newRig(t)
	g := r.limited(t, "max", object{"max": 1000})
	ctx := context.Background()
	r.store.breakDown(errBroken)
	if err := g.Spend(ctx, 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("no lease, and still: %v", err)
	}
	r.store.breakDown(nil)
	for range 1000 {
		if err := g.Spend(ctx, 1); err != nil {
			t.Fatalf("the failed lease has cost values: %v", err)
		}
	}
}

// TestUnansweredLease checks that a request waits no longer than CallTimeout for a store that
// does not answer, that those queued after it do not wait again, and that the token loses no
// value.
func TestUnansweredLease(t *testing.T) {
	r := newRig(t, func(c *Config) { c.CallTimeout = time.Second })
	g := r.limited(t, "frozen", object{"max": 3})
	ctx := context.Background()
	r.store.alter(func() { r.store.frozen = true })
	for range 5 {
		if err := g.Spend(ctx, 1); !errors.Is(err, ErrUnavailable) {
			t.Errorf("no lease, and still: %v", err)
		}
	}
	if n, failures := r.store.leases, r.Stats().LeaseFailures; n != 1 || failures != 1 {
		t.Errorf("the store was asked %d times, with %d failures", n, failures)
	}
	r.store.alter(func() { r.store.frozen = false })
	r.clock.Advance(unreachablePause)
	for range 3 {
		if err := g.Spend(ctx, 1); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBudgetsPerIssuer checks that tokens of two issuers with the same jti have separate
// budgets.
func TestBudgetsPerIssuer(t *testing.T) {
	f := foreignKeys()
	file := writeFile(t, "jwks.json", f.jwks())
	r := newRig(t, func(c *Config) { c.Trusted = []TrustedIssuer{{Name: "https://issuer.example", JWKSFile: file}} })
	ctx := context.Background()
	own := r.limited(t, "same", object{"max": 10})
	o := foreignClaims()
	o["jti"] = "same"
	o.psn()["lim"] = object{"max": 10}
	g, err := r.Verify(ctx, []byte(f.sign("EdDSA", "ed", o)), OpsForward)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Release()
	for i, g := range []*Grant{own, g} {
		if err := g.Spend(ctx, 10); err != nil {
			t.Errorf("issuer %d: %v", i, err)
		}
	}
}

// TestSpendWithoutLimits checks that a token without limits spends any number of values.
func TestSpendWithoutLimits(t *testing.T) {
	r := newRig(t)
	g, err := r.Verify(context.Background(), []byte(compact(goodHeader, goodClaims().String())), OpsForward)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Release()
	if err := g.Spend(context.Background(), 1<<40); err != nil {
		t.Error(err)
	}
	if _, ok := g.Left(); ok {
		t.Error("Left reports a number for a token without max")
	}
}

// batch returns values as the arena and spans of a request.
func batch(values ...string) (arena []byte, spans []uint32) {
	for _, v := range values {
		spans = append(spans, uint32(len(arena)), uint32(len(v)))
		arena = append(arena, v...)
	}
	return arena, spans
}

// TestEnumerationGuard checks which sequences of values raise an alarm, and how often.
func TestEnumerationGuard(t *testing.T) {
	numbers := func(from, n, step int) []string {
		var out []string
		for i := range n {
			out = append(out, strconv.Itoa(from+i*step))
		}
		return out
	}
	shuffled := numbers(5_000_000, 3000, 1)
	for i := range shuffled {
		j := (i * 7919) % len(shuffled)
		shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
	}
	for _, c := range []struct {
		name   string
		values []string
		per    int // values a request
		want   uint64
	}{
		{"one by one", numbers(1_000_000, 1500, 1), 1, 1},
		{"in tens", numbers(1_000_000, 1500, 1), 10, 1},
		{"in one request", numbers(1_000_000, 10_000, 1), 10_000, 1},
		{"in hundreds", numbers(1_000_000, 10_000, 1), 100, 1},
		{"downwards", numbers(9_000_000, 1500, -1), 1, 1},
		{"by hundreds", numbers(1_000_000, 1500, 100), 50, 1},
		{"too short", numbers(1_000_000, 999, 1), 1, 0},
		{"too wide", numbers(1_000_000, 3000, 100_000), 100, 0},
		{"shuffled", shuffled, 100, 0},
		{"the same again and again", numbers(5, 3000, 0), 100, 0},
		{"texts", []string{"a", "b", "c"}, 1, 0},
		{"nothing", nil, 1, 0},
		{"two runs", append(numbers(1000, 2000, 1), numbers(9_000_000, 2000, 1)...), 20, 2},
		{"empty values", []string{"", "", ""}, 3, 0},
	} {
		r := newRig(t)
		g, err := r.Verify(context.Background(), []byte(compact(goodHeader, goodClaims().String())), OpsForward)
		if err != nil {
			t.Fatal(err)
		}
		told := uint64(0)
		for rest := c.values; len(rest) > 0; {
			n := min(c.per, len(rest))
			arena, spans := batch(rest[:n]...)
			if g.Observe(arena, spans) {
				told++
			}
			rest = rest[n:]
		}
		if got := r.Stats().Enumerations; got != c.want || told != c.want {
			t.Errorf("%s: %d alarms counted and %d reported, want %d", c.name, got, told, c.want)
		}
		g.Release()
	}
}

// TestEnumerationGuardAllocatesNothing checks that Observe allocates nothing, and that local
// grants are not observed.
func TestEnumerationGuardAllocatesNothing(t *testing.T) {
	r := newRig(t)
	g, err := r.Local(context.Background(), LocalRequest{Project: "study", Org: "lab"})
	if err != nil {
		t.Fatal(err)
	}
	arena, spans := batch("1", "2", "3")
	if g.Observe(arena, spans) {
		t.Error("the enumeration guard observes the operator's own run")
	}
	g.Release()
	g = r.limited(t, "w", object{"max": 1 << 50, "rate": 1 << 50})
	if err := g.Spend(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(200, func() {
		g.Observe(arena, spans)
		if err := g.Spend(context.Background(), 3); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for Observe, want none", n)
	}
}
