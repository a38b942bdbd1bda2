package bulk

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestRepeatedHeader puts headers at random positions in random tables. With any chunks and
// columns such rows pass unchanged and are counted, or the error names the line of the first.
func TestRepeatedHeader(t *testing.T) {
	p, tagged := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Pseudonymise, suite.Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62, Tag: 64})
	back, tback := plan(t, spec.Reverse, reversible), plan(t, spec.Reverse, suite.Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62, Tag: 64})
	values := []string{"1973080520045", "", "x", "town", "pid", "Ünï", `"quo""ted"`, "nope", "tow", "name"}
	repeats, firsts := 0, 0
	rounds := 400
	if simdtest.Race() {
		rounds = 60
	}
	for i := range rounds {
		rng := rand.New(rand.NewPCG(uint64(i), 16))
		names := []string{"pid", "town", "name", "x1"}[:1+rng.IntN(4)]
		end := []string{"\n", "\r\n"}[rng.IntN(2)]
		header := strings.Join(names, ",") + end
		in := header
		rows, repeated, line, first := int64(0), int64(0), 1, 0
		for range rng.IntN(80) {
			line++
			if rng.IntN(8) == 0 {
				in += header
				repeated++
				if first == 0 {
					first = line
				}
				continue
			}
			fields := make([]string, len(names))
			for c := range fields {
				// not the column's own name, which is the header
				for fields[c] = values[rng.IntN(len(values))]; fields[c] == names[c]; {
					fields[c] = values[rng.IntN(len(values))]
				}
			}
			if len(fields) == 1 && (fields[0] == "" || fields[0] == "pid") {
				fields[0] = "y"
			}
			fields[len(fields)-1] = "-" // no row consists of names only
			in += strings.Join(fields, ",") + end
			rows++
		}
		job := Job{Header: true, RepeatedHeader: HeaderPass, Workers: 1 + rng.IntN(3), chunk: 1 + rng.IntN(300), Columns: []Column{{Name: "pid", Plan: p}}}
		undo := []Column{{Name: "pid", Plan: back}}
		if len(names) > 2 && rng.IntN(2) == 0 {
			job.Columns = append(job.Columns, Column{Name: names[len(names)-1], Plan: tagged})
			undo = append(undo, Column{Name: names[len(names)-1], Plan: tback})
		}
		got, sum, err := runBytes(t, job, []byte(in), rng.IntN(2) == 0)
		if err != nil {
			t.Fatalf("round %d: %v\n%q", i, err, in)
		}
		if sum.RepeatedHeaders != repeated || sum.Rows != rows {
			t.Fatalf("round %d: %d repeated headers, want %d; %d rows, want %d\n%q", i, sum.RepeatedHeaders, repeated, sum.Rows, rows, in)
		}
		if n := bytes.Count(got, []byte(header)); n < int(repeated)+1 {
			t.Fatalf("round %d: %d headers in the output, want %d or more", i, n, repeated+1)
		}
		total := ColumnCount{}
		for _, c := range sum.Columns {
			total.add(columnTally{Values: c.Values, Empty: c.Empty, Errors: c.Errors})
		}
		if total.Values != sum.Values || total.Empty != sum.Empty || total.Values+total.Empty != rows*int64(len(job.Columns)) {
			t.Fatalf("round %d: %+v of %+v", i, sum.Columns, sum)
		}
		reversal := job
		reversal.Columns = undo
		undone, _, err := runBytes(t, reversal, got, rng.IntN(2) == 0)
		if err != nil || string(undone) != in {
			t.Fatalf("round %d: reversed: %v\ngot  %q\nwant %q", i, err, undone, in)
		}
		repeats += int(repeated)
		if first > 0 {
			firsts++
			job.RepeatedHeader = HeaderFail
			_, _, err := runBytes(t, job, []byte(in), rng.IntN(2) == 0)
			var e *Error
			if !errors.As(err, &e) || e.Line != int64(first) || !strings.Contains(err.Error(), "the header stands here again") {
				t.Fatalf("round %d: %v, want line %d\n%q", i, err, first, in)
			}
		}
	}
	if repeats < rounds/4 || firsts < rounds/4 {
		t.Fatalf("only %d repeated headers in %d inputs: too few to test them", repeats, firsts)
	}
}

// TestFaultBeforeRepeatedHeaderIsFirstError checks that a value that cannot be transformed is
// the error if it stands before a repeated header.
func TestFaultBeforeRepeatedHeaderIsFirstError(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	_, _, err := runBytes(t, Job{Columns: []Column{{Name: "pid", Plan: p}}}, []byte("pid,n\na,1\n\x01,2\npid,n\nb,3\n"), false)
	var e *Error
	if !errors.As(err, &e) || e.Line != 3 || e.Code != suite.ValueNotText {
		t.Fatal(err)
	}
}

// TestMoreThan256Columns replaces more columns than a byte can number.
func TestMoreThan256Columns(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	const n = 700
	var in, want strings.Builder
	var columns []Column
	for c := range n {
		sep := ","
		if c == n-1 {
			sep = "\n"
		}
		fmt.Fprintf(&in, "c%d%s", c, sep)
		fmt.Fprintf(&want, "c%d%s", c, sep)
		columns = append(columns, Column{Name: fmt.Sprintf("c%d", c), Plan: p})
	}
	for r := range 5 {
		for c := range n {
			sep := ","
			if c == n-1 {
				sep = "\n"
			}
			v := fmt.Sprintf("v%d-%d", r, c)
			in.WriteString(v + sep)
			want.WriteString(transformOne(p, v) + sep)
		}
	}
	for _, pipe := range []bool{false, true} {
		got, sum, err := runBytes(t, Job{Columns: columns}, []byte(in.String()), pipe)
		if err != nil || string(got) != want.String() {
			t.Fatal(err)
		}
		if sum.Values != 5*n || len(sum.Columns) != n || sum.Columns[n-1].Values != 5 {
			t.Fatalf("%d values in %d columns, want 5 in each of %d", sum.Values, len(sum.Columns), n)
		}
	}
}

// TestLoneCRAgainstModel compares the offset of the first CR that ends no line with a model's.
func TestLoneCRAgainstModel(t *testing.T) {
	for i := range 20000 {
		rng := rand.New(rand.NewPCG(uint64(i), 3))
		b := make([]byte, rng.IntN(12))
		for k := range b {
			b[k] = "a\r\r\n\","[rng.IntN(6)]
		}
		want, inside := -1, false
		for k, c := range b {
			inside = inside != (c == '"')
			if c == '\r' && !inside && k+1 < len(b) && b[k+1] != '\n' {
				want = k
				break
			}
		}
		if got := loneCR(b, '"'); got != want {
			t.Fatalf("%q: %d, want %d", b, got, want)
		}
	}
}

// TestLooksLikeData checks which first fields count as similar to the values below.
func TestLooksLikeData(t *testing.T) {
	for _, c := range []struct {
		first string
		below []string
		want  bool
	}{
		{"pid", []string{"100200", "100201"}, false},
		{"100200", []string{"100201"}, true},
		{"99", []string{"100201", "7"}, true},
		{"100200", nil, true},
		{"pid", nil, false},
		{"", []string{""}, false},
		{"AB-12", []string{"CD-17", "EF-1"}, true},
		{"Smith", []string{"Jones", "Meyer"}, true},
		{"family_name", []string{"Jones", "Meyer"}, false},
		{"dEcpcJb2aDa6dWc0bJaxcxcUdIb0aPdw", []string{"bodUa5dPcZaDbdbVcTaac7bedrbFcQd9"}, true},
		{"3f2504e0-4f89-11d3-9a0c-0305e82c3301", []string{"3f2504e0-4f89-11d3-9a0c-0305e82c3302"}, true},
		{"id2", []string{"dEcpcJb2aDa6dWc0bJaxcxcUdIb0aPdw"}, false},
		{"2024", []string{"Jones"}, false},
	} {
		if got := looksLikeData(c.first, c.below); got != c.want {
			t.Errorf("looksLikeData(%q, %q) = %v, want %v", c.first, c.below, got, c.want)
		}
	}
}
