package server

import (
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/token"
)

// TestDocumentedCall makes the call of the README in CSV, and the same in JSON.
func TestDocumentedCall(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tok := r.token("pseudonymise", nil)
	// The values of curl --data "Example PID 1,Example PID 2".
	got := r.post(forwardPath, tok, csvType, "Example PID 1,Example PID 2").strings(t)
	if len(got) != 2 || len(got[0]) != 32 || len(got[1]) != 32 || got[0] == got[1] {
		t.Fatalf("the answer to two values is %q, want two different pseudonyms of 32 characters", got)
	}
	same := r.post(forwardPath, tok, jsonType, jsonOf("Example PID 1", "Example PID 2")).strings(t)
	if !slices.Equal(got, same) {
		t.Errorf("CSV gives %q, JSON gives %q", got, same)
	}
	back := r.post(reversePath, r.token("reverse", nil), csvType, strings.Join(got, ",")).strings(t)
	if !slices.Equal(back, []string{"Example PID 1", "Example PID 2"}) {
		t.Errorf("reversed to %q", back)
	}
}

// TestBodyShapesRoundTrip sends values in every shape that a body may have, and reverses
// the answer.
func TestBodyShapesRoundTrip(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
	for _, c := range []struct {
		name, contentType, body string
		want                    []string
	}{
		{"no items", jsonType, `{"data":[]}`, []string{}},
		{"parameters", "Application/JSON; charset=utf-8", jsonOf("a"), []string{"a"}},
		{"other members", jsonType, `{"x":{"data":[1]},"data":["a"],"y":null}`, []string{"a"}},
		{"spaces", jsonType, " {\n\t\"data\" : [ \"a\" , \"b\" ] }\r\n", []string{"a", "b"}},
		{"escapes", jsonType, `{"data":["a\"b\\c","\u00e9\ud83d\ude00","\/"]}`, []string{`a"b\c`, "é😀", "/"}},
		{"empty stays empty", jsonType, jsonOf("", "a", ""), []string{"", "a", ""}},
		{"long", jsonType, jsonOf(strings.Repeat("long value ", 30)), []string{strings.Repeat("long value ", 30)}},
		{"no CSV", csvType, "", []string{}},
		{"a line end adds nothing", csvType, "a,b\n", []string{"a", "b"}},
		{"row by row", csvType, "a,b\r\nc,d\r\ne\r\n", []string{"a", "b", "c", "d", "e"}},
		{"quotes", "text/csv; header=absent", "\"a,b\",\"c\"\"d\"\n\"\",e", []string{"a,b", `c"d`, "", "e"}},
		{"byte order mark", csvType, "\ufeffa,b", []string{"a", "b"}},
		{"empty fields", csvType, ",a,\n", []string{"", "a", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			psn := r.post(forwardPath, fwd, c.contentType, c.body).strings(t)
			if len(psn) != len(c.want) {
				t.Fatalf("the answer to %d values has %d", len(c.want), len(psn))
			}
			for i, p := range psn {
				if (p == "") != (c.want[i] == "") || p != "" && p == c.want[i] {
					t.Errorf("the pseudonym of value %d, %q, is %q", i, c.want[i], p)
				}
			}
			back := r.post(reversePath, rev, jsonType, jsonOf(psn...)).strings(t)
			if !slices.Equal(back, c.want) {
				t.Errorf("reversed to %q, want %q", back, c.want)
			}
		})
	}
}

// TestAcceptCSV asks for answers in CSV, which keep the shape of a body in CSV.
func TestAcceptCSV(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
	for _, c := range []struct{ name, contentType, body, back string }{
		{"as it came", csvType, "a,b\r\n\"c,d\",\"e\"\"f\"\r\n\r\n\"\",\r\n", "a,b\r\n\"c,d\",\"e\"\"f\"\r\n\r\n\"\",\r\n"},
		{"no line end", csvType, "a,b", "a,b"},
		{"byte order mark", csvType, "\ufeff\"a\",b\n", "\"a\",b\n"},
		{"an array, one a line", jsonType, jsonOf("a", "", "b,c", `d"e`), "a\n\"\"\n\"b,c\"\n\"d\"\"e\"\n"},
		{"nothing", csvType, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := r.post(forwardPath, fwd, c.contentType, c.body, "Accept", "text/csv")
			if a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), "text/csv") {
				t.Fatalf("status %d, type %q: %s", a.status, a.header.Get("Content-Type"), a.body)
			}
			if strings.Count(string(a.body), "\n") != strings.Count(c.back, "\n") || strings.Count(string(a.body), "\r") != strings.Count(c.back, "\r") {
				t.Errorf("the answer %q has other line ends than %q", a.body, c.back)
			}
			b := r.post(reversePath, rev, csvType, string(a.body), "Accept", "text/csv;q=0.9, application/json;q=0.1")
			if string(b.body) != c.back {
				t.Errorf("reversed to %q, want %q", b.body, c.back)
			}
		})
	}
	if a := r.post(forwardPath, fwd, csvType, "a", "Accept", "application/json, text/csv;q=0.5"); a.header.Get("Content-Type") != jsonType {
		t.Errorf("the client prefers JSON, and the content type is %q", a.header.Get("Content-Type"))
	}
}

// TestTaggedValuesCarryAnyBytes reverses values that JSON cannot represent. They are
// returned in CSV; in JSON they are bad values.
func TestTaggedValuesCarryAnyBytes(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.project("tagged", func(p *keys.Project) { p.Tag = 128; p.Policy = "different" })
	of := func(q *token.Request) { q.Project = "tagged" }
	a := r.post(forwardPath, r.token("pseudonymise", of), csvType, "caf\xe9,\"tab\there\",plain", "Accept", "text/csv")
	if a.status != 200 {
		t.Fatalf("%s", a.body)
	}
	b := r.post(reversePath, r.token("reverse", of), csvType, string(a.body), "Accept", "text/csv")
	if string(b.body) != "caf\xe9,\"tab\there\",plain" {
		t.Errorf("reversed to %q", b.body)
	}
	p := r.post(reversePath, r.token("reverse", of), csvType, string(a.body)).problem(t, 422, "UNPROCESSABLE_VALUES")
	if p.ErrorCount != 1 || p.Errors[0].Index != 0 || p.Errors[0].Code != "VALUE_NOT_TEXT" {
		t.Errorf("%+v, want one error, VALUE_NOT_TEXT of value 0", p)
	}
	got := r.post(reversePath, r.token("reverse", func(q *token.Request) { q.Project = "tagged"; q.Err = "item" }), csvType, string(a.body)).data(t)
	if got[0] != nil || *got[1] != "tab\there" || *got[2] != "plain" {
		t.Errorf("items %v, want null and the two values that are text", got)
	}
}

// TestResultsAreEscapedInJSON has a form whose results contain quotes and backslashes.
func TestResultsAreEscapedInJSON(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.project("odd", func(p *keys.Project) { p.Form = `fpe:"\,;` })
	of := func(q *token.Request) { q.Project = "odd" }
	in := []string{`"\,;"\,;"\`, `;;;;;;;;;;;;`, `,,,,,,,,,,`}
	psn := r.post(forwardPath, r.token("pseudonymise", of), jsonType, jsonOf(in...)).strings(t)
	back := r.post(reversePath, r.token("reverse", of), jsonType, jsonOf(psn...)).strings(t)
	if !slices.Equal(back, in) || slices.Equal(psn, in) {
		t.Errorf("the pseudonyms of %q are %q, which reverse to %q", in, psn, back)
	}
}

// TestSecondaryAndDocument checks that translating pseudonyms gives those that the values
// have in the target project, and that policy document depends on the occurrence only.
func TestSecondaryAndDocument(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	r.project("target", func(p *keys.Project) { p.Form = "hex" })
	r.project("paper", func(p *keys.Project) { p.Policy = "document" })
	in := []string{"a", "b", "a", ""}
	psn := r.post(forwardPath, r.token("pseudonymise", nil), jsonType, jsonOf(in...)).strings(t)
	moved := r.post(forwardPath, r.token("secondary", func(q *token.Request) { q.Project, q.Source = "target", "study" }), jsonType, jsonOf(psn...)).strings(t)
	direct := r.post(forwardPath, r.token("pseudonymise", func(q *token.Request) { q.Project = "target" }), jsonType, jsonOf(in...)).strings(t)
	if !slices.Equal(moved, direct) {
		t.Errorf("translated to %q, want %q", moved, direct)
	}
	paper := r.token("pseudonymise", func(q *token.Request) { q.Project = "paper" })
	first := r.post(forwardPath, paper, jsonType, jsonOf(in...)).strings(t)
	second := r.post(forwardPath, paper, jsonType, jsonOf(in...)).strings(t)
	if !slices.Equal(first, second) || first[0] == first[2] {
		t.Errorf("two documents: %q and %q, want equal ones whose occurrences differ", first, second)
	}
}
