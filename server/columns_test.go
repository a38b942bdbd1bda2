package server

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
)

// pseudonyms returns the pseudonyms of values, from a call in JSON.
func (r *rig) pseudonyms(tok string, values ...string) []string {
	r.t.Helper()
	return r.post(forwardPath, tok, jsonType, jsonOf(values...)).strings(r.t)
}

// csvBody returns the body of a successful call with columns.
func (a clientAnswer) csvBody(t testing.TB) string {
	t.Helper()
	if a.status != 200 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if ct := a.header.Get("Content-Type"); !strings.HasPrefix(ct, "text/csv") {
		t.Errorf("content type %q", ct)
	}
	return string(a.body)
}

// TestColumnsKeepAllOtherBytes replaces the values of chosen columns. Every other byte of
// the body must stay: quotes, line ends, empty lines, byte order marks, separators.
func TestColumnsKeepAllOtherBytes(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
	p := r.pseudonyms(fwd, "1973080520045", "é a", `q"r`, "x,y")
	a, b, c, d := p[0], p[1], p[2], p[3]
	for _, x := range []struct{ query, contentType, body, want string }{
		{"column=id", "text/csv", "id,n\n1973080520045,1\né a,2\n", "id,n\n" + a + ",1\n" + b + ",2\n"},
		{"column=id&header=present", "text/csv", "n,id\r\n1,\"1973080520045\"\r\n\r\n2,\"q\"\"r\"", "n,id\r\n1,\"" + a + "\"\r\n\r\n2,\"" + c + "\""},
		{"column=id", "text/csv; charset=utf-8; Header=Present", "\ufeffid,n\n1973080520045,\"a\"\"b\"\n", "\ufeffid,n\n" + a + ",\"a\"\"b\"\n"},
		{"column=%231&header=absent", "text/csv", "1973080520045,1\n", a + ",1\n"},
		{"column=%232&header=present", "text/csv", "k,1\n1,1973080520045\n", "k,1\n1," + a + "\n"},
		{"column=2", `text/csv; header="absent"`, "k,1973080520045\n", "k," + a + "\n"},
		{"column=n&column=id", "text/csv", "id,x,n\n1973080520045,1,é a\n\"x,y\",,\n", "id,x,n\n" + a + ",1," + b + "\n\"" + d + "\",,\n"},
		{"column=id&delimiter=;", "text/csv", "id;n\nx,y;1\n", "id;n\n" + d + ";1\n"},
		{"column=id&delimiter=%3B", "text/csv", "id;n\n;1\n", "id;n\n;1\n"},
		{"column=id&delimiter=tab", "text/csv", "n\tid\n1\tx,y\n", "n\tid\n1\t" + d + "\n"},
		{"column=id&delimiter=%09", "text/csv", "n\tid\n1\tx,y", "n\tid\n1\t" + d},
		{"column=id", "text/csv", "sep=;\nid;n\nx,y;1\n", "sep=;\nid;n\n" + d + ";1\n"},
		{"column=id", "text/csv", "id\n1973080520045\n\"\"\n", "id\n" + a + "\n\"\"\n"},
		{"column=a%20b%2C%22", "text/csv", "\"a b,\"\"\"\n1973080520045\n", "\"a b,\"\"\"\n" + a + "\n"},
		{"column=id", "text/csv", "id,n\n", "id,n\n"},
		{"column=%231&header=absent", "text/csv", "", ""},
		{"column=%231&header=absent", "text/csv", "\n\n", "\n\n"},
	} {
		got := r.post(forwardPath+"?"+x.query, fwd, x.contentType, x.body).csvBody(t)
		if got != x.want {
			t.Errorf("%s, %q:\ngot  %q\nwant %q", x.query, x.body, got, x.want)
			continue
		}
		if back := r.post(reversePath+"?"+x.query, rev, x.contentType, got).csvBody(t); back != x.body {
			t.Errorf("%s, %q:\nreversed to %q", x.query, x.body, back)
		}
	}
	// Bodies of several parts and compressed bodies.
	big := "id,n\n" + strings.Repeat("1973080520045,1\n", 500)
	if got := r.post(forwardPath+"?column=id", fwd, csvType, big, "Accept", jsonType).csvBody(t); got != strings.ReplaceAll(big, "1973080520045", a) {
		t.Error("a large body: the answer is not the body with the pseudonyms")
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte(big))
	z.Close()
	res := r.post(forwardPath+"?column=id", fwd, csvType, packed.String(), "Content-Encoding", "gzip", "Accept-Encoding", "gzip")
	if res.header.Get("Content-Encoding") != "gzip" {
		t.Fatal("the answer is not compressed")
	}
	g, err := gzip.NewReader(bytes.NewReader(res.body))
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(g); err != nil || plain.String() != strings.ReplaceAll(big, "1973080520045", a) {
		t.Error("a compressed body: the answer is not the body with the pseudonyms: ", err)
	}
	// Without column, header and delimiter have no effect.
	if got := r.post(forwardPath+"?header=present&delimiter=;", fwd, csvType, "1973080520045,é a\n").strings(t); len(got) != 2 || got[0] != a || got[1] != b {
		t.Errorf("without column: %q, want the two pseudonyms", got)
	}
}

// TestColumnsRefused checks why requests with columns are refused. Answers must not
// contain values, nor the names in a first row that the client has not declared a header.
func TestColumnsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	fwd := r.token("pseudonymise", nil)
	const secret = canary
	for _, x := range []struct {
		what, query, body string
		want              []string // in the detail
	}{
		{"no such column, header declared", "column=nr&header=present", "id,name\n1,2\n", []string{`"nr"`, "2 columns", `"id", "name"`}},
		{"no such column, header not declared", "column=nr", secret + "," + secret + "\n" + secret + ",2\n", []string{`"nr"`, "2 columns", "header=present"}},
		{"no such column, a header beyond doubt, not declared", "column=nr", secret + "\n17\n18\n", []string{`"nr"`, "1 column", "header=present"}},
		{"a name without a header", "column=id&header=absent", "id,name\n", []string{"by number"}},
		{"no such number", "column=%233&header=present", "id,name\n1,2\n", []string{"no column 3", "2 fields"}},
		{"number 0", "column=%230&header=present", "id\n", []string{"from 1"}},
		{"no name", "column=&header=present", "id\n", []string{"name"}},
		{"a column twice", "column=id&column=%231&header=present", "id\n1\n", []string{"twice"}},
		{"a name twice in the header", "column=id&header=present", "id,id\n1,2\n", []string{"columns 1 and 2"}},
		{"a first row that may be data", "column=%231", "1973080520045,x\n1973080520046,y\n", []string{"header=present", "header=absent"}},
		{"a first row that may be a header", "column=%231", "a,b\nc,d\n", []string{"header=present", "header=absent"}},
		{"header of another kind", "column=id&header=yes", "id\n1\n", []string{"present or absent"}},
		{"header twice", "column=id&header=present&header=absent", "id\n1\n", []string{"twice"}},
		{"a long delimiter", "column=id&delimiter=;;", "id\n1\n", []string{"delimiter"}},
		{"no delimiter", "column=id&delimiter=", "id\n1\n", []string{"delimiter"}},
		{"a quote as delimiter", "column=id&delimiter=%22", "id\n1\n", []string{"delimiter"}},
		{"two delimiters", "column=id&delimiter=;&delimiter=;", "id\n1\n", []string{"delimiter"}},
		{"another delimiter than the body says", "column=id&delimiter=,", "sep=;\nid;n\n1;2\n", []string{"delimiter", "';'"}},
		{"the delimiter is another one", "column=id&header=present", "id;n\n1;2\n", []string{"1 column", `";" separates`}},
		{"nothing at all", "column=id", "", []string{"empty"}},
		{"a ragged row", "column=id", "id,n\n1,2\n" + secret + "\n", []string{"line 3"}},
		{"a bare quote", "column=id", "id,n\n1,2\n1,2\nab\"" + secret + ",2\n", []string{"line 4"}},
		{"an open quote", "column=id", "id,n\n1,2\n\"" + secret + ",2\n", []string{"line 3", "never closed"}},
		{"the header again", "column=id", "id,n\n" + secret + ",2\nid,n\n1,2\n", []string{"line 3", "header"}},
		{"lines that end in CR", "column=id", "id,n\r1,2\r", []string{"CR"}},
		{"JSON", "column=id&header=present", `{"data":["` + secret + `"]}`, []string{"JSON"}},
	} {
		a := r.post(forwardPath+"?"+x.query, fwd, csvType, x.body)
		p := a.problem(t, 400, "BAD_REQUEST")
		for _, w := range x.want {
			if !strings.Contains(p.Detail, w) {
				t.Errorf("%s: the detail %q does not contain %q", x.what, p.Detail, w)
			}
		}
		if bytes.Contains(a.body, []byte(secret)) {
			t.Errorf("%s: the answer contains a value: %s", x.what, a.body)
		}
	}
	r.post(forwardPath+"?column=id", fwd, jsonType, jsonOf("1")).problem(t, 400, "BAD_REQUEST")
	r.post("/api/validate?column=id", fwd, csvType, "id\n1\n").problem(t, 400, "BAD_REQUEST")
	if strings.Contains(r.log.String(), secret) {
		t.Error("the log contains a value")
	}
}

// TestColumnsBadValues checks strict and item mode, limits, the audit record and the
// enumeration guard for requests with columns. Errors name the row and the column.
func TestColumnsBadValues(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	fwd := r.token("pseudonymise", nil)
	item := r.token("pseudonymise", func(q *token.Request) { q.Err = token.ErrItem })
	p := r.pseudonyms(fwd, "1", "2")
	const body = "id,x,\"n\"\"m\"\n1,,2\n\"a\x01\",,2\n1,,\x02\n,,\n"
	const query = "?column=n%22m&column=%231&header=present"
	a := r.post(forwardPath+query, fwd, csvType, body)
	e := a.problem(t, 422, "UNPROCESSABLE_VALUES")
	if got := fmt.Sprint(e.Errors, e.ErrorCount); got != `[{1 1 VALUE_NOT_TEXT} {2 n"m VALUE_NOT_TEXT}] 2` {
		t.Errorf("errors of strict mode: %s", got)
	}
	a = r.post(forwardPath+query, item, csvType, body)
	want := "id,x,\"n\"\"m\"\n" + p[0] + ",," + p[1] + "\n\"\",," + p[1] + "\n" + p[0] + ",,\n,,\n"
	if got := a.csvBody(t); got != want || a.header.Get("X-Error-Count") != "2" {
		t.Errorf("item mode: X-Error-Count %s\ngot  %q\nwant %q", a.header.Get("X-Error-Count"), got, want)
	}
	if log := r.records(); !strings.Contains(log, `"values":8,"empty":2,"bad":2`) {
		t.Errorf("audit log: %s", log)
	}
	// The empty result of a row with one field is quoted, since an empty line is no row.
	if got := r.post(forwardPath+"?column=id", item, csvType, "id\n\x01\n1\n").csvBody(t); got != "id\n\"\"\n"+p[0]+"\n" {
		t.Errorf("the only field of a row: %q", got)
	}
	few := r.token("pseudonymise", func(q *token.Request) { q.Limits = token.Limits{Req: 3, Max: 10} })
	r.post(forwardPath+"?column=id", few, csvType, "id\n1\n2\n3\n4\n").problem(t, 413, "TOO_LARGE")
	a = r.post(forwardPath+"?column=id", few, csvType, "id,n\n1,x\n,\n2,y\n3,\n")
	if a.csvBody(t); a.header.Get("X-Values-Left") != "7" {
		t.Errorf("X-Values-Left: %q, want 7", a.header.Get("X-Values-Left"))
	}
	// The enumeration guard observes each column separately.
	var numbers strings.Builder
	numbers.WriteString("a,id\n")
	for i := range 3000 {
		fmt.Fprintf(&numbers, "x%d,%d\n", i%7, 1_000_000+i)
	}
	r.post(forwardPath+"?column=a&column=id", fwd, csvType, numbers.String()).csvBody(t)
	if !strings.Contains(r.log.String(), "consecutive numbers") {
		t.Error("the log does not report consecutive numbers")
	}
}

// TestColumnsMatchEncodingCSV reads random bodies and their answers with encoding/csv.
// Only the chosen columns may differ, their values must be those of calls in JSON, and
// reversing must give the body byte for byte. Some bodies have several parts and writers.
func TestColumnsMatchEncodingCSV(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.Workers = 3 })
	r.project("tagged", func(p *keys.Project) { p.Tag = 64 }) // takes any bytes
	r.project("count", func(p *keys.Project) { p.Policy = "document" })
	of := func(project string) func(*token.Request) {
		return func(q *token.Request) { q.Project = project }
	}
	rng := rand.New(rand.NewPCG(5, 6))
	pieces := []string{"a", "Ünï", "高", "1973080520045", `"`, `""`, ";", ",", "\n", "\r\n", " ", "\x00", "0", "a long long long value "}
	for round := range 24 {
		project := []string{"study", "tagged", "count"}[round%3]
		fwd, rev := r.token("pseudonymise", of(project)), r.token("reverse", of(project))
		usual := pieces
		if project != "tagged" {
			usual = []string{"a", "Ünï", "高", "1973080520045", `"`, ";", ",", " ", "0"}
		}
		if round%2 == 0 {
			usual = usual[:4]
		}
		cols := 1 + rng.IntN(4)
		rows := []int{1, 30, 6000}[rng.IntN(3)]
		var body strings.Builder
		for row := range rows + 1 {
			for col := range cols {
				v := fmt.Sprintf("c%d", col)
				if row > 0 {
					v = ""
					for range rng.IntN(4) {
						v += usual[rng.IntN(len(usual))]
					}
				}
				if col > 0 {
					body.WriteByte(',')
				}
				if strings.ContainsAny(v, "\",\r\n") || rng.IntN(4) == 0 || cols == 1 && v == "" {
					v = `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
				}
				body.WriteString(v)
			}
			body.WriteString([]string{"\n", "\r\n"}[rng.IntN(2)])
		}
		chosen := map[int]bool{rng.IntN(cols): true, rng.IntN(cols): true}
		query := "?header=present"
		for c := range chosen {
			query += fmt.Sprintf("&column=c%d", c)
		}
		got := r.post(forwardPath+query, fwd, csvType, body.String()).csvBody(t)
		if back := r.post(reversePath+query, rev, csvType, got).csvBody(t); back != body.String() {
			t.Fatalf("round %d: reversing does not give the body", round)
		}
		in, err := csv.NewReader(strings.NewReader(body.String())).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		out, err := csv.NewReader(strings.NewReader(got)).ReadAll()
		if err != nil || len(in) != len(out) {
			t.Fatalf("round %d: %v, the answer to %d rows has %d", round, err, len(in), len(out))
		}
		var values, made []string
		for i := range in {
			for col := range in[i] {
				if i == 0 || !chosen[col] {
					if in[i][col] != out[i][col] {
						t.Fatalf("round %d: row %d, column %d has changed", round, i, col)
					}
					continue
				}
				values, made = append(values, in[i][col]), append(made, out[i][col])
			}
		}
		if project == "tagged" { // its values may be bytes that encoding/csv changes or JSON cannot represent
			continue
		}
		for i, p := range r.pseudonyms(fwd, values...) {
			if p != made[i] {
				t.Fatalf("round %d: value %d has another pseudonym in JSON", round, i)
			}
		}
	}
}

// TestColumnsReleaseMemory checks that a request with columns releases its memory,
// whatever the answer.
func TestColumnsReleaseMemory(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxInFlight, c.Workers = 8<<20, 2 })
	fwd := r.token("pseudonymise", nil)
	body := "id,n\n" + strings.Repeat("1973080520045,text\n", 20_000)
	for range 3 {
		r.post(forwardPath+"?column=id", fwd, csvType, body).csvBody(t)
		r.post(forwardPath+"?column=id", fwd, csvType, body+"\x01,\n").problem(t, 422, "UNPROCESSABLE_VALUES")
		r.post(forwardPath+"?column=id", fwd, csvType, body+"1\n").problem(t, 400, "BAD_REQUEST")
		r.post(forwardPath+"?column=nr&header=present", fwd, csvType, body).problem(t, 400, "BAD_REQUEST")
		r.post(forwardPath+"?column=id", fwd, csvType, strings.Repeat(body, 20)).problem(t, 413, "TOO_LARGE")
	}
	r.waitMemoryReleased()
}
