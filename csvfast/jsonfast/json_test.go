package jsonfast

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

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
			// The same text as a member beside the data, as an item, as a line.
			nested := bytes.Join([][]byte{[]byte(`{"x":`), text, []byte(`,"data":["a",`), text, []byte(`,"b"]}`)}, nil)
			checkData(t, nested)
			checkData(t, text)
			checkLines(t, []string{"x", "data"}, text)
			checkLines(t, []string{"x", "data"}, nested)
			checkLines(t, []string{"x", "data"}, bytes.Join([][]byte{nested, nested, []byte("{}")}, []byte("\n")))
		}
	})
}

// oracleValid is Validate on encoding/json, which lets invalid UTF-8, half
// surrogate pairs and 10,000 levels pass.
func oracleValid(text []byte) bool {
	return utf8.Valid(text) && json.Valid(text) && !halfSurrogate(text) && levels(text) <= maxDepth
}

// halfSurrogate reports whether valid JSON escapes half a surrogate pair.
func halfSurrogate(text []byte) bool {
	unit := func(i int) rune {
		if i+6 > len(text) || text[i] != '\\' || text[i+1] != 'u' {
			return 0
		}
		u, _ := strconv.ParseUint(string(text[i+2:i+6]), 16, 16)
		return rune(u)
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		u := unit(i)
		i++
		if utf16.IsSurrogate(u) {
			if utf16.DecodeRune(u, unit(i+5)) == utf8.RuneError {
				return true
			}
			i += 6
		}
	}
	return false
}

// levels returns how deep valid JSON is nested.
func levels(text []byte) int {
	deepest, depth, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '{' || c == '['):
			depth++
			deepest = max(deepest, depth)
		case !quoted && (c == '}' || c == ']'):
			depth--
		}
	}
	return deepest
}

// member is a member of an object, in order and with its duplicates.
type member struct {
	name  string
	value json.RawMessage
}

// members cuts a valid object.
func members(text []byte) (m []member) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.Token()
	for d.More() {
		name, _ := d.Token()
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			panic(err)
		}
		m = append(m, member{name.(string), v})
	}
	return m
}

// unquoted returns the value of a valid string.
func unquoted(text []byte) string {
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		panic(err)
	}
	return s
}

// oracleData is Array.Scan on encoding/json; a nil item is no string.
func oracleData(text []byte) (items []*string, ok bool) {
	if !oracleValid(text) || bytes.TrimLeft(text, " \t\r\n")[0] != '{' {
		return nil, false
	}
	count := 0
	for _, m := range members(text) {
		if m.name != "data" {
			continue
		}
		count++
		if m.value[0] != '[' {
			return nil, false
		}
		var values []json.RawMessage
		if err := json.Unmarshal(m.value, &values); err != nil {
			panic(err)
		}
		for _, v := range values {
			if v[0] == '"' {
				s := unquoted(v)
				items = append(items, &s)
			} else {
				items = append(items, nil)
			}
		}
	}
	return items, count == 1
}

// checkData fails when a Scan of text differs from the oracle.
func checkData(t *testing.T, text []byte) {
	t.Helper()
	var a Array
	checkDataWith(t, &a, text)
}

func checkDataWith(t *testing.T, a *Array, text []byte) {
	t.Helper()
	want, ok := oracleData(text)
	compareData(t, a, text, want, ok)
}

// compareData compares a Scan of text with what oracleData has said.
func compareData(t *testing.T, a *Array, text []byte, want []*string, ok bool) {
	t.Helper()
	err := a.Scan(text)
	if ok != (err == nil) {
		t.Fatalf("%.300q: accepted %v, oracle %v: %v", text, err == nil, ok, err)
	}
	if err != nil {
		if len(a.Spans)+len(a.Escaped)+len(a.NotString) != 0 {
			t.Fatalf("%.300q: an error and items", text)
		}
		checkOffset(t, text, err)
		return
	}
	if len(a.Spans) != 2*len(want) {
		t.Fatalf("%.300q: %d items, oracle %d", text, len(a.Spans)/2, len(want))
	}
	esc, not := a.Escaped, a.NotString
	for k, w := range want {
		off, n := a.Spans[2*k], a.Spans[2*k+1]
		if w == nil {
			if off != 0 || n != 0 || len(not) == 0 || not[0] != uint32(k) {
				t.Fatalf("%.300q: item %d is no string; span %d,%d, list %v", text, k, off, n, not)
			}
			not = not[1:]
			continue
		}
		raw := text[off : off+n]
		if text[off-1] != '"' || text[off+n] != '"' {
			t.Fatalf("%.300q: item %d: span %d,%d is not between quotes", text, k, off, n)
		}
		if bytes.IndexByte(raw, '\\') >= 0 {
			if len(esc) == 0 || esc[0] != uint32(k) {
				t.Fatalf("%.300q: item %d holds an escape; list %v", text, k, esc)
			}
			esc = esc[1:]
		}
		if got := string(Unescape(nil, raw)); got != *w {
			t.Fatalf("%.300q: item %d: %q, oracle %q", text, k, got, *w)
		}
	}
	if len(esc)+len(not) != 0 {
		t.Fatalf("%.300q: flagged without reason: escaped %v, no strings %v", text, esc, not)
	}
}

// checkOffset compares the offset of a refusal with encoding/json's where
// both refuse for the same reason.
func checkOffset(t *testing.T, text []byte, err error) {
	t.Helper()
	var e *SyntaxError
	if !errors.As(err, &e) {
		t.Fatalf("%.300q: error %T", text, err)
	}
	if e.Offset < 0 || e.Offset > int64(len(text)) {
		t.Fatalf("%.300q: offset %d", text, e.Offset)
	}
	var v any
	var theirs *json.SyntaxError
	switch e.Reason {
	case reasonEnd:
		if e.Offset != int64(len(text)) {
			t.Fatalf("%.300q: end at %d", text, e.Offset)
		}
		return
	case reasonUTF8:
		if r, n := utf8.DecodeRune(text[e.Offset:]); r != utf8.RuneError || n > 1 || !utf8.Valid(text[:e.Offset]) {
			t.Fatalf("%.300q: UTF-8 is valid at %d", text, e.Offset)
		}
		return
	case reasonEscape, reasonSurrogate:
		if text[e.Offset] != '\\' {
			t.Fatalf("%.300q: no escape at %d", text, e.Offset)
		}
		return
	case reasonObject, reasonTwice, reasonNoData, reasonNotArray, reasonDepth, reasonBOM:
		return
	}
	if errors.As(json.Unmarshal(text, &v), &theirs) && theirs.Offset-1 != e.Offset {
		t.Fatalf("%.300q: refused at %d (%s), encoding/json at %d (%v)", text, e.Offset, e.Reason, theirs.Offset-1, theirs)
	}
}

// find is what a path leads to: a string, or the first byte of another value.
type find struct {
	path  int
	value string
	kind  byte
	cut   []int // the paths that it cuts short; path is then ^cut[0]
}

func (f find) equal(g find) bool {
	return f.path == g.path && f.value == g.value && f.kind == g.kind && slices.Equal(f.cut, g.cut)
}

// oracleFind walks a valid value as PathFinder does.
func oracleFind(text []byte, paths [][]string, depth int, under []int) (finds []find) {
	text = bytes.TrimLeft(text, " \t\r\n")
	leaf := -1
	for _, k := range under {
		if len(paths[k]) == depth {
			leaf = k
		}
	}
	switch c := text[0]; c {
	case '[':
		var values []json.RawMessage
		if err := json.Unmarshal(text, &values); err != nil {
			panic(err)
		}
		for _, v := range values {
			finds = append(finds, oracleFind(v, paths, depth, under)...)
		}
	case '{':
		if leaf >= 0 {
			finds = append(finds, find{leaf, "", '{', nil})
		}
		for _, m := range members(text) {
			var on []int
			for _, k := range under {
				if len(paths[k]) > depth && paths[k][depth] == m.name {
					on = append(on, k)
				}
			}
			if len(on) > 0 {
				finds = append(finds, oracleFind(m.value, paths, depth+1, on)...)
			}
		}
	case '"':
		if leaf >= 0 {
			finds = append(finds, find{leaf, unquoted(text), '"', nil})
		} else if len(under) > 0 {
			finds = append(finds, find{^under[0], "", '"', under})
		}
	default:
		if c == '-' || c >= '0' && c <= '9' {
			c = '0'
		}
		if leaf >= 0 {
			finds = append(finds, find{leaf, "", c, nil})
		} else if len(under) > 0 {
			finds = append(finds, find{^under[0], "", c, under})
		}
	}
	return finds
}

// oracleRowsWith counts the rows that have a find for each path.
func oracleRowsWith(rows [][]find, paths int) []int {
	counts := make([]int, paths)
	for _, finds := range rows {
		has := make([]bool, paths)
		for _, f := range finds {
			if f.path >= 0 {
				has[f.path] = true
				continue
			}
			for _, p := range f.cut {
				has[p] = true
			}
		}
		for p := range has {
			if has[p] {
				counts[p]++
			}
		}
	}
	return counts
}

// oracleLines is PathFinder.Scan on encoding/json. line is the first bad one.
func oracleLines(text []byte, paths []string) (finds []find, rows [][]find, line int) {
	var cut [][]string
	var all []int
	for k, p := range paths {
		cut = append(cut, strings.Split(p, "."))
		all = append(all, k)
	}
	for k, l := range bytes.Split(text, []byte("\n")) {
		if len(bytes.Trim(l, " \t\r")) == 0 {
			continue
		}
		if !oracleValid(l) {
			return nil, nil, k + 1
		}
		row := oracleFind(l, cut, 0, all)
		rows = append(rows, row)
		finds = append(finds, row...)
	}
	return finds, rows, 0
}

// checkLines fails when a Scan of text differs from the oracle.
func checkLines(t *testing.T, paths []string, text []byte) {
	t.Helper()
	f, err := NewPathFinder(paths)
	if err != nil {
		t.Fatal(err)
	}
	checkLinesWith(t, f, paths, text)
	checkLinesWith(t, f, paths, text)
}

func checkLinesWith(t *testing.T, f *PathFinder, paths []string, text []byte) {
	t.Helper()
	want, rows, line := oracleLines(text, paths)
	compareLines(t, f, text, want, rows, line)
}

// compareLines compares a Scan of text with what oracleLines has said.
func compareLines(t *testing.T, f *PathFinder, text []byte, want []find, rows [][]find, line int) {
	t.Helper()
	err := f.Scan(text)
	if (line == 0) != (err == nil) {
		t.Fatalf("%.300q: accepted %v, oracle's bad line %d: %v", text, err == nil, line, err)
	}
	if err != nil {
		var e *SyntaxError
		if !errors.As(err, &e) || e.Line != line {
			t.Fatalf("%.300q: %v, oracle's bad line %d", text, err, line)
		}
		begin := bytes.LastIndexByte(text[:e.Offset], '\n') + 1
		if n := bytes.Count(text[:e.Offset], []byte("\n")); n+1 != line {
			t.Fatalf("%.300q: offset %d is in line %d, not %d", text, e.Offset, n+1, line)
		}
		one := text[begin:]
		if n := bytes.IndexByte(one, '\n'); n >= 0 {
			one = one[:n]
		}
		checkOffset(t, one, &SyntaxError{Offset: e.Offset - int64(begin), Reason: e.Reason})
		return
	}
	if want := oracleRowsWith(rows, len(f.RowsWith)); !slices.Equal(f.RowsWith, want) {
		t.Fatalf("%.300q: rows with the paths %v, oracle %v", text, f.RowsWith, want)
	}
	if f.Rows != len(rows) || f.Lines != bytes.Count(text, []byte("\n")) {
		t.Fatalf("%.300q: %d rows, %d lines, oracle %d rows", text, f.Rows, f.Lines, len(rows))
	}
	got := foundIn(t, f, text)
	if !slices.EqualFunc(got, want, find.equal) {
		t.Fatalf("%.300q:\n got %+v\nwant %+v", text, got, want)
	}
}

// foundIn returns what the last scan of text found, in order.
func foundIn(t *testing.T, f *PathFinder, text []byte) []find {
	t.Helper()
	var got []find
	esc, not := f.Escaped, f.NotString
	for k := 0; k < len(f.Path) || len(not) > 0; {
		if len(not) > 0 && (k == len(f.Path) || not[0].Offset < f.Spans[2*k]) {
			kind := text[not[0].Offset]
			if scalarKind(kind) != not[0].Kind {
				t.Fatalf("%.300q: kind %q at %q", text, not[0].Kind, kind)
			}
			one := find{int(not[0].Path), "", not[0].Kind, nil}
			if not[0].Short {
				one.path = ^one.path
				for _, p := range f.PathsAt(not[0]) {
					one.cut = append(one.cut, int(p))
				}
			}
			got = append(got, one)
			not = not[1:]
			continue
		}
		off, n := f.Spans[2*k], f.Spans[2*k+1]
		raw := text[off : off+n]
		if bytes.IndexByte(raw, '\\') >= 0 {
			if len(esc) == 0 || esc[0] != uint32(k) {
				t.Fatalf("%.300q: string %d holds an escape; list %v", text, k, esc)
			}
			esc = esc[1:]
		}
		got = append(got, find{int(f.Path[k]), string(Unescape(nil, raw)), '"', nil})
		k++
	}
	if len(esc) != 0 || len(f.Spans) != 2*len(f.Path) {
		t.Fatalf("%.300q: flagged without reason: escaped %v; %d spans of %d", text, esc, len(f.Spans), len(f.Path))
	}
	return got
}

// pieces are what random texts are made of: more often right than wrong, so
// that many texts get far.
var pieces = []string{
	`"a"`, `"0123456789012"`, `""`, `"data"`, `"id"`, `"patient"`, `"d\u0061ta"`, `"i\u0064"`, `","`, `"]}"`,
	`"a","b","c","d"`, `"0000000000000","1111111111111","2222222222222","3333333333333"`,
	`,`, `,`, `,`, `, `, ",\n\t", ` `, "\r\n", "\n", "\t", `:`, `:`, `{`, `}`, `[`, `]`, `]}`, `{"data":[`, `"data":[`,
	`{"id":"x"}`, `{"patient":{"id":"`, `"id":`, `"patient":`, `"},`, `null`, `true`, `false`, `nul`, `tru`, `falsee`,
	`0`, `-1`, `1.5e+3`, `01`, `-`, `1.`, `.5`, `1e`, `12345678901234567890`, `-0.0E-1`,
	`"`, `\`, `\\`, `\"`, `\/`, `\b`, `\n`, `\u00e9`, `\ud83d\ude00`, `\ud83d`, `\ude00`, `\u12`, `\x`, `\u000`,
	`"\\\"\\"`, `"\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\"`, `"aé"`, `"日本"`, `"😀"`, "é", "\xc3", "\xa9", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80",
	"\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf5", "\x80", "\xff", "\x00", "\x1f", "\x7f", "\ufeff", `x`, `abc`,
	`"` + strings.Repeat("x", 61), strings.Repeat("y", 64), strings.Repeat(" ", 63), strings.Repeat(`\`, 63),
}

// randomText joins up to n random pieces.
func randomText(r *rand.Rand, n int) []byte {
	var b []byte
	for k := r.IntN(n); k >= 0; k-- {
		b = append(b, pieces[r.IntN(len(pieces))]...)
	}
	return b
}

// randomValue writes a valid value, with white space if loose.
func randomValue(r *rand.Rand, b []byte, depth int, loose bool) []byte {
	space := func() {
		if loose && r.IntN(3) == 0 {
			b = append(b, " \t\r"[r.IntN(3)])
		}
	}
	space()
	switch k := r.IntN(12); {
	case k < 5 || depth == 0 && k > 8:
		b = randomString(r, b)
	case k < 7:
		b = strconv.AppendFloat(b, r.NormFloat64()*1000, "fegE"[r.IntN(4)], r.IntN(18)-1, 64)
		b = bytes.Replace(b, []byte("+"), nil, r.IntN(2))
	case k == 7:
		b = strconv.AppendInt(b, int64(r.Uint64())>>r.IntN(64), 10)
	case k == 8:
		b = append(b, [...]string{"true", "false", "null"}[r.IntN(3)]...)
	case k < 10:
		b = append(b, '[')
		for n := r.IntN(6); n > 0; n-- {
			b = randomValue(r, b, depth-1, loose)
			if n > 1 {
				b = append(b, ',')
			}
		}
		space()
		b = append(b, ']')
	default:
		b = append(b, '{')
		for n := r.IntN(6); n > 0; n-- {
			space()
			if r.IntN(2) == 0 {
				b = append(b, [...]string{`"id"`, `"patient"`, `"data"`, `"visits"`, `"d\u0061ta"`}[r.IntN(5)]...)
			} else {
				b = randomString(r, b)
			}
			space()
			b = append(b, ':')
			b = randomValue(r, b, depth-1, loose)
			if n > 1 {
				b = append(b, ',')
			}
		}
		space()
		b = append(b, '}')
	}
	space()
	return b
}

// randomScalar writes a string, or now and then a word or a number.
func randomScalar(r *rand.Rand, b []byte) []byte {
	if r.IntN(6) > 0 {
		return randomString(r, b)
	}
	return append(b, [...]string{"true", "false", "null", "0", "-0.5e-7", "12345678901234567890.5", "-10"}[r.IntN(7)]...)
}

// randomString writes a valid string.
func randomString(r *rand.Rand, b []byte) []byte {
	b = append(b, '"')
	n := r.IntN(20)
	if r.IntN(10) == 0 {
		n = r.IntN(200)
	}
	plain := r.IntN(2) == 0
	for ; n > 0; n-- {
		if plain || r.IntN(4) > 0 {
			b = append(b, "abcdefghijklmnopqrstuvwxyz0123456789 ,:[]{}"[r.IntN(43)])
			continue
		}
		b = append(b, [...]string{`\\`, `\"`, `\/`, `\n`, `\u00e9`, `\ud83d\ude00`, "é", "日", "😀", "\x7f", `\u005c`, `\u0022`}[r.IntN(12)]...)
	}
	return append(b, '"')
}

// mutate changes valid text a little, or not at all.
func mutate(r *rand.Rand, b []byte) []byte {
	for n := r.IntN(3); n > 0 && len(b) > 0; n-- {
		i := r.IntN(len(b))
		switch r.IntN(4) {
		case 0:
			b = append(b[:i], b[i+1:]...)
		case 1:
			b[i] = pieces[r.IntN(len(pieces))][0]
		case 2:
			b = append(b[:i:i], append([]byte(pieces[r.IntN(len(pieces))]), b[i:]...)...)
		case 3:
			b = b[:i]
		}
	}
	return b
}

func TestArrayAgainstEncodingJSON(t *testing.T) {
	rounds := 100_000 // for each kernel
	if testing.Short() {
		rounds = 20_000
	}
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 1))
		var a Array
		accepted := 0
		for range rounds {
			var b []byte
			switch r.IntN(4) {
			case 0:
				b = randomText(r, 12)
			case 1:
				b = append(b, `{"data":[`...)
				b = append(append(b, randomText(r, 10)...), `]}`...)
			case 2:
				b = append(b, `{"data":[`...)
				for k := r.IntN(40); k > 0; k-- {
					if r.IntN(20) == 0 {
						b = randomValue(r, b, 3, true)
					} else {
						b = randomString(r, b)
					}
					b = append(b, ","[:min(1, k-1)]...)
				}
				b = mutate(r, append(b, `]}`...))
			case 3:
				b = mutate(r, randomValue(r, nil, 4, true))
			}
			checkDataWith(t, &a, b)
			if len(a.Spans) > 0 {
				accepted++
			}
			if err := Validate(b); (err == nil) != oracleValid(b) {
				t.Fatalf("%.300q: accepted %v: %v", b, err == nil, err)
			} else if err != nil {
				checkOffset(t, b, err)
			}
		}
		if accepted < rounds/10 {
			t.Fatalf("only %d of %d texts were accepted", accepted, rounds)
		}
	})
}

func TestPathFinderAgainstEncodingJSON(t *testing.T) {
	rounds := 100_000 // for each kernel
	if testing.Short() {
		rounds = 20_000
	}
	paths := []string{"id", "patient.id", "visits", "patient.visits.id", "data"}
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 2))
		f, err := NewPathFinder(paths)
		if err != nil {
			t.Fatal(err)
		}
		accepted := 0
		for round := range rounds {
			if round%1000 == 0 { // what was learned from earlier lines must not matter
				f, _ = NewPathFinder(paths)
			}
			var b []byte
			switch r.IntN(4) {
			case 0:
				b = randomText(r, 12)
			case 1:
				for k := r.IntN(4); k >= 0; k-- {
					b = append(randomValue(r, b, 4, true), '\n')
				}
				b = mutate(r, b)
			default: // lines of one shape, the last one changed
				shape := r.Uint64()
				for k := r.IntN(9); k >= 0; k-- {
					b = append(shapedLine(r, rand.New(rand.NewPCG(shape, 0)), b), '\n')
				}
				switch r.IntN(3) {
				case 0:
					n := len(b) - r.IntN(min(len(b), 80))
					b = append(b[:n:n], mutate(r, bytes.Clone(b[n:]))...)
				case 1: // structure swapped for structure, where lines are already known
					for n := 0; n < 1000; n++ {
						if k := r.IntN(len(b)); bytes.IndexByte([]byte(`"{}[]:,\-.0123456789eE+ tfn`), b[k]) >= 0 {
							b[k] = `"{}[]:,\-.05eE+ tfn`[r.IntN(19)]
							break
						}
					}
				}
			}
			checkLinesWith(t, f, paths, b)
			if len(f.Path) > 0 {
				accepted++
			}
		}
		if accepted < rounds/10 {
			t.Fatalf("only %d of %d texts held a string", accepted, rounds)
		}
	})
}

// shapedLine writes an object whose members follow from shape alone, their
// values from r.
func shapedLine(r, shape *rand.Rand, b []byte) []byte {
	comma := [...]string{",", ", ", " , "}[shape.IntN(3)]
	colon := [...]string{":", ": ", "\t:\t"}[shape.IntN(3)]
	var object func(depth int)
	object = func(depth int) {
		b = append(b, '{')
		for k := 1 + shape.IntN(7); k > 0; k-- {
			name := [...]string{`"id"`, `"patient"`, `"visits"`, `"a"`, `"b"`, `"\u0069d"`, `"a very long member name, longer than a vector of sixty-four bytes can hold"`}[shape.IntN(7)]
			b = append(append(b, name...), colon...)
			switch kind := shape.IntN(8); {
			case kind == 0 && depth < 3:
				object(depth + 1)
			case kind == 1:
				if shape.IntN(3) == 0 { // items of several kinds
					b = append(b, `[{"id":1`...)
					for _, sep := range [...]string{"},", ",[", "],", ",{},", ","} {
						b = append(b, sep...)
						b = append(randomScalar(r, b), ' ')
					}
					b = append(b, ']')
					break
				}
				b = append(b, '[')
				for n := r.IntN(5); n > 0; n-- {
					if b = randomString(r, b); n > 1 {
						b = append(b, comma...)
					}
				}
				b = append(b, ']')
			case kind == 2:
				b = strconv.AppendInt(b, r.Int64()>>r.IntN(64), 10)
			case kind == 3:
				b = strconv.AppendFloat(b, r.NormFloat64(), 'f', 3, 64)
			default:
				b = randomScalar(r, b)
			}
			if k > 1 {
				b = append(b, comma...)
			}
		}
		b = append(b, '}')
	}
	object(0)
	return b
}

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
			t.Errorf("%d rows, %d lines", f.Rows, f.Lines)
		}
		f.Hollow = [4]uint64{}
		if err := f.Scan([]byte(strings.Repeat(`{"a.b":[ ],"patient":[[]],"x":[],"é":{}}`+"\n", 100))); err != nil || f.Hollow != [4]uint64{1<<0 | 1<<3} {
			t.Errorf("%v, empty arrays at paths %b", err, f.Hollow)
		}
		err := f.Scan([]byte("{}\n\n{\"é\":\"x\n\"}\n"))
		if fmt.Sprint(err) != "json: line 3, byte 12: text ends too early" || len(f.Spans) != 0 {
			t.Error(err, f.Spans)
		}
	})
}

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

// TestArrayMemory holds a first scan to room for the spans that there are,
// wherever in a string its windows end.
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
				t.Errorf("%d spans in room for %d", len(a.Spans), cap(a.Spans))
			}
		}
	})
}

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
			t.Errorf("%v allocations a run", n)
		}
	})
}
