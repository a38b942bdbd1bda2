package token

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestConcurrentVerification verifies and spends a few tokens from many goroutines while the
// store changes, and checks that no keys are left in use.
func TestConcurrentVerification(t *testing.T) {
	r := newRig(t, func(c *Config) { c.CacheSize = 4 })
	ctx := context.Background()
	var raws []string
	want := map[string]string{}
	for i := range 8 {
		o := goodClaims()
		o["jti"] = fmt.Sprint("t", i)
		org := []string{"clinic", "lab"}[i%2]
		o.psn()["dom"] = object{"prj": "study", "org": org}
		o.psn()["lim"] = object{"max": 1 << 40, "rate": 1 << 40}
		raws = append(raws, compact(goodHeader, o.String()))
		g, err := r.Verify(ctx, []byte(raws[i]), OpsForward)
		if err != nil {
			t.Fatal(err)
		}
		want[raws[i]] = forward(g.Plan, "42")
		g.Release()
	}
	stop := make(chan struct{})
	var wg, churn sync.WaitGroup
	churn.Add(1)
	go func() {
		defer churn.Done()
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				r.store.alter(func() {})
				_ = r.Sync(ctx)
			}
		}
	}()
	for w := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 300 {
				raw := raws[(i*7+w)%len(raws)]
				g, err := r.Verify(ctx, []byte(raw), OpsForward)
				if err != nil {
					t.Errorf("verify: %v", err)
					return
				}
				if err := g.Spend(ctx, 3); err != nil {
					t.Errorf("spend: %v", err)
				}
				if got := forward(g.Plan, "42"); got != want[raw] {
					t.Errorf("got %q, want %q", got, want[raw])
				}
				g.Observe([]byte("12"), []uint32{0, 1, 1, 1})
				g.Release()
				if i%50 == 0 {
					_ = r.try(raw+"x", OpsForward)
				}
			}
		}()
	}
	wg.Wait()
	close(stop)
	churn.Wait()
	r.Close()
	if got := r.users(); len(got) != 0 {
		t.Errorf("keys in use after the last release: %v, want none", got)
	}
}
