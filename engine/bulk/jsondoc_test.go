package bulk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// jsonRows returns n rows of JSON, some of them without an id.
func jsonRows(n int) []string {
	r := rand.New(rand.NewPCG(4, 4))
	var rows []string
	for i := range n {
		switch {
		case i%50 == 7:
			rows = append(rows, fmt.Sprintf(`{"n":%d}`, i))
		case i%50 == 9:
			rows = append(rows, fmt.Sprintf(`{"n":%d,"id":null}`, i))
		default:
			rows = append(rows, fmt.Sprintf(`{"n":%d,"id":"%d","x":{"y":["z"]}}`, i, r.IntN(300)))
		}
	}
	return rows
}

// TestJSONDocumentResumed interrupts runs over an array or texts, plain or compressed, at
// every write. Resumed, they give the output and counts of an uninterrupted run.
func TestJSONDocumentResumed(t *testing.T) {
	tag := reversible
	tag.Tag = 64
	p := plan(t, spec.Pseudonymise, tag)
	for _, kind := range []jsonKind{jsonArray, jsonTexts} {
		for _, packed := range []Compression{None, Gzip} {
			in := []byte(kind.join(jsonRows(2400), "\n "))
			if kind == jsonArray {
				in = append(in, strings.Repeat(" \n", 8000)...) // the text behind the array is read too
			}
			want, whole, err := runBytes(t, Job{Format: JSON, Columns: []Column{{Name: "id", Plan: p}}}, in, true)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			path := filepath.Join(dir, "in.json")
			if err := os.WriteFile(path, pack(t, packed, in), 0o600); err != nil {
				t.Fatal(err)
			}
			resumed, all, parts := 0, int64(1000), int64(15)
			if simdtest.Race() {
				parts = 4
			}
			for stop := all; stop > 1; stop -= max(1, all/parts) {
				var writes atomic.Int64
				job := Job{Inputs: []string{path}, Output: filepath.Join(dir, fmt.Sprintf("out%d.json", stop)), Format: JSON, Columns: []Column{{Name: "id", Plan: p}},
					Workers: 2, chunk: 1000, checkpointEvery: time.Nanosecond}
				job.wrapOut = func(f outFile) outFile {
					return hookedFile{f, func(int) error {
						if writes.Add(1) == stop {
							return syscall.EIO
						}
						return nil
					}}
				}
				_, err := Run(t.Context(), job)
				if stop == 1000 && err == nil { // the first run counts the writes
					stop, all = writes.Load()+1, writes.Load()
					continue
				}
				if !errors.Is(err, syscall.EIO) {
					t.Fatalf("stopped at write %d: %v", stop, err)
				}
				job.Resume = true
				sum, err := Run(t.Context(), job)
				if err != nil {
					t.Fatal(err)
				}
				got, err := os.ReadFile(job.Output)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) || sum.Rows != whole.Rows || sum.Values != whole.Values || sum.Empty != whole.Empty || sum.Columns[0] != whole.Columns[0] {
					t.Fatalf("kind %d, %s, stopped at write %d: %+v, want %+v; same output: %v", kind, packed, stop, sum, whole, bytes.Equal(got, want))
				}
				if sum.Resumed {
					resumed++
				}
			}
			if resumed < int(parts)/2 {
				t.Errorf("only %d runs resumed: resuming was not tested", resumed)
			}
		}
	}
}

// TestJSONDocumentPolicies checks that policy document counts the items of an array in their
// order, and that an array is compressed like lines.
func TestJSONDocumentPolicies(t *testing.T) {
	rows := jsonRows(800)
	for _, s := range []suite.Spec{reversible, {Method: spec.Reversible, Policy: spec.PerDocument, Form: spec.Hex}} {
		p := plan(t, spec.Pseudonymise, s)
		lines, _, err := runBytes(t, Job{Format: NDJSON, Columns: []Column{{Name: "id", Plan: p}}, chunk: 500, Workers: 3}, []byte(jsonLines.join(rows, "")), false)
		if err != nil {
			t.Fatal(err)
		}
		want := jsonArray.join(strings.Split(strings.TrimSuffix(string(lines), "\n"), "\n"), " ")
		for _, pipe := range []bool{false, true} {
			for _, kind := range []Compression{None, Zstd} {
				job := Job{Format: JSON, Columns: []Column{{Name: "id", Plan: p}}, chunk: 700, Workers: 3, Compress: kind}
				got, _, err := runBytes(t, job, []byte(jsonArray.join(rows, " ")), pipe)
				if err != nil {
					t.Fatal(err)
				}
				if kind == Zstd {
					got = unpack(t, kind, got)
				}
				if string(got) != want {
					t.Fatalf("policy %v, pipe %v, %s: the array's results differ from those of lines", s.Policy, pipe, kind)
				}
			}
		}
	}
}

// TestCountsAgreeAcrossFormats checks that the same table gives the same counts and the same
// charge to a budget in every format.
func TestCountsAgreeAcrossFormats(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	var rows []string
	table := "n,id\n"
	for i := range 2000 {
		v := fmt.Sprint(i % 700)
		if i%10 == 3 {
			v = ""
		}
		table += fmt.Sprintf("%d,%s\n", i, v)
		if v == "" && i%20 == 3 {
			v = "null"
		} else {
			v = `"` + v + `"`
		}
		rows = append(rows, fmt.Sprintf(`{"n":%d,"id":%s}`, i, v))
	}
	for _, c := range []struct {
		format Format
		in     string
	}{
		{CSV, table},
		{NDJSON, jsonLines.join(rows, "")},
		{JSON, jsonArray.join(rows, "\n")},
		{JSON, jsonTexts.join(rows, " \n")},
	} {
		for _, pipe := range []bool{false, true} {
			var spent atomic.Int64
			spend := func(_ context.Context, n int) error { spent.Add(int64(n)); return nil }
			_, sum, err := runBytes(t, Job{Format: c.format, Columns: []Column{{Name: "id", Plan: p, Spend: spend}}, chunk: 900, Workers: 2}, []byte(c.in), pipe)
			if err != nil {
				t.Fatal(err)
			}
			if sum.Rows != 2000 || sum.Values != 1800 || sum.Empty != 200 || spent.Load() != 1800 || sum.Columns[0].Values != 1800 || sum.Columns[0].Empty != 200 {
				t.Errorf("%s: %+v, %d spent, want 2000 rows, 1800 values spent and 200 empty", c.format, sum, spent.Load())
			}
			if sum.Distinct < 610 || sum.Distinct > 650 { // 630, estimated
				t.Errorf("%s: estimate of %d distinct values, want 610 to 650", c.format, sum.Distinct)
			}
		}
	}
}

// TestJSONFormatDetection checks the format that follows from an input's name and content.
func TestJSONFormatDetection(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	A := transformOne(p, "a")
	dir := t.TempDir()
	for k, c := range []struct {
		name, in, out, want string
		job                 Job
		cut                 bool // of want: a JSONError
	}{
		{name: "in.json", in: `[{"id":"a"}]`, out: `[{"id":"A"}]`},
		{name: "in.json", in: "\xef\xbb\xbf \n[ {\"id\":\"a\"} ] \n", out: "\xef\xbb\xbf \n[ {\"id\":\"A\"} ] \n"},
		{name: "in.json", in: "\xef\xbb\xbf{\n\"id\":\"a\"}", out: "\xef\xbb\xbf{\n\"id\":\"A\"}"},
		{name: "in.json", in: "{\"id\":\"a\"}{\"id\":\"a\"}\n", out: "{\"id\":\"A\"}{\"id\":\"A\"}\n"},
		{name: "in.json", in: "{\"id\":\"a\"}\r{\"id\":\"a\"}\r", out: "{\"id\":\"A\"}\r{\"id\":\"A\"}\r"},
		{name: "in.json", in: "", out: ""},
		{name: "in.json", in: "[]", out: "[]"},
		{name: "in.json", in: " \n\n", out: " \n\n"},
		{name: "in.JSON", in: "{\"id\":\"a\"}\n\n{\"id\":\"a\"}\n", out: "{\"id\":\"A\"}\n\n{\"id\":\"A\"}\n"},
		{name: "in.data", in: "[\n{\"id\":\"a\"}]", out: "[\n{\"id\":\"A\"}]"},
		{name: "in.txt", in: " {\"id\":\"a\"}\n", out: " {\"id\":\"A\"}\n"},
		{name: "in.data", in: "id,{\na,b\n", out: "id,{\nA,b\n"},
		{name: "in.csv", in: "{\"id\":\"a\"}\n", want: "is JSON, not CSV"},
		{name: "in.tsv", in: "[{\"id\":\"a\"}]\n", want: "is JSON, not CSV"},
		{name: "in.json", in: "{\"id\":\"a\"}\n", job: Job{Format: CSV}, want: "is JSON, not CSV"},
		{name: "in.ndjson", in: "[{\"id\":\"a\"}]\n", out: "[{\"id\":\"A\"}]\n"},
		{name: "in.ndjson", in: "[\n{\"id\":\"a\"}\n]\n", want: "text ends too early", cut: true},
		{name: "in.json", in: "[{\"id\":\"a\"}]\n[{\"id\":\"a\"}]\n", want: "line 2 (byte 14 of the input): not JSON: text after the end"},
		{name: "in.json", in: "[{\"id\":\"a\"},", want: "line 1 (byte 13 of the input): not JSON: text ends too early"},
		{name: "in.json", in: "[{\"id\":\"a\"}", want: "line 1 (byte 12 of the input): not JSON: text ends too early"},
		{name: "in.json", in: "[\n", want: "line 2 (byte 3 of the input): not JSON: text ends too early"},
		{name: "in.json", in: "[1,2]", want: `line 1 (byte 2 of the input), column "id": NOT_A_STRING: a number stands where`},
		{name: "in.json", in: "{\x00\"\x00i\x00d\x00\"\x00:\x00\"\x00a\x00\"\x00}\x00\n\x00", want: "utf-16le"},
		{name: "in.json", in: `[{"id":"a"}]`, job: Job{Columns: []Column{{Number: 2, Plan: p}}}, want: "JSON has no column numbers; name a path"},
		{name: "in.json", in: `[{"id":"` + strings.Repeat("a", 200_000) + `"}]`, job: Job{MaxRow: 100_000}, want: "a row is longer than"},
	} {
		path, out := filepath.Join(dir, c.name), filepath.Join(dir, fmt.Sprint("out", k))
		if err := os.WriteFile(path, []byte(c.in), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, chunk := range []int{3, 0} {
			job := c.job
			job.Inputs, job.Output, job.chunk, job.Force = []string{path}, out, chunk, true
			if job.Columns == nil {
				job.Columns = []Column{{Name: "id", Plan: p}}
			}
			_, err := Run(t.Context(), job)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s of %.100q: %v, want %s", c.name, c.in, err, c.want)
				}
				if e, ok := errors.AsType[*JSONError](err); c.cut && (!ok || !e.Cut) {
					t.Errorf("%s of %.100q: %v, want an error that a line ends within a value", c.name, c.in, err)
				}
				continue
			}
			got, err2 := os.ReadFile(out)
			if err != nil || err2 != nil || string(got) != strings.ReplaceAll(c.out, "A", A) {
				t.Errorf("%s of %q: %q, %v, %v, want %q", c.name, c.in, got, err, err2, strings.ReplaceAll(c.out, "A", A))
			}
		}
	}
}
