package bulk

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// TestBlankValuesCountAsEmpty checks that values of white space alone become empty if norm
// trims, and count as empty, in every format, with a plan and with a server.
func TestBlankValuesCountAsEmpty(t *testing.T) {
	s := reversible
	s.Norm = suite.Norm{suite.Trim}
	p := plan(t, spec.Pseudonymise, s)
	in := []byte("id,x\n7,a\n  ,b\n,c\n\u3000\t,d\n 7 ,e\n")
	want := "id,x\n" + transformOne(p, "7") + ",a\n,b\n,c\n,d\n" + transformOne(p, "7") + ",e\n"
	served, _ := contractServer(t, p, nil)
	for name, c := range map[string]Column{
		"a plan":   {Name: "id", Plan: p},
		"a server": {Name: "id", Remote: &Remote{URL: served.URL, Token: []byte("secret-token")}},
	} {
		charged := 0
		job := Job{Columns: []Column{c}}
		if c.Plan != nil {
			job.Columns[0].Spend = func(_ context.Context, n int) error { charged += n; return nil }
		}
		got, sum, err := runBytes(t, job, in, false)
		if err != nil || string(got) != want || sum.Values != 2 || sum.Empty != 3 {
			t.Errorf("%s: %q, %+v, %v; want %q", name, got, sum, err, want)
		}
		if c.Plan != nil && charged != 2 {
			t.Errorf("%d values charged, want 2", charged)
		}
	}
	ndjson := []byte("{\"id\":\"7\"}\n{\"id\":\" \\t\"}\n{\"id\":\"\"}\n")
	_, sum, err := runBytes(t, Job{Format: NDJSON, Columns: []Column{{Name: "id", Plan: p}}}, ndjson, false)
	if err != nil || sum.Values != 1 || sum.Empty != 2 {
		t.Errorf("NDJSON: %+v, %v", sum, err)
	}
	dir := t.TempDir()
	from, to := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet")
	writeArrow(t, from, []cell{{id: "7"}, {id: " \u2003"}, {id: ""}})
	sum, err = Run(t.Context(), Job{Inputs: []string{from}, Output: to, Columns: []Column{{Name: "id", Plan: p}}})
	if err != nil || sum.Values != 1 || sum.Empty != 2 {
		t.Errorf("Parquet: %+v, %v", sum, err)
	}
	written, err := os.ReadFile(to)
	if err != nil || bytes.Contains(written, []byte("\u2003")) {
		t.Errorf("Parquet: the white space of a value is still in the output, or %v", err)
	}
}
