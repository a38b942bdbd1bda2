package jsonfast

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestJSONTestSuite runs the files of JSONTestSuite through Validate, Array and PathFinder.
func TestJSONTestSuite(t *testing.T) {
	files, err := filepath.Glob("../../testdata/corpora/JSONTestSuite/*/*.json")
	if err != nil || len(files) < 330 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Base(file)
			err = Validate(text)
			if name[:2] == "y_" && err != nil {
				t.Errorf("%s: refused: %v", name, err)
			}
			if name[:2] == "n_" && err == nil {
				t.Errorf("%s: accepted", name)
			}
			if want := oracleValid(text); want != (err == nil) {
				t.Errorf("%s: accepted %v, oracle %v: %v", name, err == nil, want, err)
			}
			// The text as a member beside the data, as an item and as a line.
			nested := bytes.Join([][]byte{[]byte(`{"x":`), text, []byte(`,"data":["a",`), text, []byte(`,"b"]}`)}, nil)
			checkData(t, nested)
			checkData(t, text)
			checkLines(t, []string{"x", "data"}, text)
			checkLines(t, []string{"x", "data"}, nested)
			checkLines(t, []string{"x", "data"}, bytes.Join([][]byte{nested, nested, []byte("{}")}, []byte("\n")))
		}
	})
}

// TestArrayRules checks the rules of Array.Scan and the offsets of its errors.
func TestArrayRules(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, c := range []struct{ text, err string }{
			{`{"data":[]}`, ``},
			{`{"x":1,"data":["a"],"y":{"data":["b"]}}`, ``},
			{` { "data" : [ "a" , "b" ] } ` + "\n", ``},
			{`{"d\u0061ta":["a"]}`, ``},
			{`{"data":[` + deep(510) + `]}`, ``},
			{`{"data":[` + deep(511) + `]}`, `json: byte 519: nested deeper than 512 levels`},
			{`{"x":` + deep(511) + `,"data":[]}`, ``},
			{`{"x":` + deep(512) + `,"data":[]}`, `json: byte 516: nested deeper than 512 levels`},
			{`{"data":["a"],"data":[]}`, `json: byte 14: member "data" given twice`},
			{`{"data":["a"],"d\u0061ta":[]}`, `json: byte 14: member "data" given twice`},
			{`{"d\u0061ta":["a"],"data":[]}`, `json: byte 19: member "data" given twice`},
			{`{"Data":["a"]}`, `json: byte 13: no member "data" in the object`},
			{`{}`, `json: byte 1: no member "data" in the object`},
			{`["a"]`, `json: byte 0: an object with a member "data" expected`},
			{`{"data":"a"}`, `json: byte 8: member "data" is no array`},
			{`{"data":null}`, `json: byte 8: member "data" is no array`},
			{"\ufeff" + `{"data":[]}`, `json: byte 0: byte order mark not allowed; send UTF-8 without one`},
			{``, `json: byte 0: text ends too early`},
			{`{"data":["a",]}`, `json: byte 13: value expected`},
			{`{"data":["a" "b"]}`, `json: byte 13: ',' or the closing bracket expected`},
			{`{"data":["a"]} x`, `json: byte 15: text after the end of the value`},
			{`{"data":["a\ud800"]}`, `json: byte 11: escape of half a surrogate pair, which has no UTF-8 form`},
			{`{"data":["\udc00"]}`, `json: byte 10: escape of half a surrogate pair, which has no UTF-8 form`},
			{`{"data":["\ud800\ud800"]}`, `json: byte 10: escape of half a surrogate pair, which has no UTF-8 form`},
			{`{"data":["a` + "\x01" + `"]}`, `json: byte 11: control character in a string; escape it`},
			{`{"data":["a` + "\xed\xa0\x80" + `"]}`, `json: byte 11: string is not valid UTF-8`},
			{`{"data":["a\q"]}`, `json: byte 11: unknown escape in a string`},
			{`{"data":["a"`, `json: byte 12: text ends too early`},
		} {
			var a Array
			err := a.Scan([]byte(c.text))
			if got := fmt.Sprint(err); got != c.err && (err != nil || c.err != "") {
				t.Errorf("%.300q: %v, want %q", c.text, err, c.err)
			}
		}
	})
	var a Array
	if err := a.Scan([]byte(strings.Repeat("[", 1<<20))); err == nil {
		t.Error("a million brackets were accepted")
	}
	if err := Validate([]byte(strings.Repeat(`{"a":`, 1<<20))); err == nil {
		t.Error("a million braces were accepted")
	}
}

// TestPathFinderRules checks which paths are valid, and what they find.
func TestPathFinderRules(t *testing.T) {
	for _, paths := range [][]string{nil, {""}, {"a..b"}, {".a"}, {"a."}, {"a", "a"}, {`a\`}, {`a\b`}, make([]string, 257)} {
		if _, err := NewPathFinder(paths); err == nil || !strings.HasPrefix(err.Error(), "json: ") {
			t.Errorf("%.300q: %v", paths, err)
		}
	}
	f, err := NewPathFinder([]string{`a\.b`, `c\\d`, "é", "patient", "patient.id"})
	if err != nil {
		t.Fatal(err)
	}
	text := `{"a.b":"1","c\\d":["2",["3"]],"\u00e9":"4","patient":{"id":null,"x":{"id":"no"}}}` + "\r\n\r\n" +
		`{"patient":[{"id":"5"},{"id":"6"}],"a":{"b":"no"}}` + "\n \n[{\"a.b\":7}]"
	simdtest.EachKernel(t, func(t *testing.T) {
		if err := f.Scan([]byte(text)); err != nil {
			t.Fatal(err)
		}
		got := ""
		for k, p := range f.Path {
			got += fmt.Sprint(p, ":", text[f.Spans[2*k]:][:f.Spans[2*k+1]], " ")
		}
		for _, n := range f.NotString {
			got += fmt.Sprint(n.Path, string(n.Kind), text[n.Offset:][:1], " ")
		}
		if want := "0:1 1:2 1:3 2:4 4:5 4:6 3{{ 4nn 3{{ 3{{ 007 "; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if f.Rows != 3 || f.Lines != 4 {
			t.Errorf("%d rows, %d lines, want 3 and 4", f.Rows, f.Lines)
		}
		f.Hollow = [4]uint64{}
		if err := f.Scan([]byte(strings.Repeat(`{"a.b":[ ],"patient":[[]],"x":[],"é":{}}`+"\n", 100))); err != nil || f.Hollow != [4]uint64{1<<0 | 1<<3} {
			t.Errorf("%v, empty arrays at paths %b, want paths 0 and 3", err, f.Hollow)
		}
		err := f.Scan([]byte("{}\n\n{\"é\":\"x\n\"}\n"))
		if fmt.Sprint(err) != "json: line 3, byte 12: text ends too early" || len(f.Spans) != 0 {
			t.Error(err, f.Spans)
		}
	})
}

// TestNaughtyStrings checks that the Big List of Naughty Strings is read and escaped correctly.
func TestNaughtyStrings(t *testing.T) {
	text, err := os.ReadFile("../../testdata/corpora/naughty-strings/blns.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	if err := json.Unmarshal(text, &list); err != nil || len(list) < 500 {
		t.Fatal(len(list), err)
	}
	simdtest.EachKernel(t, func(t *testing.T) {
		body := []byte(`{"data":[`)
		for k, s := range list {
			if k > 0 {
				body = append(body, ',')
			}
			body = append(body, '"')
			body = append(AppendEscaped(body, []byte(s)), '"')
		}
		body = append(body, `]}`...)
		checkData(t, body)
		var a Array
		if err := a.Scan(body); err != nil {
			t.Fatal(err)
		}
		for k, s := range list {
			if got := Unescape(nil, body[a.Spans[2*k]:][:a.Spans[2*k+1]]); string(got) != s {
				t.Errorf("%q came back as %q", s, got)
			}
		}
		checkData(t, append(append([]byte(`{"data":`), text...), '}'))
	})
}

// TestArrayMemory checks that a first scan allocates little more than its spans need, wherever in
// a string a window ends.
func TestArrayMemory(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, n := range []int{1, 3, 13, 300} {
			body := []byte(`{"data":["x"`)
			for len(body) < 1<<20 {
				body = append(append(append(body, `,"`...), strings.Repeat("x", n)...), '"')
			}
			body = append(body, `]}`...)
			var a Array
			if err := a.Scan(body); err != nil {
				t.Fatal(err)
			}
			if limit := 3*len(a.Spans) + 3*64*arrayBlocks; cap(a.Spans) > limit {
				t.Errorf("%d elements of Spans in a capacity of %d, want %d at most", len(a.Spans), cap(a.Spans), limit)
			}
		}
	})
}

// TestJSONAllocations checks that a repeated scan allocates nothing.
func TestJSONAllocations(t *testing.T) {
	body := []byte(`{"data":["a\u00e9","日本",null`)
	lines := []byte{}
	r := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		body = append(body, ',')
		body = randomString(r, body)
		lines = append(shapedLine(r, rand.New(rand.NewPCG(r.Uint64()%3, 0)), lines), '\n')
	}
	body = append(body, `]}`...)
	simdtest.EachKernel(t, func(t *testing.T) {
		var a Array
		f, _ := NewPathFinder([]string{"id", "visits", "patient.id"})
		scratch := make([]byte, 0, 4*len(body))
		if err := f.Scan(lines); err != nil {
			t.Fatal(err)
		}
		if err := a.Scan(body); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(20, func() {
			a.Scan(body)
			f.Scan(lines)
			scratch = Unescape(scratch[:0], body[2:4])
			scratch = AppendEscaped(scratch[:0], body)
		}); n != 0 {
			t.Errorf("%v allocations for a scan, want none", n)
		}
	})
}
