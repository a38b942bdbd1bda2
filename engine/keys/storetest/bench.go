package storetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

// BenchProjects is the number of projects of benchmarks: VELONYM_BENCH_PROJECTS, or 1,000.
func BenchProjects(b *testing.B) int {
	b.Helper()
	s := os.Getenv("VELONYM_BENCH_PROJECTS")
	if s == "" {
		return 1000
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		b.Fatalf("VELONYM_BENCH_PROJECTS=%s is no number of projects", s)
	}
	return n
}

// BenchProject returns project i of a benchmark.
func BenchProject(i int) keys.Project {
	return keys.Project{Name: fmt.Sprintf("project.%07d", i), Method: "reversible", Policy: "same", Form: "pair62",
		Retention: time.Now().Add(time.Duration(i+24) * time.Hour), Grace: keys.DefaultGrace}
}

// FillBench creates the first n projects of a benchmark.
func FillBench(b *testing.B, ks *keys.Keystore, n int) {
	b.Helper()
	var all []keys.Project
	for i := range n {
		all = append(all, BenchProject(i))
	}
	for some := range slices.Chunk(all, 10_000) {
		if err := ks.CreateProjects(b.Context(), some); err != nil {
			b.Fatal(err)
		}
	}
}

// Latencies collects the durations of a benchmark's operations.
type Latencies []time.Duration

// Report reports the median and the longest duration.
func (l Latencies) Report(b *testing.B) {
	if len(l) == 0 {
		return
	}
	slices.Sort(l)
	b.ReportMetric(float64(l[len(l)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(l[len(l)-1].Microseconds())/1000, "max-ms")
}

// Bench measures operations on a store with BenchProjects projects.
func Bench(b *testing.B, location Location) {
	ctx := b.Context()
	dir := b.TempDir()
	load := func(name string) *keys.MasterKey {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			if err := keys.NewMasterKeyFile(path); err != nil {
				b.Fatal(err)
			}
		}
		mk, err := keys.LoadMasterKey(ctx, path)
		if err != nil {
			b.Fatal(err)
		}
		return mk
	}
	store, err := location.Create()
	if err != nil {
		b.Fatal(err)
	}
	ks, err := keys.New(ctx, store, load("a.key"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ks.Close() })
	n := BenchProjects(b)
	FillBench(b, ks, n)
	created, severed, rotated, rewraps := n, 0, 0, 0
	for _, op := range []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"create", func(ctx context.Context) error {
			created++
			return ks.CreateProject(ctx, BenchProject(created-1), nil)
		}},
		{"rotate", func(ctx context.Context) error {
			rotated++
			return ks.Rotate(ctx, BenchProject(created-1-rotated%created).Name)
		}},
		{"sever", func(ctx context.Context) error {
			severed++
			_, err := ks.Sever(ctx, BenchProject(severed-1).Name)
			return err
		}},
		{"page", func(ctx context.Context) error {
			_, err := ks.ListProjects(ctx, keys.ProjectFilter{Sort: keys.SortEnd, Limit: 100, After: BenchProject(created / 2).Name})
			return err
		}},
		{"sweep", func(ctx context.Context) error { _, err := ks.Sweep(ctx); return err }},
		{"outlook", func(ctx context.Context) error { _, err := ks.Outlook(ctx); return err }},
		{"rewrap", func(ctx context.Context) error {
			rewraps++
			return ks.Rewrap(ctx, load([]string{"a.key", "b.key"}[rewraps%2]))
		}},
	} {
		b.Run(op.name, func(b *testing.B) {
			var took Latencies
			for b.Loop() {
				start := time.Now()
				if err := op.do(b.Context()); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			took.Report(b)
		})
	}
}
