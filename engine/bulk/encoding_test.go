package bulk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/velonym/velonym/engine/spec"
)

// encodings are the encodings of files with an independent encoder of each.
var encodings = []struct {
	encoding Encoding
	encoder  encoding.Encoding
	marked   bool // begins with a byte order mark
}{
	{UTF16, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), true},
	{UTF16, unicode.UTF16(unicode.BigEndian, unicode.UseBOM), true},
	{UTF16LE, unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), false},
	{UTF16BE, unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), false},
	{Latin1, charmap.ISO8859_1, false},
	{Windows1252, charmap.Windows1252, false},
}

func encoded(t *testing.T, e encoding.Encoding, text string) string {
	t.Helper()
	s, err := e.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// runOnText runs job over in and returns what it writes to standard output.
func runOnText(t *testing.T, job Job, in string) (string, Summary, error) {
	t.Helper()
	var out bytes.Buffer
	if len(job.Inputs) == 0 {
		job.Stdin = strings.NewReader(in)
	}
	job.Stdout = &out
	sum, err := Run(t.Context(), job)
	return out.String(), sum, err
}

// TestEncodings checks that the output of a file in another encoding is that of its UTF-8 in
// this encoding, for every chunk size and kind of input.
func TestEncodings(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	columns := []Column{{Name: "id", Plan: p}}
	csv, lines, array := "id,näme\r\n", "", "["
	for i := range 300 {
		name := strings.Repeat("Zoë Müller, ", i%7) + "ÿ€"[:2]
		csv += fmt.Sprintf("\"Jürgen\n%d\",\"%s\"\r\nß%d,plain\n", i, name, i)
		lines += fmt.Sprintf("{\"id\":\"ø%d\",\"n\":\"%s\"}\n", i, name)
		array += fmt.Sprintf("%s\n{\"id\":\"ø%d\",\"n\":\"%s\"}", strings.Repeat(",", min(i, 1)), i, name)
	}
	array += "]\n"
	for format, text := range map[Format]string{CSV: strings.ReplaceAll(csv, "Jürgen\n", "Jürgen "), NDJSON: lines, JSON: array} {
		want, _, err := runOnText(t, Job{Format: format, Columns: columns}, text)
		if err != nil || want == text {
			t.Fatalf("%s in UTF-8: %v", format, err)
		}
		for _, c := range encodings {
			in, wantOut := encoded(t, c.encoder, text), encoded(t, c.encoder, want)
			path := filepath.Join(t.TempDir(), "in")
			if err := os.WriteFile(path, []byte(in), 0o600); err != nil {
				t.Fatal(err)
			}
			packed, err := Gzip.compressEvenEmpty([]byte(in))
			if err != nil {
				t.Fatal(err)
			}
			for name, job := range map[string]Job{
				"pipe": {}, "small chunks": {chunk: 7, MaxRow: 1 << 20}, "file": {Inputs: []string{path}}, "workers": {Inputs: []string{path}, chunk: 100, Workers: 3}, "gzip": {},
			} {
				job.Format, job.Columns, job.Encoding = format, columns, c.encoding
				text := in
				if name == "gzip" {
					text = string(packed)
				}
				if c.marked && name == "file" {
					job.Encoding = ByMark
				}
				got, sum, err := runOnText(t, job, text)
				if err != nil || got != wantOut || sum.Values < 300 {
					t.Errorf("%s in %s, %s: %v, %d values, %d bytes of output, want %d", format, c.encoding, name, err, sum.Values, len(got), len(wantOut))
				}
			}
			// Also convert to UTF-8 and from UTF-8.
			got, _, err := runOnText(t, Job{Format: format, Columns: columns, Encoding: c.encoding, OutputEncoding: UTF8}, in)
			if err != nil || got != want {
				t.Errorf("%s from %s to UTF-8: %v, %d bytes, want %d", format, c.encoding, err, len(got), len(want))
			}
			if c.encoding == UTF16 && !strings.HasPrefix(in, "\xff\xfe") {
				continue // written little endian
			}
			for _, job := range []Job{{}, {chunk: 7, Workers: 2}} {
				job.Format, job.Columns, job.OutputEncoding = format, columns, c.encoding
				if got, _, err = runOnText(t, job, text); err != nil || got != wantOut {
					t.Errorf("%s to %s: %v, %d bytes, want %d", format, c.encoding, err, len(got), len(wantOut))
				}
			}
		}
	}
}

// TestByteOrderMark checks when an output begins with a byte order mark.
func TestByteOrderMark(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	columns := []Column{{Name: "id", Plan: p}}
	const text, mark = "id,x\na,1\n", "\xef\xbb\xbf"
	rows, _, err := runOnText(t, Job{Columns: columns}, text)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		in   string
		out  Encoding
		want string
	}{
		{text, UTF8Marked, mark + rows}, {mark + text, UTF8Marked, mark + rows}, {mark + text, UTF8, rows},
		{mark + text, ByMark, mark + rows}, {mark + text, Latin1, rows}, {"\xff\xfe" + encoded(t, encodings[2].encoder, text), UTF8, rows},
		{mark + text, UTF16LE, encoded(t, encodings[2].encoder, rows)},
	} {
		told := 0
		got, _, err := runOnText(t, Job{Columns: columns, OutputEncoding: c.out, Warn: func(error) { told++ }}, c.in)
		if utf16 := strings.HasPrefix(c.in, "\xff\xfe"); utf16 != (told == 1) {
			t.Errorf("%q: %d warnings, want one for UTF-16 only", c.in, told)
		}
		if err != nil || got != c.want {
			t.Errorf("%q to %q: %v, %q, want %q", c.in, c.out, err, got, c.want)
		}
	}
	// All shares together have one byte order mark.
	path := filepath.Join(t.TempDir(), "in.csv")
	if err := os.WriteFile(path, []byte(text+strings.Repeat("b,2\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	whole, _, err := runOnText(t, Job{Columns: columns, OutputEncoding: UTF16, Inputs: []string{path}}, "")
	if err != nil {
		t.Fatal(err)
	}
	parts := ""
	for i := range 3 {
		part, _, err := runOnText(t, Job{Columns: columns, OutputEncoding: UTF16, Inputs: []string{path}, Part: i + 1, Parts: 3}, "")
		if err != nil {
			t.Fatal(err)
		}
		parts += part
	}
	if parts != whole || strings.Count(whole, "\xff\xfe") != 1 {
		t.Errorf("three shares are %d bytes, the whole %d", len(parts), len(whole))
	}
}

// TestEncodingErrors checks that damaged text, text in another encoding than stated and text
// that the output cannot hold are refused with their place, and that nothing is written.
func TestEncodingErrors(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	utf16le := func(s string) string { return encoded(t, encodings[2].encoder, s) }
	for name, c := range map[string]struct {
		job  Job
		in   string
		want string
	}{
		"high half alone":         {Job{}, "\xff\xfe" + utf16le("id\na") + "\x00\xd8" + utf16le("b\n"), "line 2 (byte 11 of the input): half a character"},
		"low half first":          {Job{Encoding: UTF16LE}, utf16le("id\na\n") + "\x00\xdc\x00\xd8", "line 3 (byte 11 of the input): half a character"},
		"odd number of bytes":     {Job{Encoding: UTF16LE}, utf16le("id\na\n") + "b", "line 3 (byte 11 of the input): half a character"},
		"cut within a pair":       {Job{Encoding: UTF16LE}, utf16le("id\na\n") + "\x3d\xd8", "line 3 (byte 11 of the input): half a character"},
		"no mark":                 {Job{Encoding: UTF16}, "id\na\n", "no byte order mark"},
		"zero bytes, no encoding": {Job{}, utf16le("id,a\nb,long enough\n"), "is utf-16le, not utf-8"},
		"UTF-16 as Latin-1":       {Job{Encoding: Latin1}, "\xff\xfe" + utf16le("id\na\n"), "is utf-16le, not latin1"},
		"zero bytes as Latin-1":   {Job{Encoding: Latin1}, utf16le("id,a\nb,long enough\n"), "is utf-16le, not latin1"},
		"UTF-8 as Latin-1":        {Job{Encoding: Latin1}, "id\nMüller\n", "is utf-8, not latin1"},
		"marked UTF-8 as Latin-1": {Job{Encoding: Latin1}, "\xef\xbb\xbfid\na\n", "is utf-8, not latin1"},
		"big as little endian":    {Job{Encoding: UTF16LE}, "\xfe\xff\x00i\x00d\x00\n", "is utf-16be, not utf-16le"},
		"UTF-32":                  {Job{Encoding: ByContent}, "\xff\xfe\x00\x00i\x00\x00\x00", "is utf-32"},
		"euro in Latin-1":         {Job{OutputEncoding: Latin1}, "id,x\na,b\nc,€\n", "line 3: a row holds a character that latin1 does not have"},
		"euro in the header":      {Job{OutputEncoding: Latin1}, "id,€\na,b\n", "line 1: a row holds a character that latin1 does not have"},
		"not UTF-8 to UTF-16":     {Job{OutputEncoding: UTF16}, "id,x\na,b\nc,\xe9\n", "line 3: a row holds bytes that are not UTF-8"},
		"Parquet":                 {Job{Encoding: Latin1, Format: Parquet}, "PAR1", "text is always UTF-8"},
		"in shares":               {Job{Encoding: Latin1, Part: 1, Parts: 2}, "id\nM\xfcller\n", "in parts"},
	} {
		for _, chunk := range []int{3, 0} {
			job := c.job
			job.chunk, job.Columns = chunk, []Column{{Name: "id", Plan: p}}
			dir := t.TempDir()
			in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
			if err := os.WriteFile(in, []byte(c.in), 0o600); err != nil {
				t.Fatal(err)
			}
			job.Inputs, job.Output = []string{in}, out
			_, err := Run(t.Context(), job)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, chunk %d: %v, want %q", name, chunk, err, c.want)
			}
			if left, _ := os.ReadDir(dir); len(left) != 1 {
				t.Errorf("%s, chunk %d: left %v", name, chunk, left)
			}
		}
	}
}

// TestEncodingFoundByContent checks which encoding ByContent finds and that a warning names it.
func TestEncodingFoundByContent(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	const text = "id,town\nMüller,Esch an der Alzette\n"
	want, _, err := runOnText(t, Job{Columns: []Column{{Name: "id", Plan: p}}, OutputEncoding: UTF8}, text)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ in, told string }{
		{text, ""},
		{"\xef\xbb\xbf" + text, "utf-8, by its byte order mark"},
		{encoded(t, charmap.Windows1252, text), "windows-1252, as it is not UTF-8"},
		{encoded(t, encodings[0].encoder, text), "utf-16le, by its byte order mark"},
		{encoded(t, encodings[3].encoder, text), "utf-16be, by its zero bytes"},
	} {
		path := filepath.Join(t.TempDir(), "in.csv")
		if err := os.WriteFile(path, []byte(c.in), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, inputs := range [][]string{nil, {path}} {
			var told []string
			job := Job{Encoding: ByContent, OutputEncoding: UTF8, Columns: []Column{{Name: "id", Plan: p}}, Inputs: inputs, Warn: func(err error) { told = append(told, err.Error()) }}
			got, _, err := runOnText(t, job, c.in)
			if err != nil || got != want || (c.told == "") != (len(told) == 0) || len(told) > 0 && !strings.Contains(told[0], c.told) {
				t.Errorf("%q: %v, %q, told %q, want %q", c.in, err, got, told, c.told)
			}
		}
	}
}

// TestRejectsEncoded checks that rejected rows have the encoding of the output, header
// included, and that inputs of differing encodings do not mix in one file.
func TestRejectsEncoded(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const text = "id,näme\na,é\n\x01,ü\nb,ö\n"
	latin, wide := write("latin.csv", encoded(t, charmap.ISO8859_1, text)), write("wide.csv", encoded(t, encodings[0].encoder, text))
	rejects := filepath.Join(dir, "rejects.csv")
	job := Job{Inputs: []string{latin}, Output: filepath.Join(dir, "out.csv"), Encoding: Latin1, OnError: Keep, Rejects: rejects, Columns: []Column{{Name: "id", Plan: p}}}
	sum, err := Run(t.Context(), job)
	got, _ := os.ReadFile(rejects)
	if err != nil || sum.Rejected != 1 || string(got) != encoded(t, charmap.ISO8859_1, "id,näme\n\x01,ü\n") {
		t.Errorf("%v, %d rejected, %q, want one row in Latin-1 with its header", err, sum.Rejected, got)
	}
	folder := filepath.Join(dir, "out")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	marked := write("utf8.csv", text)
	job.Inputs, job.Output, job.Encoding, job.Force = []string{wide, marked}, folder, ByMark, true
	var differs *HeaderDiffersError
	if _, err := Run(t.Context(), job); !errors.As(err, &differs) {
		t.Errorf("UTF-16 and UTF-8 in one file of rejected rows: %v", err)
	}
}

// TestResumeEncoded checks that an interrupted run with an output encoding is resumed, and
// that it cannot be resumed with a different one.
func TestResumeEncoded(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	text := "id,näme\n" + strings.Repeat("a,Zoë\nbcd,Müller\n", 10_000)
	for _, c := range []struct{ in, out Encoding }{{ByMark, UTF16}, {Latin1, ByMark}, {Latin1, UTF8Marked}} {
		dir := t.TempDir()
		in, out, whole := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv"), filepath.Join(dir, "whole.csv")
		data := text
		if c.in == Latin1 {
			data = encoded(t, charmap.ISO8859_1, text)
		}
		if err := os.WriteFile(in, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		job := Job{Inputs: []string{in}, Output: whole, Encoding: c.in, OutputEncoding: c.out, chunk: 1000, checkpointEvery: time.Nanosecond, Columns: []Column{{Name: "id", Plan: p}}}
		if _, err := Run(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		job.Output = out
		interruptAtWrite(t, job, 10)
		other := job
		other.Resume, other.OutputEncoding = true, UTF16BE
		if _, err := Run(t.Context(), other); err == nil || !strings.Contains(err.Error(), "other columns or options") {
			t.Errorf("%v: resumed in another encoding: %v", c, err)
		}
		job.Resume = true
		sum, err := Run(t.Context(), job)
		got, _ := os.ReadFile(out)
		want, _ := os.ReadFile(whole)
		if err != nil || !sum.Resumed || !bytes.Equal(got, want) {
			t.Errorf("%v: %v, resumed %v, %d bytes, want %d", c, err, sum.Resumed, len(got), len(want))
		}
	}
}

// TestFindSeparator checks which separator is found in a file, and which files are refused.
func TestFindSeparator(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	for name, c := range map[string]struct{ in, sep, want string }{
		"semicolon":               {"id;x\na;1,5\nb;2\n", ";", ""},
		"decimal commas":          {"id;amount;y\na;1,5;2\nb;2,5;3\n", ";", ""},
		"tab":                     {"id\tx\na\t1\n", "\t", ""},
		"bar":                     {"id|x\na|1\n", "|", ""},
		"quoted separators":       {"x,id\n\"a;b\",1\n\"c;d;e\",2\n", ",", ""},
		"one column":              {"id\na\nb\n", ",", ""},
		"one column of sentences": {"id\na, b\nc\n", "", "differing numbers of fields"},
		"named column decides":    {"id;x,y\na;1,5\nb;2,5\n", ";", ""},
		"line sep=":               {"sep=|\nid|x;y\na|1;2\n", "|", ""},
		"both fit":                {"1;2,3\n4;5,6\n", "", `"," and ";" both`},
		"none fits":               {"id,x\na,1,2\n", "", "differing numbers of fields"},
	} {
		for _, size := range []int{1, 4096} {
			var told []string
			job := Job{FindComma: true, Columns: []Column{{Name: "id", Plan: p}}, Warn: func(err error) { told = append(told, err.Error()) }}
			if name == "both fit" {
				job.NoHeader, job.Columns = true, []Column{{Number: 1, Plan: p}}
			}
			var out bytes.Buffer
			job.Stdin, job.Stdout = &slowReader{text: c.in, size: size}, &out
			_, err := Run(t.Context(), job)
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) || out.Len() > 0 {
					t.Errorf("%s: %v, want %q", name, err, c.want)
				}
				continue
			}
			stated, _, wantErr := runOnText(t, Job{Comma: c.sep[0], Columns: job.Columns}, c.in)
			if err != nil || wantErr != nil || out.String() != stated {
				t.Errorf("%s: %v, %v, %q, want %q", name, err, wantErr, out.String(), stated)
			}
			if name != "line sep=" && (len(told) != 1 || !strings.Contains(told[0], fmt.Sprintf("the separator is %q", c.sep[0]))) {
				t.Errorf("%s: warned %q, want the separator %q named", name, told, c.sep[0])
			}
		}
	}
}

// slowReader returns up to size bytes of text at a time.
type slowReader struct {
	text string
	size int
}

func (r *slowReader) Read(p []byte) (int, error) {
	n := copy(p[:min(len(p), r.size)], r.text)
	r.text = r.text[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// TestNoQuotes checks that quotes are text where they have no meaning, and that what would
// need them is refused.
func TestNoQuotes(t *testing.T) {
	p, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	for _, chunk := range []int{3, 0} {
		job := Job{NoQuotes: true, Format: TSV, chunk: chunk, Columns: []Column{{Name: "id", Plan: p}}}
		out, _, err := runOnText(t, job, "id\tnote\n\"a\t5\" screen\nb\"\t\"\"x\nc\t\"open\n")
		if err != nil {
			t.Fatal(err)
		}
		want := "id\tnote\n" + transformOne(p, `"a`) + "\t5\" screen\n" + transformOne(p, `b"`) + "\t\"\"x\n" + transformOne(p, "c") + "\t\"open\n"
		if out != want {
			t.Errorf("chunk %d: %q, want %q", chunk, out, want)
		}
		job.Columns[0].Plan = back
		if got, _, err := runOnText(t, job, out); err != nil || got != "id\tnote\n\"a\t5\" screen\nb\"\t\"\"x\nc\t\"open\n" {
			t.Errorf("chunk %d: %v, reversed to %q", chunk, err, got)
		}
		for _, c := range []struct {
			name, in, want string
			job            Job
		}{
			{"a result with the separator", "id,x\n" + transformOne(p, "ok") + ",1\n" + transformOne(p, "Doe, Ann") + ",2\n", "line 3, column \"id\": the result holds a separator", Job{}},
			{"a result with the separator, two columns", "id,x\n" + transformOne(p, "ok") + "," + transformOne(p, "Doe, Ann") + "\n", "line 2, column \"x\": the result holds a separator", Job{Columns: []Column{{Name: "id", Plan: back}, {Name: "x", Plan: back}}}},
			{"an only field that becomes empty", "id\n" + transformOne(p, "ok") + "\nno\n", "line 3, column \"id\": the only field of the row would be empty", Job{OnError: Null}},
			{"DEL", "id,x\n" + transformOne(p, "ok") + ",\x7f\n", "line 2: the control character DEL", Job{}},
		} {
			job := c.job
			job.NoQuotes, job.chunk = true, chunk
			if job.Columns == nil {
				job.Columns = []Column{{Name: "id", Plan: back}}
			}
			if _, _, err := runOnText(t, job, c.in); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, chunk %d: %v, want %q", c.name, chunk, err, c.want)
			}
		}
	}
}
