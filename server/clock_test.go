package server

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/token"
)

// TestWrongClockStopsAnswers moves the machine's clock while tokens are in use. No call
// may succeed, not even with a cached token; readiness, metric and log must give the
// reason; and all must recover with the clock.
func TestWrongClockStopsAnswers(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	ctx := context.Background()
	if _, err := r.ks.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	tok := r.token("pseudonymise", func(q *token.Request) { q.Now = q.Now.Add(-30 * time.Minute) })
	r.post(forwardPath, tok, csvType, "a").strings(t)
	for _, off := range []time.Duration{-10 * time.Minute, 40 * 24 * time.Hour, -50 * 365 * 24 * time.Hour} {
		r.now.move(off)
		_ = r.verifier.Sync(ctx)
		r.srv.probe(ctx)
		if a := r.post(forwardPath, tok, csvType, "a"); a.status == 200 || off < 0 && off > -time.Hour && a.status != 503 {
			t.Errorf("clock off by %v: status %d, want a refusal (503 for minutes in the past)", off, a.status)
		}
		if a := r.send("GET", "/readyz", nil); a.status != 503 || !strings.Contains(string(a.body), "KEYSTORE_CLOCK") {
			t.Errorf("clock off by %v: readyz %d %s, want 503 KEYSTORE_CLOCK", off, a.status, a.body)
		}
		if a := r.send("GET", "/metrics", nil); !strings.Contains(string(a.body), "velonym_keystore_clock_refused 1\n") {
			t.Errorf("clock off by %v: velonym_keystore_clock_refused is not 1", off)
		}
		if !strings.Contains(r.log.String(), "KEYSTORE_CLOCK") {
			t.Error("the log does not contain KEYSTORE_CLOCK")
		}
		if _, err := r.ks.Sweep(ctx); err == nil {
			t.Errorf("clock off by %v: Sweep returned no error", off)
		}
		r.now.move(-off)
		if err := r.verifier.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		r.srv.probe(ctx)
		r.post(forwardPath, tok, csvType, "a").strings(t)
		if a := r.send("GET", "/readyz", nil); a.status != 200 {
			t.Errorf("not ready after the clock was set right: %s", a.body)
		}
		if a := r.send("GET", "/metrics", nil); !strings.Contains(string(a.body), "velonym_keystore_clock_refused 0\n") {
			t.Error("velonym_keystore_clock_refused is not 0 after the clock was set right")
		}
	}
}
