package bulk

import (
	"fmt"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/spec"
)

// TestDistinctEstimateNeverExceedsValues checks that the estimate of different values never
// exceeds the number of replaced values, in any format, with faulty values and without.
func TestDistinctEstimateNeverExceedsValues(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	var csv, ndjson strings.Builder
	csv.WriteString("id\n")
	for i := range 400 {
		fmt.Fprintf(&csv, "v%d\n", i)
		fmt.Fprintf(&ndjson, "{\"id\":\"v%d\"}\n", i)
	}
	faultyCSV, faultyJSON := csv.String()+"\x01bad\n", ndjson.String()+"{\"id\":\"\\u0001bad\"}\n"
	array := "[" + strings.ReplaceAll(strings.TrimSpace(ndjson.String()), "\n", ",") + "]"
	clamped := 0
	for range 20 { // the estimate differs from run to run: without the bound, half of them are above
		for _, c := range []struct {
			format Format
			text   string
			faults int64
		}{
			{CSV, csv.String(), 0}, {NDJSON, ndjson.String(), 0}, {JSON, array, 0}, {CSV, faultyCSV, 1}, {NDJSON, faultyJSON, 1},
		} {
			job := Job{Format: c.format, OnError: Null, Columns: []Column{{Name: "id", Plan: p}}}
			_, sum, err := runBytes(t, job, []byte(c.text), true)
			if err != nil || sum.Values != 400 || sum.Errors != c.faults {
				t.Fatalf("format %v: %d values, %d errors, %v", c.format, sum.Values, sum.Errors, err)
			}
			if sum.Distinct > sum.Values || sum.Distinct < 380 {
				t.Errorf("format %v: estimated %d different of %d values, want 380 to all", c.format, sum.Distinct, sum.Values)
			}
			if sum.Distinct == sum.Values {
				clamped++
			}
		}
	}
	if clamped == 0 {
		t.Error("none of 100 estimates reached the number of values: the bound was not tested")
	}
}

// TestJSONColumnLimit checks that the largest number of JSON columns is replaced, and that
// one more is refused with the limit and a remedy.
func TestJSONColumnLimit(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	const most = 256
	job := Job{Format: NDJSON}
	var in, want strings.Builder
	for i := range most {
		job.Columns = append(job.Columns, Column{Name: fmt.Sprintf("c%d", i), Plan: p})
		fmt.Fprintf(&in, `,"c%d":"v%d"`, i, i)
		fmt.Fprintf(&want, `,"c%d":"%s"`, i, transformOne(p, fmt.Sprintf("v%d", i)))
	}
	text := func(b *strings.Builder) string { return "{" + b.String()[1:] + "}\n" }
	out, _, err := runBytes(t, job, []byte(text(&in)), true)
	if err != nil || string(out) != text(&want) {
		t.Fatalf("%d columns: %v", most, err)
	}
	job.Columns = append(job.Columns, Column{Name: "more", Plan: p})
	for _, f := range []Format{NDJSON, JSON} {
		job.Format = f
		_, _, err = runBytes(t, job, []byte(text(&in)), true)
		if err == nil || !strings.Contains(err.Error(), "257 columns of JSON") || !strings.Contains(err.Error(), "up to 256") || !strings.Contains(err.Error(), "second run") {
			t.Errorf("format %v, 257 columns: %v", f, err)
		}
	}
}
