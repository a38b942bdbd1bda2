package audit

import (
	"path/filepath"
	"testing"
	"time"
)

var sample = Record{
	Kind: "request", Request: "0190c2f3-5a7e-7c3e-9d50-0123456789ab", JTI: "7d0f2a14c5e94b0b8f6a1f2f1c2d3e4f",
	Project: "register-2026", Org: "hospital", Op: "pseudonymise", Outcome: "OK", Values: 10000, Empty: 12,
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		name     string
		delay    time.Duration
		sync     bool
		parallel int
	}{
		{"written/1", 0, false, 1},
		{"written/16", 0, false, 16},
		{"delayed/1", 100 * time.Millisecond, false, 1},
		{"synced/1", 0, true, 1},
		{"synced/64", 0, true, 64},
	} {
		b.Run(c.name, func(b *testing.B) {
			l, err := Open(filepath.Join(b.TempDir(), "audit.jsonl"), Options{Delay: c.delay})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			r := sample
			r.Sync = c.sync
			b.ReportAllocs()
			b.SetParallelism(c.parallel)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := l.Append(r); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
