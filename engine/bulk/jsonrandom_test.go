package bulk

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// randomJSON writes a value of random structure whose members have the names in the paths,
// in several spellings and often twice.
func randomJSON(r *rand.Rand, b []byte, depth int) []byte {
	space := func() string { return []string{"", "", "", " ", "\t", " \r "}[r.IntN(6)] }
	text := func() string {
		return []string{`""`, `"a"`, `"19730805"`, `"\u0041\n"`, `"\ud83d\ude00"`, `"é高"`, `"]},{\""`, `"\\"`, `"` + strings.Repeat("y", r.IntN(90)) + `"`}[r.IntN(9)]
	}
	b = append(b, space()...)
	switch kind := r.IntN(10); {
	case kind < 5 && depth < 6 || depth == 0 && r.IntN(12) > 0:
		b = append(b, '{')
		for k, n := 0, r.IntN(6); k < n; k++ {
			if k > 0 {
				b = append(b, ',')
			}
			name := []string{`"id"`, `"i\u0064"`, `"p"`, `"\u0070"`, `"nr"`, `"n\u0072"`, `"ID"`, `""`, `"p.nr"`, `"f"`}[r.IntN(10)]
			b = append(append(append(append(b, space()...), name...), space()...), ':')
			b = randomJSON(r, b, depth+1)
		}
		b = append(append(b, space()...), '}')
	case kind < 7 && depth < 6:
		b = append(b, '[')
		for k, n := 0, r.IntN(4); k < n; k++ {
			if k > 0 {
				b = append(b, ',')
			}
			b = randomJSON(r, b, depth+1)
		}
		b = append(append(b, space()...), ']')
	case kind < 9:
		b = append(b, text()...)
	default:
		b = append(b, []string{"null", "true", "false", "0", "-1.5e+300", "1e99999", "12345678901234567890123456789"}[r.IntN(7)]...)
	}
	return append(b, space()...)
}

// TestJSONRandomStructure compares runs over lines, arrays and texts of random structure,
// valid or with a byte changed, with encoding/json.
func TestJSONRandomStructure(t *testing.T) {
	tag := reversible
	tag.Tag = 64
	p := plan(t, spec.Pseudonymise, tag)
	rounds := 800
	switch {
	case longForm:
		rounds = 6000
	case simdtest.Race():
		rounds = 100
	case testing.Short():
		rounds = 300
	}
	accepted, others := 0, int64(0)
	for round := range rounds {
		r := rand.New(rand.NewPCG(uint64(round), 5))
		kind := jsonKind(r.IntN(3))
		var rows []string
		for range 1 + r.IntN(30) {
			rows = append(rows, string(randomJSON(r, nil, 0)))
			if kind == jsonLines && r.IntN(8) == 0 {
				rows = append(rows, []string{"", " \t", "\r"}[r.IntN(3)])
			}
		}
		in := []byte(kind.join(rows, []string{"", " ", "\n", "\r\n\t"}[r.IntN(4)]))
		if r.IntN(3) == 0 {
			in[r.IntN(len(in))] = "\"{}[]:,\\ \n0e-tnu\x00\x80"[r.IntN(18)]
		}
		if kind != jsonLines && (bytes.TrimLeft(in, " \t\r\n")[0] == '[') != (kind == jsonArray) {
			continue
		}
		onError, pass := []OnError{Null, Null, Fail}[r.IntN(3)], r.IntN(4) == 0
		j := newJudge(p, onError, pass, "id", "p.nr", "p.id")
		job := Job{Format: NDJSON, AllowMissing: true, AllowOther: pass, OnError: onError, chunk: 1 + r.IntN(1<<(1+r.IntN(11))), Workers: 1 + r.IntN(3),
			Columns: []Column{{Name: "id", Plan: p}, {Name: "p.nr", Plan: p}, {Name: "p.id", Plan: p}}}
		if kind != jsonLines {
			job.Format = JSON
		}
		if !fuzzValid(kind, in) {
			job.Stdin, job.Stdout = bytes.NewReader(in), new(bytes.Buffer)
			if _, err := Run(t.Context(), job); err == nil {
				t.Fatalf("round %d: accepted %q", round, in)
			}
			continue
		}
		judgeText(j, kind, string(in))
		if diff := runJudged(t, j, job, string(in), r, r.IntN(2) == 0); diff != "" {
			t.Fatalf("round %d, kind %d, chunk %d: %q: %s", round, kind, job.chunk, in, diff)
		}
		accepted++
		others += j.errors
	}
	if accepted < rounds/2 || others < int64(rounds) {
		t.Fatalf("%d of %d texts were accepted, with %d values of other shapes: too few to test both outcomes", accepted, rounds, others)
	}
}
