package bulk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/spec"
)

// TestSkipLines checks that skipped lines are copied unchanged and do not affect the rows
// below, in one run and in shares, and that line numbers in errors include them.
func TestSkipLines(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	rows := string(register(500, true))
	run := func(job Job, in string) (string, error) {
		var out bytes.Buffer
		job.Stdin, job.Stdout, job.Columns = strings.NewReader(in), &out, []Column{{Name: "id", Plan: p}}
		_, err := Run(t.Context(), job)
		return out.String(), err
	}
	want, err := run(Job{OnError: Null}, rows)
	if err != nil || want == rows {
		t.Fatalf("without lines to skip: %v", err)
	}
	const title = "Register \"of 2026, \r\n\nid,id\n"
	for _, mark := range []string{"", "\xef\xbb\xbf"} {
		got, err := run(Job{SkipLines: 3, OnError: Null}, mark+title+rows)
		if err != nil || got != mark+title+want {
			t.Errorf("mark %q: %v, %d bytes, want %d", mark, err, len(got), len(mark+title+want))
		}
	}
	in := filepath.Join(t.TempDir(), "in.csv")
	if err := os.WriteFile(in, []byte(title+rows), 0o600); err != nil {
		t.Fatal(err)
	}
	var parts string
	for i := range 3 {
		got, err := run(Job{Inputs: []string{in}, SkipLines: 3, OnError: Null, Part: i + 1, Parts: 3}, "")
		if err != nil {
			t.Fatal(err)
		}
		parts += got
	}
	if parts != title+want {
		t.Errorf("the shares are %d bytes, want %d", len(parts), len(title+want))
	}

	var e *Error
	if _, err := run(Job{SkipLines: 2}, "a\nb\nid,x\nok,1\n\x01,2\n"); !errors.As(err, &e) || e.Line != 5 {
		t.Errorf("a value that fails in line 5: %v", err)
	}
	for text, c := range map[string]struct {
		job Job
		in  string
	}{
		"has 2 lines, and 5 are": {Job{SkipLines: 5}, "a\nb"},
		"this is JSON":           {Job{SkipLines: 1, Format: NDJSON}, "x\n{\"id\":\"1\"}\n"},
		"must not be negative":   {Job{SkipLines: -1}, "id\n1\n"},
	} {
		if out, err := run(c.job, c.in); err == nil || !strings.Contains(err.Error(), text) || out != "" {
			t.Errorf("%v and %d bytes of output, want the error %q and no output", err, len(out), text)
		}
	}
}
