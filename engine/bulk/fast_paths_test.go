package bulk

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/spec"
)

// TestValueOnlyRowsWithOneException checks rows that consist of one value if one result among
// many needs quotes, or one value has no result or is a null marker.
func TestValueOnlyRowsWithOneException(t *testing.T) {
	tag := reversible
	tag.Tag = 64
	fwd, rev := plan(t, spec.Pseudonymise, tag), plan(t, spec.Reverse, tag)
	for _, c := range []struct{ value, written string }{
		{"a,b", `"a,b"`}, {"a\nb", "\"a\nb\""}, {"a\r", "\"a\r\""}, {`a"b`, `"a""b"`}, {"plain", "plain"},
	} {
		var paths fastPaths
		rows := slices.Repeat([]string{transformOne(fwd, "ordinary")}, 500)
		want := slices.Repeat([]string{"ordinary"}, 500)
		rows[300], want[300] = transformOne(fwd, c.value), c.written
		job := Job{NoHeader: true, Columns: []Column{{Number: 1, Plan: rev}}, fastPaths: &paths}
		out, _, err := runBytes(t, job, []byte(strings.Join(rows, "\n")), true)
		if err != nil || string(out) != strings.Join(want, "\n") {
			t.Errorf("%q among others: %v", c.value, err)
		}
		if (paths.slow.Load() == 0) != (c.value == "plain") {
			t.Errorf("%q: %d chunks were written value by value", c.value, paths.slow.Load())
		}
	}
	// A row that is not a pseudonym, and a null marker.
	rows := slices.Repeat([]string{transformOne(fwd, "ordinary")}, 500)
	rows[300] = "none"
	in := []byte(strings.Join(rows, "\n"))
	job := Job{NoHeader: true, Columns: []Column{{Number: 1, Plan: rev}}}
	var e *Error
	if _, _, err := runBytes(t, job, in, true); !errors.As(err, &e) || e.Line != 301 {
		t.Errorf("a row that is not a pseudonym: %v, want an error in line 301", err)
	}
	job.Null = []string{"none"}
	if out, sum, err := runBytes(t, job, in, true); err != nil || sum.Values != 499 || sum.Empty != 1 || bytes.Count(out, []byte("\nnone\n")) != 1 {
		t.Errorf("a placeholder: %d values, %d empty, %v", sum.Values, sum.Empty, err)
	}
	p := plan(t, spec.Pseudonymise, reversible)
	rows = slices.Repeat([]string{"ordinary"}, 500)
	rows[300] = "\x01bad"
	job = Job{NoHeader: true, Columns: []Column{{Number: 1, Plan: p}}}
	if _, _, err := runBytes(t, job, []byte(strings.Join(rows, "\n")), true); !errors.As(err, &e) || e.Line != 301 {
		t.Errorf("a value that cannot be transformed: %v, want an error in line 301", err)
	}
	job = Job{NoHeader: true, Null: []string{"none"}, Columns: []Column{{Number: 2, Plan: p}}}
	if out, _, err := runBytes(t, job, []byte("x,y\nx,none\nx,y\n"), true); err != nil || string(out) != "x,"+transformOne(p, "y")+"\nx,none\nx,"+transformOne(p, "y")+"\n" {
		t.Errorf("a placeholder between others: %v", err)
	}
	// The same with text between the values.
	long := strings.Repeat("v", 200)
	for _, bad := range []string{"\x01bad", "", "\"\"", "\"q\"\"r\""} {
		text := strings.Repeat("x,"+long+"\n", 50) + "x," + bad + "\n" + "x,y\n"
		out, sum, err := runBytes(t, Job{NoHeader: true, OnError: Null, Columns: []Column{{Number: 2, Plan: p}}}, []byte(text), true)
		want := ""
		switch bad {
		case "\x01bad":
		case "", "\"\"":
			want = bad
		default:
			want = `"` + transformOne(p, `q"r`) + `"`
		}
		whole := strings.Repeat("x,"+transformOne(p, long)+"\n", 50) + "x," + want + "\nx," + transformOne(p, "y") + "\n"
		if err != nil || string(out) != whole || sum.Rows != 52 {
			t.Errorf("%q between others: %d rows, %v", bad, sum.Rows, err)
		}
	}
}
