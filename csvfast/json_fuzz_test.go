package csvfast

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/velonym/velonym/internal/simd"
)

// withEachKernel runs check with every kernel in use.
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

// fuzzTexts are where the fuzzing starts, beside the stored corpus.
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

func FuzzDataArray(f *testing.F) {
	fuzzTexts(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		withEachKernel(t, func() {
			checkData(t, text)
			if err := ValidateJSON(text); (err == nil) != oracleValid(text) {
				t.Fatalf("%q: accepted %v: %v", text, err == nil, err)
			}
			// the same as the items of an array, long enough for the kernels
			long := slices.Concat([]byte(`{"data":[`), bytes.Repeat([]byte(`"0123456789",`), 11), text, []byte(`,`), bytes.Repeat([]byte(`"é",`), 40), []byte(`"z"]}`))
			checkData(t, long)
		})
	})
}

func FuzzPathFinder(f *testing.F) {
	fuzzTexts(f)
	f.Add([]byte(`{"id":"1","patient":{"id":"2"},"data":["3","4"]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		paths := []string{"id", "patient.id", "data", "x"}
		withEachKernel(t, func() {
			checkLines(t, paths, text)
			// known lines before and behind, with the line itself and again
			lines := bytes.Repeat(append(bytes.Clone(text), '\n'), 3)
			lines = append(lines, bytes.Repeat([]byte(`{"id":"0123456789","patient":{"id":"\u00e9"},"data":["日"]}`+"\n"), 8)...)
			checkLines(t, paths, append(lines, lines...))
		})
	})
}

func FuzzEscape(f *testing.F) {
	f.Add([]byte("a\"b\\c\x00\x1f é,;\r\n"))
	f.Add([]byte(strings.Repeat("abcdefgh", 20) + "\""))
	f.Fuzz(func(t *testing.T, v []byte) {
		withEachKernel(t, func() {
			for _, d := range []Dialect{{}, {Comma: ';', Quote: '\''}} {
				n := d.normal()
				needs := bytes.ContainsAny(v, "\r\n") || bytes.IndexByte(v, n.Comma) >= 0 || bytes.IndexByte(v, n.Quote) >= 0
				if d.NeedsQuotes(v) != needs {
					t.Fatalf("%q: needs quotes %v", v, !needs)
				}
				field := d.AppendField(nil, v, false)
				if !needs && !bytes.Equal(field, v) {
					t.Fatalf("%q: written as %q", v, field)
				}
				if needs && !bytes.Equal(d.Unquote(nil, field[1:len(field)-1]), v) {
					t.Fatalf("%q: written as %q", v, field)
				}
			}
			if !utf8.Valid(v) {
				return
			}
			e := AppendJSONEscaped([]byte{'"'}, v)
			e = append(e, '"')
			var back string
			if err := json.Unmarshal(e, &back); err != nil || back != string(v) {
				t.Fatalf("%q: escaped as %q: %v", v, e, err)
			}
			if got := UnescapeJSON(e[1:1], e[1:len(e)-1]); !bytes.Equal(got, v) {
				t.Fatalf("%q: came back as %q", v, got)
			}
		})
	})
}
