package token

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// BenchmarkBulkRevocation revokes 40,000 tokens at once, or VELONYM_BENCH_REVOCATIONS, and
// reports how long others had to wait meanwhile: for a cached token, for a token that was
// not seen before, and for a lease of a budget. Each round makes as many further
// revocations. Then it reports what the set of all of them costs in memory, and how long
// a process that starts reads it.
func BenchmarkBulkRevocation(b *testing.B) {
	bulk := 40_000
	if s := os.Getenv("VELONYM_BENCH_REVOCATIONS"); s != "" {
		var err error
		if bulk, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	ctx := context.Background()
	newKeystore(b, dir)
	admin, _, _ := process(b, dir)
	ks, v, issuer := process(b, dir)
	if err := ks.CreateProject(ctx, keys.Project{Name: "p", Method: "reversible", Policy: "same", Form: "pair62", Retention: time.Now().Add(24 * time.Hour)}, nil); err != nil {
		b.Fatal(err)
	}
	tokens := make([][]byte, 3000)
	for i := range tokens {
		raw, _, err := issuer.Create(ctx, ks, Request{Project: "p"})
		if err != nil {
			b.Fatal(err)
		}
		tokens[i] = []byte(raw)
	}
	if err := v.Sync(ctx); err != nil {
		b.Fatal(err)
	}
	verify := func(i int) error {
		g, err := v.Verify(ctx, tokens[i], OpsForward)
		if err == nil {
			g.Release()
		}
		return err
	}
	next := 0
	kinds := []struct {
		name string
		do   func(i int) error
	}{
		{"cached", func(int) error { return verify(0) }},
		{"new", func(int) error { next++; return verify(1 + next%(len(tokens)-1)) }},
		{"lease", func(int) error { _, err := ks.Lease(ctx, "j", 1<<40, 1); return err }},
	}
	round := 0
	worst := make([]time.Duration, len(kinds))
	took := time.Duration(0)
	for b.Loop() {
		list := make([]keys.Revocation, bulk)
		for i := range list {
			list[i] = keys.Revocation{JTI: fmt.Sprintf("%032x", round*bulk+i), Expires: time.Now().Add(time.Hour)}
		}
		round++
		var running sync.WaitGroup
		var stop atomic.Bool
		for k, kind := range kinds {
			running.Go(func() {
				for i := 0; !stop.Load(); i++ {
					began := time.Now()
					if err := kind.do(i); err != nil {
						b.Errorf("%s: %v", kind.name, err)
						return
					}
					worst[k] = max(worst[k], time.Since(began))
					time.Sleep(time.Millisecond)
				}
			})
		}
		began := time.Now()
		if err := admin.RevokeTokens(ctx, list...); err != nil {
			b.Fatal(err)
		}
		took += time.Since(began)
		if err := v.Sync(ctx); err != nil {
			b.Fatal(err)
		}
		stop.Store(true)
		running.Wait()
	}
	for k, kind := range kinds {
		b.ReportMetric(float64(worst[k].Microseconds())/1000, "max-ms-"+kind.name)
	}
	b.ReportMetric(float64(took.Milliseconds())/float64(round), "ms-revoke")
	before := heap()
	began := time.Now()
	set, err := ks.Revoked(ctx, nil)
	if err != nil || set.Len() != round*bulk {
		b.Fatalf("%d revocations, %v", set.Len(), err)
	}
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms-read")
	b.ReportMetric(float64(heap()-before)/1e6, "MB-set")
	runtime.KeepAlive(set)
}

// heap returns the bytes of the live heap.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
