package bulk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/velonym/velonym/engine/spec"
)

// TestBeforeNaming checks that BeforeNaming is called when everything is written, and that no
// output gets its name if it returns an error.
func TestBeforeNaming(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	if err := os.WriteFile(in, []byte("id\na\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("no record")
	var seen Summary
	for _, refusal := range []error{refused, nil} {
		_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: out, Columns: []Column{{Name: "id", Plan: p}},
			BeforeNaming: func(sum Summary) error {
				seen = sum
				if _, err := os.Lstat(out); err == nil {
					t.Error("the output has its name already")
				}
				return refusal
			}})
		if !errors.Is(err, refusal) {
			t.Fatalf("%v, want %v", err, refusal)
		}
		if seen.Values != 2 {
			t.Errorf("BeforeNaming was called with a summary of %d values, want 2", seen.Values)
		}
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: 1, false: 2}[refusal != nil]; len(list) != want {
			t.Errorf("after %v the folder has %v", refusal, list)
		}
	}
}
