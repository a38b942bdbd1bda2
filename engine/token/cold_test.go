package token

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// BenchmarkVerifyCold verifies tokens that were not seen before, each of another
// project, on a keystore file with as many projects as VELONYM_BENCH_PROJECTS says
// (default 500). The processor time counts all threads, and so does not depend on what
// else the machine does.
func BenchmarkVerifyCold(b *testing.B) {
	n := 500
	if s := os.Getenv("VELONYM_BENCH_PROJECTS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	dir := b.TempDir()
	ctx := context.Background()
	newKeystore(b, dir)
	ks, v, issuer := process(b, dir, func(c *Config) { c.CacheSize = 1 })
	var projects []keys.Project
	for i := range n {
		projects = append(projects, keys.Project{Name: fmt.Sprint("project ", i), Method: "reversible", Policy: "same", Form: "pair62",
			Retention: time.Now().Add(24 * time.Hour)})
	}
	for some := range slices.Chunk(projects, 10_000) {
		if err := ks.CreateProjects(ctx, some); err != nil {
			b.Fatal(err)
		}
	}
	raws := make([][]byte, min(n, 2000))
	for i := range raws {
		raw, _, err := issuer.Create(ctx, ks, Request{Project: fmt.Sprint("project ", i*(n/len(raws)))})
		if err != nil {
			b.Fatal(err)
		}
		raws[i] = []byte(raw)
	}
	if err := v.Sync(ctx); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i, used := 0, cpuTime()
	for b.Loop() {
		v.projects.mu.Lock()
		clear(v.projects.m)
		v.projects.mu.Unlock()
		g, err := v.Verify(ctx, raws[i%len(raws)], OpsForward)
		if err != nil {
			b.Fatal(err)
		}
		g.Release()
		i++
	}
	b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "tokens/s")
	if used := cpuTime() - used; used > 0 {
		b.ReportMetric(float64(i)/used.Seconds(), "tokens/cpu-s")
	}
	b.ReportMetric(100*float64(v.Stats().Hits)/float64(i), "%hits")
}
