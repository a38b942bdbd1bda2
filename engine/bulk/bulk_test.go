package bulk

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/bulk/internal/hyperloglog"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// plan returns a plan with a fixed key.
func plan(t testing.TB, op spec.Op, s suite.Spec) *suite.Plan {
	t.Helper()
	secret := suite.Secret{Active: true}
	for i := range secret.S {
		secret.S[i] = byte(i * 7)
	}
	k, err := suite.NewKeys("cohort", "", []suite.Secret{secret})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Release()
	s.Gen = -1
	p, err := suite.NewPlan(op, s, k)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

var reversible = suite.Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Pair62}

// transformOne returns the result of a single value, or "!" and the code of its error.
func transformOne(p *suite.Plan, v string) string {
	b := suite.Batch{Src: []byte(v), Spans: []uint32{0, uint32(len(v))}}
	p.Transform(&b)
	if len(b.Bad) > 0 {
		return "!" + b.Bad[0].Code.String()
	}
	return string(b.Dst)
}

// runBytes runs job over in, through pipes or files, and returns the output. It fails the
// test if a run over files leaves others than its input and output.
func runBytes(t testing.TB, job Job, in []byte, pipe bool) ([]byte, Summary, error) {
	t.Helper()
	if job.OnError == Keep && job.Rejects == "" {
		job.Rejects = filepath.Join(t.TempDir(), "rejects")
	}
	if pipe {
		var out bytes.Buffer
		job.Stdin, job.Stdout = bytes.NewReader(in), &out
		sum, err := Run(context.Background(), job)
		return out.Bytes(), sum, err
	}
	dir := t.TempDir()
	name := "in.csv"
	if job.Format == NDJSON {
		name = "in.ndjson"
	}
	path, out := filepath.Join(dir, name), filepath.Join(dir, "out")
	if err := os.WriteFile(path, in, 0o640); err != nil {
		t.Fatal(err)
	}
	job.Inputs, job.Output = []string{path}, out
	if job.wrapOut == nil {
		job.wrapOut = withoutSync
	}
	sum, err := Run(context.Background(), job)
	if err != nil {
		left, _ := os.ReadDir(dir)
		if len(left) != 1 {
			t.Fatalf("a failed run left %v, want only its input", left)
		}
		return nil, sum, err
	}
	b, err2 := os.ReadFile(out)
	if err2 != nil {
		t.Fatal(err2)
	}
	if left, _ := os.ReadDir(dir); len(left) != 2 {
		t.Fatalf("a run left %v, want only its input and output", left)
	}
	return b, sum, err
}

// table is a random CSV file, field by field.
type table struct {
	raw    [][]field // the first is the header
	ends   []string  // line end of each row
	before []string  // empty lines before each row
	bom    string
	comma  byte
}

type field struct {
	value  string
	quoted bool
}

func randomTable(rng *rand.Rand, rows, cols int) *table {
	tb := &table{comma: []byte(",;\t|")[rng.IntN(4)]}
	if rng.IntN(3) == 0 {
		tb.bom = "\xef\xbb\xbf"
	}
	pieces := []string{"a", "Ünï", "高", "1973080520045", `"`, `""`, string(tb.comma), "\n", "\r\n", " ", "x", "0", "long long long value "}
	if rng.IntN(3) == 0 { // no special characters: the fast paths
		pieces = pieces[:4]
	}
	ends := []string{"\n", "\r\n"}
	fixed := rng.IntN(3)
	for r := 0; r <= rows; r++ {
		var row []field
		for c := range cols {
			f := field{}
			if r == 0 {
				f.value = fmt.Sprintf("c%d", c)
			} else {
				for range rng.IntN(4) {
					f.value += pieces[rng.IntN(len(pieces))]
				}
			}
			f.quoted = strings.ContainsAny(f.value, "\"\r\n"+string(tb.comma)) || rng.IntN(4) == 0
			row = append(row, f)
		}
		if len(row) == 1 && row[0].value == "" {
			row[0].quoted = true
		}
		tb.raw = append(tb.raw, row)
		end := ends[rng.IntN(2)]
		if fixed < 2 {
			end = ends[fixed]
		}
		if r == rows && rng.IntN(2) == 0 {
			end = ""
		}
		tb.ends = append(tb.ends, end)
		empty := ""
		if rng.IntN(12) == 0 {
			empty = strings.Repeat(ends[rng.IntN(2)], 1+rng.IntN(2))
		}
		tb.before = append(tb.before, empty)
	}
	return tb
}

// bytes writes the table, with replace applied to the values of the data rows.
func (tb *table) bytes(replace func(row, col int, v string) (string, bool)) []byte {
	var b bytes.Buffer
	b.WriteString(tb.bom)
	for r, row := range tb.raw {
		b.WriteString(tb.before[r])
		for c, f := range row {
			if c > 0 {
				b.WriteByte(tb.comma)
			}
			v, quoted := f.value, f.quoted
			if r > 0 && replace != nil {
				w, changed := replace(r, c, v)
				if changed {
					v = w
					quoted = quoted || strings.ContainsAny(v, "\"\r\n"+string(tb.comma)) || v == "" && len(row) == 1
				}
			}
			if quoted {
				b.WriteString(`"` + strings.ReplaceAll(v, `"`, `""`) + `"`)
			} else {
				b.WriteString(v)
			}
		}
		b.WriteString(tb.ends[r])
	}
	return b.Bytes()
}

// TestCSVAgainstModel compares outputs with the table whose values are transformed one by
// one, for random tables, chunks down to a few bytes, files and pipes, one and several
// workers, columns and plans.
func TestCSVAgainstModel(t *testing.T) {
	tag := reversible
	tag.Tag = 64
	irr := suite.Spec{Method: spec.Irreversible, Policy: spec.Same, Form: spec.Hex}
	norm := tag
	norm.Norm = suite.Norm{suite.Trim}
	plans := []*suite.Plan{plan(t, spec.Pseudonymise, tag), plan(t, spec.Pseudonymise, irr), plan(t, spec.Pseudonymise, norm)}
	back := plan(t, spec.Reverse, tag)
	rounds := 400
	if testing.Short() {
		rounds = 60
	}
	for i := range rounds {
		rng := rand.New(rand.NewPCG(uint64(i), 1))
		tb := randomTable(rng, rng.IntN(40), 1+rng.IntN(5))
		cols := len(tb.raw[0])
		chosen := map[int]*suite.Plan{}
		var columns []Column
		for c := range cols {
			if rng.IntN(3) == 0 || c == cols-1 && len(columns) == 0 {
				p := plans[rng.IntN(1+rng.IntN(3))]
				chosen[c] = p
				col := Column{Name: fmt.Sprintf("c%d", c), Plan: p}
				if rng.IntN(3) == 0 {
					col = Column{Number: c + 1, Plan: p}
				}
				columns = append(columns, col)
			}
		}
		rng.Shuffle(len(columns), func(a, b int) { columns[a], columns[b] = columns[b], columns[a] })
		in := tb.bytes(nil)
		values := int64(0)
		want := tb.bytes(func(_, c int, v string) (string, bool) {
			p := chosen[c]
			if p == nil || v == "" {
				return v, false
			}
			res := transformOne(p, v)
			if res != "" { // a value of white space alone is a missing one where norm trims
				values++
			}
			return res, true
		})
		job := Job{Columns: columns, Header: true, Comma: tb.comma, Workers: 1 + rng.IntN(3), chunk: 1 + rng.IntN(1<<(1+rng.IntN(9)))}
		got, sum, err := runBytes(t, job, in, rng.IntN(2) == 0)
		if err != nil {
			t.Fatalf("round %d: %v\n%q", i, err, in)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("round %d: chunk %d\n in %q\ngot %q\nwant %q", i, job.chunk, in, got, want)
		}
		if sum.Values != values || sum.Rows != int64(len(tb.raw)-1) || sum.BytesOut != int64(len(want)) {
			t.Fatalf("round %d: summary %+v, want %d values, %d rows, %d bytes", i, sum, values, len(tb.raw)-1, len(want))
		}
		// And back, where all were made with the plan that reverses.
		for c, p := range chosen {
			if p != plans[0] {
				delete(chosen, c)
			}
		}
		if len(chosen) != len(columns) {
			continue
		}
		for k := range columns {
			columns[k].Plan = back
		}
		got, _, err = runBytes(t, job, got, rng.IntN(2) == 0)
		if err != nil {
			t.Fatalf("round %d: reverse: %v", i, err)
		}
		if !bytes.Equal(got, in) {
			t.Fatalf("round %d: reverse\ngot %q\nwant %q", i, got, in)
		}
	}
}

// TestAgainstEncodingCSV compares input and output as the standard library reads them.
func TestAgainstEncodingCSV(t *testing.T) {
	in, err := os.ReadFile(filepath.Join("..", "..", "testdata", "patients.csv"))
	if err != nil {
		t.Fatal(err)
	}
	p := plan(t, spec.Pseudonymise, reversible)
	out, _, err := runBytes(t, Job{Columns: []Column{{Name: "national_id", Plan: p}}, chunk: 1000, Workers: 3}, in, false)
	if err != nil {
		t.Fatal(err)
	}
	a, err := csv.NewReader(bytes.NewReader(in)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	b, err := csv.NewReader(bytes.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(a) != len(b) || len(a) < 1000 {
		t.Fatalf("%d rows became %d, want as many and at least 1000", len(a), len(b))
	}
	for i := range a {
		if i > 0 {
			a[i][1] = transformOne(p, a[i][1])
		}
		if strings.Join(a[i], "\x00") != strings.Join(b[i], "\x00") {
			t.Fatalf("record %d differs beyond the transformed value", i)
		}
	}
	_, _, err = runBytes(t, Job{Columns: []Column{{Name: "national", Plan: p}}}, in, false)
	if err == nil || !strings.Contains(err.Error(), `no column "national"; there are "record", "national_id",`) {
		t.Fatalf("unknown column: %v", err)
	}
}

// TestOutputIsSafe checks the output's permissions, that a run writes over no file without
// Force and never over its input, and that several inputs give all outputs or none.
func TestOutputIsSafe(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	write := func(path, s string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(s), mode); err != nil {
			t.Fatal(err)
		}
	}
	write(in, "id\na\n", 0o640)
	p := plan(t, spec.Pseudonymise, reversible)
	job := Job{Inputs: []string{in}, Output: out, Columns: []Column{{Name: "id", Plan: p}}}
	if _, err := Run(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(out)
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Fatalf("mode %v, %v; want that of the input", st.Mode(), err)
	}
	if _, err := Run(t.Context(), job); !errors.Is(err, os.ErrExist) {
		t.Fatalf("an output that exists: %v, want os.ErrExist", err)
	}
	job.Force = true
	if err := os.Chmod(in, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if st, err = os.Stat(out); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v; want that of the input", st.Mode(), err)
	}
	link := filepath.Join(dir, "link.csv")
	if err := os.Link(in, link); err != nil {
		t.Fatal(err)
	}
	job.Output = link
	if _, err := Run(t.Context(), job); !errors.Is(err, ErrUsage) {
		t.Fatalf("the input by another name as output: %v, want ErrUsage", err)
	}
	if b, _ := os.ReadFile(in); string(b) != "id\na\n" {
		t.Fatal("the input was written over")
	}
	job.Output = filepath.Join(dir, "none", "out.csv")
	if _, err := Run(t.Context(), job); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("an output in a folder that does not exist: %v, want os.ErrNotExist", err)
	}

	// Several inputs: all or nothing.
	folder := filepath.Join(dir, "folder")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	second := filepath.Join(dir, "second.csv")
	write(second, "id\n\xff\n", 0o600)
	job.Inputs, job.Output = []string{in, second}, folder
	if _, err := Run(t.Context(), job); err == nil {
		t.Fatal("a bad second file passed")
	}
	if left, _ := os.ReadDir(folder); len(left) != 0 {
		t.Fatalf("the failed run left %v, want nothing", left)
	}
	write(second, "x,id\nb,b\n", 0o600)
	sum, err := Run(t.Context(), job)
	if err != nil || sum.Rows != 2 {
		t.Fatal(sum, err)
	}
	if b, _ := os.ReadFile(filepath.Join(folder, "second.csv")); string(b) != "x,id\nb,"+transformOne(p, "b")+"\n" {
		t.Fatalf("second output %q", b)
	}
}

// TestNoAllocations checks that in steady state a chunk costs no allocation on any path.
func TestNoAllocations(t *testing.T) {
	p, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	id := transformOne(p, "1973080520045")
	for name, c := range map[string]struct {
		head, row string
		p         *suite.Plan
	}{
		"rows":         {"id\n", "1973080520045\n", p},
		"scattered":    {"id,x,y\n", "1973080520045,\"x, y\",z\n", p},
		"reversed":     {"id,x,y\n", id + ",\"x, y\",z\n", back},
		"with escapes": {"id,x\n", "\"a \"\"b\"\"\",x\n", p},
	} {
		r := &run{Job: &Job{Columns: []Column{{Name: "id", Plan: c.p}}, chunk: 1 << 16}, seed: maphash.MakeSeed(), dist: hyperloglog.New(maphash.MakeSeed())}
		if err := r.prepare(); err != nil {
			t.Fatal(err)
		}
		rf, err := r.detectFormat("in.csv", CSV, []byte(c.head), true)
		if err != nil {
			t.Fatal(err)
		}
		f, err := rf.worker(r.splicer(rf, r.dist))
		if err != nil {
			t.Fatal(err)
		}
		rows := bytes.Repeat([]byte(c.row), 1000)
		ch := &chunk{buf: padded(nil, 2*len(rows)), end: len(rows)}
		copy(ch.buf, rows)
		w := f.(worker)
		step := func() {
			ch.tally = tally{Columns: ch.tally.Columns[:0]}
			w.work(context.Background(), ch)
			if ch.err != nil || ch.tally.Values != 1000 {
				t.Fatal(name, ch.err, ch.tally)
			}
		}
		step()
		if n := testing.AllocsPerRun(20, step); n > 0 {
			t.Errorf("%s: %.0f allocations for 1,000 rows, want none", name, n)
		}
	}
}
