package sqlite

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/keys"
)

func TestQuick(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	mkf := filepath.Join(dir, "m k?#%")
	if err := keys.NewMasterKeyFile(mkf); err != nil {
		t.Fatal(err)
	}
	mk, err := keys.LoadMasterKey(ctx, mkf)
	if err != nil {
		t.Fatal(err)
	}
	p := filepath.Join(dir, "k?#% s.db")
	s, err := Create(p)
	if err != nil {
		t.Fatal(err)
	}
	ks, err := keys.New(ctx, s, mk)
	if err != nil {
		t.Fatal(err)
	}
	if err := ks.CreateProject(ctx, keys.Project{Name: "p", Method: "reversible", Policy: "same", Format: "hex", Retention: time.Now().Add(time.Hour)}, nil); err != nil {
		t.Fatal(err)
	}
	g, err := ks.Secrets(ctx, keys.Domain{Prj: "p"})
	if err != nil || len(g) != 1 || g[0].Secret == ([32]byte{}) {
		t.Fatal(g, err)
	}
	if err := ks.Rotate(ctx, "p"); err != nil {
		t.Fatal(err)
	}
	r, err := ks.Sever(ctx, "p")
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ks.ReceiptKey(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.VerifyReceipt(r, pub); err != nil {
		t.Fatal(err)
	}
	if err := ks.Close(); err != nil {
		t.Fatal(err)
	}
}
