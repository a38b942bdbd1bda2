package bulk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/velonym/velonym/engine/spec"
)

// TestRefusedBudgetLeavesNothing checks that every value that is not empty is charged, and that
// a refused charge ends the run, which leaves nothing.
func TestRefusedBudgetLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	var table []byte
	table = append(table, "id,n\n"...)
	for range 500 {
		table = append(table, "1,\n\"2\",x\n,\n\"\",\n3,\n"...)
	}
	if err := os.WriteFile(in, table, 0o600); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("spent")
	for _, limit := range []int64{1500, 1499} {
		var spent atomic.Int64
		job := Job{Inputs: []string{in}, Output: out, Workers: 2, chunk: 64, Columns: []Column{{
			Name: "id", Plan: plan(t, spec.Pseudonymise, reversible),
			Spend: func(_ context.Context, n int) error {
				if spent.Add(int64(n)) > limit {
					return refused
				}
				return nil
			},
		}}}
		_, err := Run(context.Background(), job)
		if limit == 1500 {
			if err != nil || spent.Load() != 1500 {
				t.Fatalf("spent %d, %v; want 1500", spent.Load(), err)
			}
			if err := os.Remove(out); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if !errors.Is(err, refused) {
			t.Fatalf("error %v, want the refusal", err)
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 1 {
			t.Fatalf("left behind: %v, %v", left, err)
		}
	}
}
