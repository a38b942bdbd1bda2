package bulk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/internal/simd"
)

// jsonKind is how a text arranges its rows.
type jsonKind int

const (
	jsonLines jsonKind = iota
	jsonArray
	jsonTexts
)

// join writes rows as a text of the kind, with space between them.
func (k jsonKind) join(rows []string, space string) string {
	switch k {
	case jsonLines:
		return strings.Join(rows, "\n") + "\n"
	case jsonArray:
		return "[" + space + strings.Join(rows, space+","+space) + "]" + space
	}
	return strings.Join(rows, "\n"+space) + space
}

// oddRows are rows that differ from those around them, as in real files.
var oddRows = []string{
	`{"id":"other","f":"x"}`,
	`{"f":"x"}`,
	`{"id":null,"p":null,"f":"x"}`,
	`{"id":["a","b\u00e9",["c"],null],"p":{"nr":"d"},"f":""}`,
	`{"id":"a","id":"b","i\u0064":"c","p":{"nr":"d"},"p":{"nr":"e"}}`,
	`{"id":"a","p":"cuts the path short","f":"x"}`,
	`{"id":"a","p":[{"nr":"b"},{"nr":"c"},{}],"f":"x"}`,
	`{"id":"a","p":[{"nr":"b"},7,{"nr":"c"}],"f":"x"}`,
	`{"id":1973080520045,"p":{"nr":true},"f":"x"}`,
	`{"id":{"id":"in it","x":[1,"}"]},"p":{"nr":"a"},"f":"x"}`,
	`{"id":"` + strings.Repeat("long ", 60) + `","p":{"nr":"a"},"f":"x"}`,
	`{"id":"é高😀","p":{"nr":"\ud83d\ude00\\\"\n"},"f":"é"}`,
	`{"id":"","p":{"nr":""},"f":""}`,
	`{ "id" : "a" , "p" : { "nr" : "b" } , "f" : "x" } `,
	`{"ID":"a","P":{"nr":"b"},"p":{"NR":"c"},"f":"x"}`,
	`["a",{"id":"b"},[{"id":"c"}]]`,
	`{"f":` + strings.Repeat(`[{"x":`, 40) + `"id"` + strings.Repeat(`}]`, 40) + `,"id":"a"}`,
	`[]`,
	`{}`,
	`"a string on top"`,
	`12`,
}

// bordersText makes three to six chunks of rows of one shape. The first byte of the odd row
// stands off bytes after a chunk's border, counted from the first row.
func bordersText(r *rand.Rand, kind jsonKind, chunk, off int, stranger string) []string {
	plain := func(fill int) string {
		return fmt.Sprintf(`{"id":"%013d","p":{"nr":"n%d"},"f":"%s"}`, r.Int64N(1e13), r.IntN(1000), strings.Repeat("x", fill))
	}
	var rows []string
	add := 1 // bytes between rows, as join writes them
	size := 0
	for size < (3+r.IntN(4))*chunk {
		border := (size/chunk+1)*chunk + off
		row := plain(r.IntN(3))
		if rest := border - size - len(row) - add; rest >= 0 && rest < 80 {
			row = strings.Replace(row, `"f":"`, `"f":"`+strings.Repeat("y", rest), 1)
			rows = append(rows, row, stranger)
			size += len(row) + len(stranger) + 2*add
			continue
		}
		rows = append(rows, row)
		size += len(row) + add
	}
	return rows
}

// TestJSONAtBorders runs over lines, arrays and texts of one shape with an odd row at every
// offset around the borders of chunks and reads. With every kernel and every treatment of
// other shapes, output and counts are those that encoding/json gives.
func TestJSONAtBorders(t *testing.T) {
	tag := reversible
	tag.Tag = 64
	p := plan(t, spec.Pseudonymise, tag)
	const chunk = 1500
	step := 5
	switch {
	case longForm:
		step = 1
	case testing.Short(): // under the race detector
		step = 29
	}
	defer simd.Force("auto")
	kernels := simd.Kernels()
	var byShape atomic.Int64
	runs, n := 0, 0
	for _, kind := range []jsonKind{jsonLines, jsonArray, jsonTexts} {
		for off := -130; off <= 130; off += step {
			for k, stranger := range oddRows {
				n++
				if (n+k)%3 != 0 { // every pair occurs, but not at every offset
					continue
				}
				if kind == jsonTexts && n%4 > 0 {
					continue // no fast path there
				}
				r := rand.New(rand.NewPCG(uint64(off+1000), uint64(k)))
				if err := simd.Force(kernels[n%len(kernels)]); err != nil {
					t.Fatal(err)
				}
				rows := bordersText(r, kind, chunk, off, stranger)
				j := newJudge(p, []OnError{Null, Fail}[n%2], n%5 == 0, "id", "p.nr")
				job := Job{Format: NDJSON, AllowOther: j.pass, OnError: j.onError, chunk: chunk, Workers: 1 + n%3, byShape: &byShape, AllowMissing: true,
					Columns: []Column{{Name: "id", Plan: p}, {Name: "p.nr", Plan: p}}}
				if kind != jsonLines {
					job.Format = JSON
				}
				in := kind.join(rows, "")
				judgeText(j, kind, in)
				if diff := runJudged(t, j, job, in, r, n%2 == 0); diff != "" {
					t.Fatalf("kind %d, offset %d, stranger %q: %s", kind, off, stranger, diff)
				}
				runs++
			}
		}
	}
	if got := byShape.Load(); got < int64(runs) {
		t.Fatalf("only %d rows were read by shape in %d runs: the fast path was not tested", got, runs)
	}
	t.Logf("%d runs, %d rows by shape", runs, byShape.Load())
}

// judgeText adds a valid text of a kind to the judge.
func judgeText(j *judge, kind jsonKind, in string) {
	if kind == jsonLines {
		for line := range strings.Lines(in) {
			if strings.Trim(line, " \t\r\n") == "" {
				j.out = append(j.out, line...)
				continue
			}
			j.text([]byte(line))
		}
		return
	}
	b := []byte(in)
	dec := json.NewDecoder(bytes.NewReader(b))
	if kind == jsonArray {
		if _, err := dec.Token(); err != nil {
			panic(err)
		}
	}
	at := 0
	for dec.More() {
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			panic(err)
		}
		end := int(dec.InputOffset())
		j.out = append(j.out, b[at:end-len(raw)]...)
		j.text(raw)
		at = end
	}
	j.out = append(j.out, b[at:]...)
}

// runJudged runs over a file, or over a pipe in uneven reads, and returns the difference
// from the judgement, "" if there is none.
func runJudged(t testing.TB, j *judge, job Job, in string, r *rand.Rand, pipe bool) string {
	t.Helper()
	var out bytes.Buffer
	job.Stdin, job.Stdout = &unevenReads{b: []byte(in), r: r, most: 1 << (1 + r.IntN(12))}, &out
	if !pipe {
		f, err := os.Create(filepath.Join(t.TempDir(), "in"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(in); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Seek(0, 0); err != nil {
			t.Fatal(err)
		}
		job.Stdin = f
	}
	sum, err := Run(context.Background(), job)
	got := out.String()
	if err != nil {
		got = "" // to a pipe some output was written before the error
	}
	return j.check(got, sum, err)
}

// FuzzJSON checks, for arbitrary bytes as lines, arrays and texts, that a run accepts what
// the standard library and the rules accept and returns an error for all else. In accepted
// text it replaces every string at a path, keeps every other byte and counts the rest.
func FuzzJSON(f *testing.F) {
	tag := reversible
	tag.Tag = 64
	p := plan(f, spec.Pseudonymise, tag)
	for k, s := range oddRows {
		f.Add([]byte(s+"\n"+s), uint8(k), uint8(40))
		f.Add([]byte("[ "+s+",\n"+s+"]"), uint8(k), uint8(7))
		f.Add([]byte(strings.Repeat(s, 3)), uint8(k), uint8(200))
	}
	for _, s := range []string{"\xef\xbb\xbf[]", "[", "]", "{", "[{}}", "[1,]", "[,]", "\"\\ud800\"", "{\"id\":\"\\ud800\"}", "{\"id\":\"\xed\xa0\x80\"}", `"a""b"`, "1 2", "truefalse", "{\"id\":1e999999,\"p\":-0.0E+1}",
		strings.Repeat("[", 600) + strings.Repeat("]", 600), `{"id":"a"}` + "\r" + `{"id":"b"}`, "[{}]\n[{}]", "{} x", "\n\r\n"} {
		f.Add([]byte(s), uint8(0), uint8(3))
		f.Add([]byte(s), uint8(1), uint8(255))
	}
	f.Fuzz(func(t *testing.T, in []byte, mode, chunk uint8) {
		if refuseUTF16("", in) != nil {
			return
		}
		for _, kind := range []jsonKind{jsonLines, jsonArray, jsonTexts} {
			pass, onError := mode&1 > 0, []OnError{Fail, Null}[mode>>1&1]
			job := Job{Format: NDJSON, AllowMissing: true, AllowOther: pass, OnError: onError, chunk: 1 + int(chunk), Workers: 1 + int(mode>>2&3),
				Columns: []Column{{Name: "id", Plan: p}, {Name: "p.nr", Plan: p}}}
			text := bytes.TrimPrefix(in, bom)
			isArray := bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("["))
			if kind != jsonLines {
				job.Format = JSON
			}
			if kind != jsonLines && isArray != (kind == jsonArray) {
				continue
			}
			j := newJudge(p, onError, pass, "id", "p.nr")
			valid := fuzzValid(kind, text)
			if valid {
				j.out = append(j.out, in[:len(in)-len(text)]...)
				judgeText(j, kind, string(text))
			}
			r := rand.New(rand.NewPCG(uint64(mode), uint64(chunk)))
			if !valid {
				job.Stdin, job.Stdout = &unevenReads{b: in, r: r, most: 1 + int(chunk)}, new(bytes.Buffer)
				if _, err := Run(t.Context(), job); err == nil {
					t.Fatalf("kind %d: accepted %q", kind, in)
				}
				continue
			}
			if diff := runJudged(t, j, job, string(in), r, mode&16 > 0); diff != "" {
				t.Fatalf("kind %d, mode %d, chunk %d: %q: %s", kind, mode, chunk, in, diff)
			}
		}
	})
}

// fuzzValid reports whether a run must accept text.
func fuzzValid(kind jsonKind, text []byte) bool {
	switch kind {
	case jsonLines:
		for line := range bytes.Lines(text) {
			if len(bytes.Trim(line, " \t\r\n")) > 0 && !strictJSON(line) {
				return false
			}
		}
		return true
	case jsonArray:
		var items []json.RawMessage
		if json.Unmarshal(text, &items) != nil {
			return false
		}
		for _, item := range items {
			if !strictJSON(item) {
				return false
			}
		}
		return true
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	at := 0
	for {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if err != nil {
			return len(bytes.Trim(text[at:], " \t\r\n")) == 0
		}
		end := int(dec.InputOffset())
		if begin := end - len(raw); begin > at || at == 0 || raw[0] == '{' || raw[0] == '[' || text[at-1] == '}' || text[at-1] == ']' {
			if at = end; strictJSON(raw) {
				continue
			}
		}
		return false
	}
}
