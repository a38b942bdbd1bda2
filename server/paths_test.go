package server

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestEveryPathGivesTheSameAnswer checks that the answer does not depend on the path that
// a request takes through the code: inline or pooled body, verbatim or escaped results,
// one write or many. It fails unless each path was taken often enough.
func TestEveryPathGivesTheSameAnswer(t *testing.T) {
	simdtest.Alone(t)
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxBody = 8 << 20 })
	r.project("tagged", func(p *keys.Project) { p.Tag = 64 }) // takes any bytes
	of := func(q *token.Request) { q.Project = "tagged" }
	forward, back := r.token("pseudonymise", of), r.token("reverse", of)
	rng := rand.New(rand.NewPCG(1, 2))
	// Values that JSON represents as they are, and texts that it escapes or that are close
	// to such.
	odd := []string{`"`, `\`, "\x1f", "\n", "é", "\u2028", "😀", `a"b`, `\\`, "\x00", "\x7f", `","`, `"}`}
	value := func(odds float64) string {
		v := fmt.Sprint(rng.IntN(1_000_000))
		if rng.Float64() < odds {
			v += odd[rng.IntN(len(odd))]
		}
		return v
	}
	list := func(bytes int, odds float64) (values []string) {
		for size := len(`{"data":[]}`); ; {
			v := value(odds)
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			if size += len(b) + 1; size > bytes && len(values) > 0 {
				return values
			}
			values = append(values, v)
		}
	}
	// texts makes one call in JSON; its results are then compared with the other paths.
	texts := func(tok, path string, values []string, header ...string) (got []string) {
		t.Helper()
		for _, p := range r.post(path, tok, jsonType, jsonOf(values...), header...).data(t) {
			if p == nil {
				t.Fatal("a value is null")
			}
			got = append(got, *p)
		}
		return got
	}
	lines := func(tok, path string, values []string) []string {
		t.Helper()
		a := r.post(path, tok, csvType, strings.Join(values, "\n"), "Accept", csvType)
		if a.status != 200 {
			t.Fatalf("%d: %s", a.status, a.body)
		}
		return strings.Split(string(a.body), "\n")
	}
	equal := func(what string, got, want []string) {
		t.Helper()
		if len(got) != len(want) {
			t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%s: value %d is %q, want %q", what, i, got[i], want[i])
			}
		}
	}
	counts := func() [6]int64 {
		w := &r.srv.paths
		return [6]int64{w.inlineBody.Load(), w.pooledBody.Load(), w.verbatim.Load(), w.rewritten.Load(), w.rawReads.Load(), w.rawWrites.Load()}
	}
	before := counts()
	for _, size := range []int{20, 300, 900, 950, 955, 958, 959, 960, 961, 962, 970, 1000, 1023, 1024, 1025, 1100, 4000, 40_000, 400_000} {
		for _, odds := range []float64{0, 0.02, 1} {
			values := list(size, odds)
			made := texts(forward, forwardPath, values)
			equal("reversed", texts(back, reversePath, made), values)
			for from := 0; from < len(made) && from < 200; {
				to := min(len(made), from+1+rng.IntN(20))
				equal("in small bodies", texts(forward, forwardPath, values[from:to]), made[from:to])
				equal("reversed in small bodies", texts(back, reversePath, made[from:to]), values[from:to])
				from = to
			}
			if odds == 0 {
				equal("as lines", lines(forward, forwardPath, values), made)
				equal("reversed as lines", lines(back, reversePath, made), values)
			}
		}
	}
	names := [6]string{"inline bodies", "pooled bodies", "verbatim chunks", "rewritten chunks", "raw reads", "raw writes"}
	for i, now := range counts() {
		if i >= 4 && runtime.GOOS != "linux" {
			continue // raw calls are implemented for Linux only
		}
		if n := now - before[i]; n < 40 {
			t.Errorf("%s: taken %d times, want at least 40", names[i], n)
		}
	}
}
