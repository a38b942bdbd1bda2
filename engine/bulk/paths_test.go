package bulk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/spec"
)

// TestMissingPath checks that a path that no line of the input has is an error that names it,
// before anything is written, and that a path that one line has is not, even if it holds
// null or another type or stands in another chunk.
func TestMissingPath(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	var long strings.Builder
	for i := range 500 {
		fmt.Fprintf(&long, `{"n":%d,"id":"a"}`+"\n", i)
	}
	for _, c := range []struct {
		in      string
		paths   []string
		missing string
	}{
		{long.String(), []string{"ID"}, `"ID"`},
		{long.String(), []string{"id", "m.id", "x"}, `"m.id", nor "x"`},
		{long.String() + `{"x":{"y":null}}`, []string{"id", "x.y"}, ""},
		{`{"x":{"y":[]}}` + "\n" + `{"x":{"y":[null]}}` + "\n" + long.String(), []string{"id", "x.y"}, ""},
		{long.String() + strings.Repeat(`{"x":[{"y":[ ]},{"z":1}]}`+"\n", 50), []string{"id", "x.y"}, ""},
		{long.String() + `{"x":[],"z":{"x":{"y":[]}}}`, []string{"id", "x.y"}, `"x.y"`},
		{`{"a.b":"a"}`, []string{"a.b"}, `"a.b"`},
		{`{"a.b":"a"}`, []string{`a\.b`}, ""},
		{"", []string{"id"}, ""},
		{"\n \n", []string{"id"}, ""},
	} {
		for _, pipe := range []bool{false, true} {
			for _, dry := range []bool{false, true} {
				job := Job{Format: NDJSON, Workers: 2, chunk: 100, DryRun: dry && pipe}
				for _, path := range c.paths {
					job.Columns = append(job.Columns, Column{Name: path, Plan: p})
				}
				got, _, err := runBytes(t, job, []byte(c.in), pipe)
				if c.missing == "" {
					if err != nil {
						t.Errorf("%v in %.40q: %v", c.paths, c.in, err)
					}
					continue
				}
				if err == nil || !strings.Contains(err.Error(), "no line has the path "+c.missing+";") || !strings.Contains(err.Error(), `\.`) {
					t.Errorf("%v in %.40q: %v, want %s", c.paths, c.in, err, c.missing)
				}
				if len(got) != 0 {
					t.Errorf("%v in %.40q: %d bytes written, want none", c.paths, c.in, len(got))
				}
				job.AllowMissing = true
				warned := ""
				job.Warn = func(w error) { warned += w.Error() }
				got, _, err = runBytes(t, job, []byte(c.in), pipe)
				if err != nil || !strings.Contains(warned, c.missing) || len(got) == 0 && !job.DryRun {
					t.Errorf("%v in %.40q, allowed: %d bytes, %v, warned %q, want %q", c.paths, c.in, len(got), err, warned, c.missing)
				}
			}
		}
	}
}

// TestMissingPathInShare checks that a share without a path only warns.
func TestMissingPathInShare(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	in := `{"id":"a"}` + "\n" + strings.Repeat(`{"n":1}`+"\n", 100)
	for part := 1; part <= 2; part++ {
		warned := ""
		job := Job{Format: NDJSON, Columns: []Column{{Name: "id", Plan: p}}, Part: part, Parts: 2, Warn: func(w error) { warned += w.Error() }}
		_, _, err := runBytes(t, job, []byte(in), false)
		if err != nil || (warned != "") != (part == 2) {
			t.Errorf("part %d: %v, warned %q, want a warning of part 2 only", part, err, warned)
		}
	}
	if _, _, err := runBytes(t, Job{Format: NDJSON, Columns: []Column{{Name: "ID", Plan: p}}, Part: 1, Parts: 1}, []byte(in), false); err == nil {
		t.Error("a single share of the whole lacks the path: got no error")
	}
}

// TestMissingPathResumed checks that paths seen before an interruption count after it.
func TestMissingPathResumed(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	for first, fails := range map[string]bool{`{"id":"a"}`: false, `{"n":1}`: true} {
		dir := t.TempDir()
		in := filepath.Join(dir, "in.ndjson")
		if err := os.WriteFile(in, []byte(first+"\n"+strings.Repeat(`{"n":1}`+"\n", 5000)), 0o600); err != nil {
			t.Fatal(err)
		}
		var writes atomic.Int64
		job := Job{Inputs: []string{in}, Output: filepath.Join(dir, "out"), Columns: []Column{{Name: "id", Plan: p}}, Workers: 2, chunk: 500, checkpointEvery: time.Nanosecond}
		job.wrapOut = func(f outFile) outFile {
			return hookedFile{f, func(int) error {
				if writes.Add(1) == 20 {
					return syscall.EIO
				}
				return nil
			}}
		}
		if _, err := Run(t.Context(), job); !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		job.Resume = true
		sum, err := Run(t.Context(), job)
		if (err != nil) != fails || !sum.Resumed {
			t.Errorf("first line %s: %v, %+v, want a resumed run and an error: %t", first, err, sum, fails)
		}
		if left, _ := os.ReadDir(dir); fails && len(left) != 1 {
			t.Errorf("left %v", left)
		}
	}
}

// TestDelayedOutput checks that the delayed bytes are written once all paths were seen, or
// when they exceed the limit.
func TestDelayedOutput(t *testing.T) {
	var out bytes.Buffer
	h := &delayedOutput{w: &out, n: 2}
	var a, b pathSet
	a.add(0)
	b.add(1)
	if err := h.met(a); err != nil {
		t.Fatal(err)
	}
	io.WriteString(h, "one")
	if out.Len() != 0 {
		t.Fatalf("wrote %q before both paths were seen", out.String())
	}
	if err := h.met(b); err != nil || out.String() != "one" {
		t.Fatalf("%v, wrote %q, want one", err, out.String())
	}
	io.WriteString(h, "two")
	if out.String() != "onetwo" {
		t.Fatalf("wrote %q, want onetwo", out.String())
	}
	out.Reset()
	h = &delayedOutput{w: &out, n: 1}
	h.Write(make([]byte, delayLimit))
	if out.Len() != 0 {
		t.Fatal("wrote before the limit")
	}
	h.Write([]byte{1})
	if out.Len() != delayLimit+1 {
		t.Fatalf("wrote %d bytes beyond the limit", out.Len())
	}
}
