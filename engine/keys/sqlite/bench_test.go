package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/keys/storetest"
)

// BenchmarkKeystore measures the operations of a server: reading the change counter, loading a
// domain's secrets, leasing a part of a budget.
func BenchmarkKeystore(b *testing.B) {
	ctx := b.Context()
	dir := b.TempDir()
	if err := keys.NewMasterKeyFile(filepath.Join(dir, "master.key")); err != nil {
		b.Fatal(err)
	}
	mk, err := keys.LoadMasterKey(ctx, filepath.Join(dir, "master.key"))
	if err != nil {
		b.Fatal(err)
	}
	s, err := Create(filepath.Join(dir, "keystore.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ks, err := keys.New(ctx, s, mk)
	if err != nil {
		b.Fatal(err)
	}
	if err := ks.CreateProject(ctx, keys.Project{Name: "p", Method: "reversible", Policy: "same", Form: "hex", Retention: time.Now().Add(time.Hour)}, nil); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		f    func() error
	}{
		{"change", func() error { _, err := ks.Change(ctx); return err }},
		{"secrets", func() error { _, err := ks.Secrets(ctx, keys.Domain{Prj: "p"}); return err }},
		{"lease", func() error { _, err := ks.Lease(ctx, "j", 1<<60, 1); return err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStore measures a keystore with many projects: see [storetest.Bench].
func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, location{filepath.Join(b.TempDir(), "keystore.db")})
}
