package bulk

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestNDJSONAgainstModel builds lines from known pieces and compares the output byte by byte.
func TestNDJSONAgainstModel(t *testing.T) {
	tag := reversible
	tag.Tag = 128
	p, q := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Pseudonymise, tag)
	back, qback := plan(t, spec.Reverse, reversible), plan(t, spec.Reverse, tag)
	texts := [][2]string{ // value, its JSON text
		{"1973080520045", `1973080520045`}, {"", ``}, {"é高", `é高`}, {`a"b\c`, `a\"b\\c`}, {"x", `x`},
		{strings.Repeat("long ", 20), strings.Repeat("long ", 20)},
	}
	rounds := 300
	if simdtest.Race() {
		rounds = 80
	}
	for i := range rounds {
		rng := rand.New(rand.NewPCG(uint64(i), 2))
		var in, want bytes.Buffer
		values := int64(0)
		put := func(p *suite.Plan) {
			v := texts[rng.IntN(len(texts))]
			in.WriteString(`"` + v[1] + `"`)
			out := ""
			if v[0] != "" {
				values++
				out = transformOne(p, v[0])
			}
			want.WriteString(`"` + out + `"`)
		}
		both := func(s string) { in.WriteString(s); want.WriteString(s) }
		if rng.IntN(4) == 0 {
			both("\xef\xbb\xbf")
		}
		for range rng.IntN(30) {
			if rng.IntN(10) == 0 {
				both([]string{"\n", "  \r\n"}[rng.IntN(2)])
			}
			both(`{"n":1.50, "s":"\u00e9\"","patient" : { "x":[{"id":"no"}],"id":`)
			put(p)
			both(`}`)
			if rng.IntN(2) == 0 {
				both(`,"codes":[`)
				for k := range rng.IntN(4) {
					if k > 0 {
						both(", ")
					}
					if rng.IntN(5) == 0 {
						both("null")
					} else {
						put(q)
					}
				}
				both("]")
			}
			both("}" + []string{"\n", "\r\n"}[rng.IntN(2)])
		}
		job := Job{Format: NDJSON, Columns: []Column{{Name: "codes", Plan: q}, {Name: "patient.id", Plan: p}}, Workers: 1 + rng.IntN(3), chunk: 1 + rng.IntN(300),
			AllowMissing: true} // perhaps no line has a code
		got, sum, err := runBytes(t, job, in.Bytes(), rng.IntN(2) == 0)
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("round %d:\n in %q\ngot %q\nwant %q", i, in.Bytes(), got, want.Bytes())
		}
		if sum.Values != values {
			t.Fatalf("round %d: %d values, want %d", i, sum.Values, values)
		}
		job.Columns = []Column{{Name: "codes", Plan: qback}, {Name: "patient.id", Plan: back}}
		got, _, err = runBytes(t, job, got, rng.IntN(2) == 0)
		if err != nil || !bytes.Equal(got, in.Bytes()) {
			t.Fatalf("round %d: reverse: %v\ngot %q\nwant %q", i, err, got, in.Bytes())
		}
	}
}

// TestNDJSONBadInput checks errors and outputs for values that are not strings, text that is
// not JSON and values that fail.
func TestNDJSONBadInput(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	for _, c := range []struct {
		in      string
		onError OnError
		out     string
		want    string
	}{
		{in: "{\"id\":\"a\"}\n\n{\"id\":7}\n", want: `: line 3, byte 7, column "id": NOT_A_STRING: a number, not a string; write identifiers as strings, in quotes`},
		{in: "{\"id\":\"\\u0001\"}\n{\"id\":7}\n", want: `: line 1, column "id": VALUE_NOT_TEXT: not UTF-8 text, or it holds control characters`},
		{in: "{\"id\":\"a\"}\n{\"id\":\"a\"\n", want: `: line 2, column 10: not JSON: `},
		{in: "{\"id\":\"a\"}\n{\"x\":1}\n{\"id\":null}\n", out: "{\"id\":\"A\"}\n{\"x\":1}\n{\"id\":null}\n"},
		{in: "{\"id\":[7,\"a\",{\"k\":\"}\\\"\"},\"\\u0001\",true ,-1e5]}\n", onError: Null, out: "{\"id\":[null,\"A\",null,null,null ,null]}\n"},
		{in: "{\"id\":7}\n{\"id\":\"a\"}\n\n{\"id\":\"\\u0001\"}\n{\"id\":\"a\"}", onError: Keep, out: "{\"id\":\"A\"}\n\n{\"id\":\"A\"}"},
	} {
		for _, chunk := range []int{3, 0} {
			got, _, err := runBytes(t, Job{Format: NDJSON, Columns: []Column{{Name: "id", Plan: p}}, OnError: c.onError, chunk: chunk}, []byte(c.in), false)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%q: %v, want %s", c.in, err, c.want)
				}
				continue
			}
			if want := strings.ReplaceAll(c.out, "A", transformOne(p, "a")); err != nil || string(got) != want {
				t.Errorf("%q: %q, %v, want %q", c.in, got, err, want)
			}
		}
	}
}

// TestSharesConcatenateToTheWhole checks that the concatenated outputs of the shares of random
// files equal the output of the whole.
func TestSharesConcatenateToTheWhole(t *testing.T) {
	tag := reversible
	tag.Tag = 64
	p := plan(t, spec.Pseudonymise, tag)
	dir := t.TempDir()
	path, out := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	rounds := 150
	if simdtest.Race() {
		rounds = 40
	}
	for i := range rounds {
		rng := rand.New(rand.NewPCG(uint64(i), 3))
		tb := randomTable(rng, rng.IntN(60), 1+rng.IntN(3))
		if err := os.WriteFile(path, tb.bytes(nil), 0o600); err != nil {
			t.Fatal(err)
		}
		job := Job{Inputs: []string{path}, Output: out, Comma: tb.comma, Columns: []Column{{Number: 1, Plan: p}}, Header: true, Force: true, Workers: 2, wrapOut: withoutSync, chunk: 1 + rng.IntN(200)}
		if _, err := Run(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		var joined []byte
		n := 1 + rng.IntN(9)
		rows := int64(0)
		for k := 1; k <= n; k++ {
			job.Part, job.Parts = k, n
			sum, err := Run(t.Context(), job)
			if err != nil {
				t.Fatal(err)
			}
			rows += sum.Rows
			share, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			joined = append(joined, share...)
		}
		if !bytes.Equal(whole, joined) || rows != int64(len(tb.raw)-1) {
			t.Fatalf("round %d: %d shares, %d rows\ngot %q\nwant %q", i, n, rows, joined, whole)
		}
	}
	// The line of a fault counts from the file's start, whatever the share.
	if err := os.WriteFile(path, []byte("id,x\n"+strings.Repeat("a,\"b\nc\"\n", 500)+"\x00,d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	job := Job{Inputs: []string{path}, Output: out, Columns: []Column{{Number: 1, Plan: plan(t, spec.Pseudonymise, reversible)}}, Force: true, Part: 7, Parts: 7, chunk: 50}
	var e *Error
	if _, err := Run(t.Context(), job); !errors.As(err, &e) || e.Line != 1002 {
		t.Fatalf("fault in the last share: %v", err)
	}
	job.Inputs, job.Stdin = []string{"-"}, strings.NewReader("id\na\n")
	if _, err := Run(t.Context(), job); !errors.Is(err, ErrUsage) {
		t.Fatalf("shares of a pipe: %v", err)
	}
}

func pack(t testing.TB, kind Compression, parts ...[]byte) []byte {
	t.Helper()
	var b []byte
	for _, p := range parts {
		f, err := kind.compressEvenEmpty(p)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, f...)
	}
	return b
}

func unpack(t testing.TB, kind Compression, b []byte) []byte {
	t.Helper()
	var r io.Reader
	var err error
	if kind == Gzip {
		r, err = gzip.NewReader(bytes.NewReader(b))
	} else {
		r, err = zstd.NewReader(bytes.NewReader(b))
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err = io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCompression checks that a compressed input is detected by its content, that its members
// are one stream, that the output is compressed by its suffix, and that input that is cut
// short or damaged is an error.
func TestCompression(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	var in, want bytes.Buffer
	in.WriteString("id,x\n")
	want.WriteString("id,x\n")
	for i := range 3000 {
		fmt.Fprintf(&in, "%d,\"a,%d\n\"\n", i%100, i)
		fmt.Fprintf(&want, "%s,\"a,%d\n\"\n", transformOne(p, fmt.Sprint(i%100)), i)
	}
	dir := t.TempDir()
	for _, kind := range []Compression{Gzip, Zstd} {
		packed := pack(t, kind, in.Bytes()[:1000], in.Bytes()[1000:9001], in.Bytes()[9001:])
		path := filepath.Join(dir, "in.csv") // the content decides, not the name
		if err := os.WriteFile(path, packed, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, to := range []string{"out.csv", "out.csv.gz", "out.csv.zst"} {
			out := filepath.Join(dir, string(kind)+to)
			job := Job{Inputs: []string{path}, Output: out, Columns: []Column{{Name: "id", Plan: p}}, Workers: 3, chunk: 1000}
			sum, err := Run(t.Context(), job)
			if err != nil {
				t.Fatal(kind, to, err)
			}
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if sum.BytesOut != int64(len(got)) || sum.BytesIn != int64(len(packed)) {
				t.Errorf("%s to %s: %d bytes in, %d out, want %d, %d", kind, to, sum.BytesIn, sum.BytesOut, len(packed), len(got))
			}
			if c := bySuffix(to); c != None {
				got = unpack(t, c, got)
			}
			if !bytes.Equal(got, want.Bytes()) {
				t.Fatalf("%s to %s differs", kind, to)
			}
		}
		for _, cut := range []int{1, 10, len(packed) / 2} {
			if err := os.WriteFile(path, packed[:len(packed)-cut], 0o600); err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(dir, "cut")
			_, err := Run(t.Context(), Job{Inputs: []string{path}, Output: out, Columns: []Column{{Name: "id", Plan: p}}, chunk: 1000})
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s cut by %d: %v", kind, cut, err)
			}
			if _, err := os.Stat(out); err == nil {
				t.Errorf("%s cut by %d: an output was left", kind, cut)
			}
		}
		packed[len(packed)/2] ^= 1
		_, _, err := runBytes(t, Job{Columns: []Column{{Name: "id", Plan: p}}}, packed, true)
		if err == nil || !strings.Contains(err.Error(), "stream is damaged") && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s damaged: %v", kind, err)
		}
		empty := pack(t, kind, nil)
		got, _, err := runBytes(t, Job{NoHeader: true, Compress: kind, Columns: []Column{{Number: 1, Plan: p}}}, empty, false)
		if err != nil || len(unpack(t, kind, got)) != 0 {
			t.Errorf("%s of nothing: %v", kind, err)
		}
	}
}

// TestBytesInCountsTheHead checks Summary.BytesIn for inputs that fit into the head, which is
// read first, and for longer ones.
func TestBytesInCountsTheHead(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	for _, rows := range []int{1, 100, 20000} {
		in := []byte("id\n" + strings.Repeat("12345\n", rows))
		for _, kind := range []Compression{None, Gzip, Zstd} {
			packed := in
			if kind != None {
				packed = pack(t, kind, in)
			}
			for _, pipe := range []bool{false, true} {
				_, sum, err := runBytes(t, Job{Columns: []Column{{Name: "id", Plan: p}}}, packed, pipe)
				if err != nil {
					t.Fatal(err)
				}
				if sum.BytesIn != int64(len(packed)) || sum.Rows != int64(rows) {
					t.Errorf("%d rows, %s, pipe %t: %d bytes and %d rows in, want %d bytes", rows, kind, pipe, sum.BytesIn, sum.Rows, len(packed))
				}
			}
		}
	}
}

// TestDocumentPolicyFollowsFileOrder checks that occurrences are counted in the file's order,
// by several workers and over several columns.
func TestDocumentPolicyFollowsFileOrder(t *testing.T) {
	p := plan(t, spec.Pseudonymise, suite.Spec{Method: spec.Reversible, Policy: spec.PerDocument, Form: spec.Hex})
	doc := p.NewDocument()
	var in, want bytes.Buffer
	in.WriteString("a,b,c\n")
	want.WriteString("a,b,c\n")
	next := func(v string) string {
		b := suite.Batch{Src: []byte(v), Spans: []uint32{0, uint32(len(v))}, Doc: doc}
		p.Transform(&b)
		return string(b.Dst)
	}
	for i := range 500 {
		a, c := fmt.Sprint(i%7), fmt.Sprint(i%5)
		fmt.Fprintf(&in, "%s,x,%s\n", a, c)
		fmt.Fprintf(&want, "%s,x,", next(a))
		fmt.Fprintf(&want, "%s\n", next(c))
	}
	for _, pipe := range []bool{false, true} {
		for _, kind := range []Compression{None, Zstd} {
			got, _, err := runBytes(t, Job{Columns: []Column{{Name: "c", Plan: p}, {Name: "a", Plan: p}}, Workers: 4, chunk: 50, Compress: kind}, in.Bytes(), pipe)
			if err != nil {
				t.Fatal(err)
			}
			if kind == Zstd {
				got = unpack(t, kind, got)
			}
			if !bytes.Equal(got, want.Bytes()) {
				t.Fatalf("pipe %v, %s: differs", pipe, kind)
			}
		}
	}
	// A repeated value needs memory once, whatever the limit; different ones are refused.
	small := Job{Columns: []Column{{Name: "c", Plan: p}}, MaxMemory: 4000, chunk: 500}
	if _, _, err := runBytes(t, small, in.Bytes(), false); err != nil {
		t.Fatal(err)
	}
	small.Columns[0].Name = "note"
	many := bytes.ReplaceAll(register(500, false), []byte("id,note"), []byte("note,x"))
	if _, _, err := runBytes(t, small, many, false); !errors.As(err, new(*CountersError)) {
		t.Fatalf("more counters than MaxMemory: %v, want CountersError", err)
	}
	if _, _, err := runBytes(t, Job{Columns: []Column{{Name: "c", Plan: p}}, Part: 1, Parts: 2}, in.Bytes(), false); !errors.Is(err, ErrUsage) {
		t.Fatalf("policy document in shares: %v, want ErrUsage", err)
	}
}

// TestSideFilesAndProgress checks the rejects file, the dry run, the mapping file, the manifest
// and the progress reports of one job.
func TestSideFilesAndProgress(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in := filepath.Join(dir, "in.csv")
	name := func(s string) string { return filepath.Join(dir, s) }
	if err := os.WriteFile(in, []byte("id,x\na,1\n\xff,\"2\n2\"\nb,3\na,4\n\x00,5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(s string) string {
		t.Helper()
		b, err := os.ReadFile(name(s))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	job := Job{Inputs: []string{in}, Output: name("out.csv"), Rejects: name("bad.csv"), OnError: Keep, Manifest: true, Version: "1",
		Mapping: name("map.age"), Recipients: []age.Recipient{id.Recipient()}, chunk: 4, Workers: 3,
		Columns:  []Column{{Name: "id", Plan: p, Describe: map[string]string{"project": "cohort"}}},
		Progress: func(Progress) { calls++ }}

	dry := job
	dry.DryRun, dry.Manifest, dry.Mapping, dry.OnError, dry.Rejects = true, false, "", Fail, ""
	sum, err := Run(t.Context(), dry)
	if err != nil || sum.Errors != 2 || sum.Values != 3 || len(sum.Failures) != 2 ||
		sum.Failures[1] != (Failure{in, 7, "id", "VALUE_NOT_TEXT"}) || sum.BytesOut != 0 {
		t.Fatalf("dry run: %+v, %v", sum, err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Fatalf("a dry run left %v", left)
	}

	sum, err = Run(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := read("out.csv"), "id,x\n"+transformOne(p, "a")+",1\n"+transformOne(p, "b")+",3\n"+transformOne(p, "a")+",4\n"; got != want {
		t.Fatalf("output %q, want %q", got, want)
	}
	if got, want := read("bad.csv"), "id,x\n\xff,\"2\n2\"\n\x00,5\n"; got != want {
		t.Fatalf("rejects %q, want %q", got, want)
	}
	if sum.Rejected != 2 || sum.Errors != 2 || sum.Values != 3 || sum.Distinct < 2 || sum.Distinct > 3 || sum.BytesIn != 29 || calls == 0 {
		t.Fatalf("summary %+v, %d calls, want 2 rejected rows, 2 errors, 3 values, 2 or 3 distinct, 29 bytes, and calls", sum, calls)
	}
	if strings.Contains(read("map.age"), "input") {
		t.Fatal("the mapping is in clear")
	}
	r, err := age.Decrypt(strings.NewReader(read("map.age")), id)
	if err != nil {
		t.Fatal(err)
	}
	pairs, err := io.ReadAll(r)
	if want := "input,output\na," + transformOne(p, "a") + "\nb," + transformOne(p, "b") + "\na," + transformOne(p, "a") + "\n"; err != nil || string(pairs) != want {
		t.Fatalf("mapping %q, %v, want %q", pairs, err, want)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(read("out.csv.velonym.json")), &m); err != nil || m["suite"] != "a256-1" || m["rejected"] != 2.0 {
		t.Fatal(m, err)
	}
	report, err := Check(t.Context(), ManifestName(name("out.csv")))
	if err != nil || len(report) != 2 {
		t.Fatal(report, err)
	}
	if err := os.WriteFile(name("out.csv"), []byte("id,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if report, err := Check(t.Context(), ManifestName(name("out.csv"))); err == nil {
		t.Fatal("a changed output passed the check:", report)
	}
}
