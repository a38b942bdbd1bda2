package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
)

// plain converts a node to the value that encoding/json decodes from the same text.
func plain(n node) any {
	switch n.kind {
	case kindNull:
		return nil
	case kindBool:
		return n.text == "true"
	case kindNumber:
		return json.Number(n.text)
	case kindText:
		return n.text
	case kindArray:
		out := []any{}
		for _, v := range n.items {
			out = append(out, plain(v))
		}
		return out
	}
	out := map[string]any{}
	for i, name := range n.names {
		out[name] = plain(n.items[i])
	}
	return out
}

// agree fails the test if the strict reader and encoding/json disagree about a text.
func agree(t *testing.T, text []byte) {
	t.Helper()
	n, err := parseJSON(text)
	if err != nil {
		if errors.Is(err, errSyntax) && json.Valid(text) {
			t.Fatalf("%q: refused as not JSON, want it accepted as encoding/json does", text)
		}
		return
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var want any
	if err := dec.Decode(&want); err != nil || !json.Valid(text) {
		t.Fatalf("%q: accepted, although it is not JSON", text)
	}
	if got := plain(n); !reflect.DeepEqual(got, want) {
		t.Fatalf("%q: read as %#v, want %#v", text, got, want)
	}
}

var jsonTexts = []string{
	`{}`, `[]`, ` [ ] `, `{"a":1}`, `{"a":{"b":[1,2,{"c":null}]},"d":true,"e":false}`, `"x"`, `""`, `null`, `-0`, `0`, `-1.5e+10`, `1E-2`, `0.0`,
	`"\"\\\/\b\f\n\r\t\u0041\u00e9\u20ac\ud83d\ude00\uFFFD\u0000"`, `"é€😀"`, "[1\t,\n2\r]",
	``, ` `, `{`, `}`, `[`, `[1,]`, `[,1]`, `[1 2]`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{1:2}`, `{"a":1 "b":2}`, `nul`, `nullx`, `TRUE`, `01`, `-`, `1.`, `.1`, `1e`, `1e+`, `+1`, `0x1`,
	`"`, `"\`, `"\x"`, `"\u12"`, `"\u12g4"`, `"\ud800"`, `"\ud800\n"`, `"\ud800\u0041"`, `"\ud800\u12"`, `"\udc00"`, "\"\n\"", "\"\x00\"", "\"\xff\"", "\"\xed\xa0\x80\"", `1 1`, `[]]`, "\ufeff1", `'a'`,
	`{"a":1,"a":1}`, `{"a":1,"\u0061":1}`,
}

// TestJSONAgainstEncodingJSON compares the strict reader with encoding/json, and checks what
// it refuses in addition.
func TestJSONAgainstEncodingJSON(t *testing.T) {
	for _, s := range jsonTexts {
		agree(t, []byte(s))
	}
	for s, want := range map[string]error{
		`{"a":1,"b":{"a":1}}`: nil, `[{"a":1},{"a":1}]`: nil, `"\u0000"`: nil,
		`{"a":1,"a":1}`: errDuplicate, `{"a":1,"\u0061":1}`: errDuplicate, `{"":1,"":1}`: errDuplicate,
		"\"\xff\"": errText, "\"\xed\xa0\x80\"": errText, `"\ud800"`: errText, `"\ud800x"`: errText, `"\ud800\ud800"`: errText, `{"\udc00":1}`: errText,
		"[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]": errDepth,
		`{"a":1}x`:                              errSyntax,
	} {
		if _, err := parseJSON([]byte(s)); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", s, err, want)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range jsonTexts {
		f.Add([]byte(s))
	}
	f.Fuzz(agree)
}

// TestSecondsRounding checks that numbers of any spelling are rounded exactly, up and down.
func TestSecondsRounding(t *testing.T) {
	for _, c := range []struct {
		text     string
		down, up int64 // -1: none
	}{
		{"0", 0, 0}, {"0.0", 0, 0}, {"0e9999999999999999999", 0, 0}, {"1", 1, 1}, {"0.1", 0, 1}, {"1.0", 1, 1}, {"1.5", 1, 2},
		{"1790000000", 1790000000, 1790000000}, {"1790000000.000", 1790000000, 1790000000}, {"1790000000.999", 1790000000, 1790000001},
		{"1.79e9", 1790000000, 1790000000}, {"1.7900000005E+9", 1790000000, 1790000001}, {"17900000005e-1", 1790000000, 1790000001},
		{"17900000000e-1", 1790000000, 1790000000}, {"1e-1", 0, 1}, {"12e-3", 0, 1}, {"1e-99999999999999999999", 0, 1},
		{"253402300799.9999999999999999999999", 253402300799, 253402300800},
		{"999999999999", 999999999999, 999999999999}, {"1000000000000", -1, -1}, {"1e12", -1, -1}, {"1e99999999999999999999", -1, -1},
		{"0.001e14", 100000000000, 100000000000}, {"-1", -1, -1}, {"-0", -1, -1}, {"-0.5", -1, -1},
		{`"1"`, -1, -1}, {"null", -1, -1}, {"true", -1, -1}, {"[1]", -1, -1},
	} {
		n, err := parseJSON([]byte(c.text))
		if err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		for _, d := range []struct {
			up   bool
			want int64
		}{{false, c.down}, {true, c.up}} {
			got, ok := n.seconds(d.up)
			if !ok {
				got = -1
			}
			if got != d.want {
				t.Errorf("%s, up %v: %d, want %d", c.text, d.up, got, d.want)
			}
		}
	}
}
