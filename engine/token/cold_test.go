package token

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/postgres"
	"github.com/velonym/velonym/engine/keys/postgres/pgtest"
	"github.com/velonym/velonym/engine/keys/sqlite"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.Stop()
	os.Exit(code)
}

// BenchmarkVerifyCold verifies tokens that were not seen before, each of another project,
// on a keystore with as many projects as VELONYM_BENCH_PROJECTS says (default 500). The
// processor time counts all threads of this process, and so does not depend on what else
// the machine does.
func BenchmarkVerifyCold(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) {
		store, err := sqlite.Create(filepath.Join(b.TempDir(), "keys.db"))
		if err != nil {
			b.Fatal(err)
		}
		benchmarkCold(b, store, 1)
	})
	b.Run("postgres", func(b *testing.B) {
		store, err := postgres.Create(b.Context(), pgtest.Database(b, "ENCODING 'UTF8'"))
		if err != nil {
			b.Fatal(err)
		}
		benchmarkCold(b, store, 8) // most of a call's time is that of the server
	})
}

// benchmarkCold verifies on so many goroutines for each processor.
func benchmarkCold(b *testing.B, store keys.Store, parallel int) {
	n := 500
	if s := os.Getenv("VELONYM_BENCH_PROJECTS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	ctx := context.Background()
	key := filepath.Join(b.TempDir(), "master.key")
	if err := keys.NewMasterKeyFile(key); err != nil {
		b.Fatal(err)
	}
	mk, err := keys.LoadMasterKey(ctx, key)
	if err != nil {
		b.Fatal(err)
	}
	ks, err := keys.New(ctx, store, mk)
	if err != nil {
		b.Fatal(err)
	}
	defer ks.Close()
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
	seed, err := ks.IssuerSeed(ctx)
	if err != nil {
		b.Fatal(err)
	}
	issuer, err := NewIssuer(seed, DefaultIssuer, DefaultAudience)
	if err != nil {
		b.Fatal(err)
	}
	v, err := NewVerifier(Config{Keystore: ks, Issuer: issuer, CacheSize: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer v.Close()
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
	var next atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(parallel)
	b.ResetTimer()
	used := cpuTime()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			v.projects.mu.Lock()
			clear(v.projects.m)
			v.projects.mu.Unlock()
			g, err := v.Verify(ctx, raws[int(next.Add(1))%len(raws)], OpsForward)
			if err != nil {
				b.Error(err)
				return
			}
			g.Release()
		}
	})
	used = cpuTime() - used
	done := float64(next.Load())
	b.ReportMetric(done/b.Elapsed().Seconds(), "tokens/s")
	if used > 0 {
		b.ReportMetric(done/used.Seconds(), "tokens/cpu-s")
	}
	b.ReportMetric(100*float64(v.Stats().Hits)/done, "%hits")
}
