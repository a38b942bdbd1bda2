package jsonfast

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// oracleValid is Validate by means of encoding/json. It adds the checks of UTF-8, half surrogate
// pairs and 512 levels, which encoding/json lacks.
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

// members returns the members of a valid object.
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

// oracleData is Array.Scan by means of encoding/json. A nil item is not a string.
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

// checkData fails the test if a Scan of text differs from the oracle.
func checkData(t *testing.T, text []byte) {
	t.Helper()
	var a Array
	want, ok := oracleData(text)
	compareData(t, &a, text, want, ok)
}

// compareData compares a Scan of text with the result of oracleData.
func compareData(t *testing.T, a *Array, text []byte, want []*string, ok bool) {
	t.Helper()
	err := a.Scan(text)
	if ok != (err == nil) {
		t.Fatalf("%.300q: accepted %v, oracle %v: %v", text, err == nil, ok, err)
	}
	if err != nil {
		if len(a.Spans)+len(a.Escaped)+len(a.NotString) != 0 {
			t.Fatalf("%.300q: an error, but the slices are not empty", text)
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

// checkOffset compares the offset of an error with encoding/json's if both have the same reason.
func checkOffset(t *testing.T, text []byte, err error) {
	t.Helper()
	var e *SyntaxError
	if !errors.As(err, &e) {
		t.Fatalf("%.300q: error %T", text, err)
	}
	if e.Offset < 0 || e.Offset > int64(len(text)) {
		t.Fatalf("%.300q: offset %d is outside of %d bytes", text, e.Offset, len(text))
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

// find is a value that a path leads to: a string, or the first byte of another value.
type find struct {
	path  int
	value string
	kind  byte
	cut   []int // the paths that continue below the value; path is then ^cut[0]
}

func (f find) equal(g find) bool {
	return f.path == g.path && f.value == g.value && f.kind == g.kind && slices.Equal(f.cut, g.cut)
}

// oracleFind returns what PathFinder finds in a valid value.
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

// oracleLines is PathFinder.Scan by means of encoding/json. line is the first invalid line.
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

// checkLines fails the test if a Scan of text differs from the oracle.
func checkLines(t *testing.T, paths []string, text []byte) {
	t.Helper()
	f, err := NewPathFinder(paths)
	if err != nil {
		t.Fatal(err)
	}
	want, rows, line := oracleLines(text, paths)
	compareLines(t, f, text, want, rows, line)
	compareLines(t, f, text, want, rows, line) // with the shapes that the first scan has learned
}

// compareLines compares a Scan of text with the result of oracleLines.
func compareLines(t *testing.T, f *PathFinder, text []byte, want []find, rows [][]find, line int) {
	t.Helper()
	err := f.Scan(text)
	if (line == 0) != (err == nil) {
		t.Fatalf("%.300q: accepted %v, oracle's bad line %d: %v", text, err == nil, line, err)
	}
	if err != nil {
		var e *SyntaxError
		if !errors.As(err, &e) || e.Line != line {
			t.Fatalf("%.300q: %v, want an error in line %d", text, err, line)
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
		t.Fatalf("%.300q: %d rows, %d lines, want %d and %d", text, f.Rows, f.Lines, len(rows), bytes.Count(text, []byte("\n")))
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
				t.Fatalf("%.300q: kind %q for a scalar that begins with %q", text, not[0].Kind, kind)
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
