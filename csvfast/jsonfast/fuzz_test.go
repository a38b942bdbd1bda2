package jsonfast

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/velonym/velonym/internal/simd"
)

// withEachKernel runs check once for every kernel.
func withEachKernel(t *testing.T, check func()) {
	t.Helper()
	defer simd.Force("auto")
	for _, name := range simd.Kernels() {
		if err := simd.Force(name); err != nil {
			t.Fatal(err)
		}
		check()
	}
}

// fuzzTexts adds the seeds of the fuzz tests, beside the stored corpus.
func fuzzTexts(f *testing.F) {
	for _, s := range []string{
		`{"data":["a","b\u00e9","\ud83d\ude00",null,1.5e-3,[{}],"` + strings.Repeat("x", 200) + `"]}`,
		`{"x":{"data":[1]},"d\u0061ta" : [ "é" , "日本" ] }`,
		`{"data":[` + strings.Repeat(`"0000000000000",`, 20) + `"\\\"\\"]}`,
		"{\"data\":[\"\xed\xa0\x80\"]}",
	} {
		f.Add([]byte(s))
	}
}

// FuzzArray compares Array.Scan with the oracle.
func FuzzArray(f *testing.F) {
	fuzzTexts(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		withEachKernel(t, func() {
			checkData(t, text)
			if err := Validate(text); (err == nil) != oracleValid(text) {
				t.Fatalf("%q: accepted %v: %v", text, err == nil, err)
			}
			// The text as an item of an array that is long enough for the kernels.
			long := slices.Concat([]byte(`{"data":[`), bytes.Repeat([]byte(`"0123456789",`), 11), text, []byte(`,`), bytes.Repeat([]byte(`"é",`), 40), []byte(`"z"]}`))
			checkData(t, long)
		})
	})
}

// FuzzPathFinder compares PathFinder.Scan with the oracle.
func FuzzPathFinder(f *testing.F) {
	fuzzTexts(f)
	f.Add([]byte(`{"id":"1","patient":{"id":"2"},"data":["3","4"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		paths := []string{"id", "patient.id", "data", "x"}
		withEachKernel(t, func() {
			checkLines(t, paths, text)
			// The line three times, between lines of known shapes.
			lines := bytes.Repeat(append(bytes.Clone(text), '\n'), 3)
			lines = append(lines, bytes.Repeat([]byte(`{"id":"0123456789","patient":{"id":"\u00e9"},"data":["日"]}`+"\n"), 8)...)
			checkLines(t, paths, append(lines, lines...))
		})
	})
}

// FuzzEscape compares escaping and unescaping with encoding/json.
func FuzzEscape(f *testing.F) {
	f.Add([]byte("a\"b\\c\x00\x1f é,;\r\n"))
	f.Add([]byte(strings.Repeat("abcdefgh", 20) + "\""))
	f.Fuzz(func(t *testing.T, v []byte) {
		withEachKernel(t, func() {
			if !utf8.Valid(v) {
				return
			}
			e := AppendEscaped([]byte{'"'}, v)
			e = append(e, '"')
			var back string
			if err := json.Unmarshal(e, &back); err != nil || back != string(v) {
				t.Fatalf("%q: escaped as %q: %v", v, e, err)
			}
			if got := Unescape(e[1:1], e[1:len(e)-1]); !bytes.Equal(got, v) {
				t.Fatalf("%q: came back as %q", v, got)
			}
		})
	})
}
