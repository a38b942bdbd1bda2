package bulk

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/spec"
)

// stream runs job through pipes.
func stream(job Job, in []byte) (string, error) {
	var out bytes.Buffer
	job.Stdin, job.Stdout = bytes.NewReader(in), &out
	_, err := Run(context.Background(), job)
	return out.String(), err
}

// FuzzCSV checks, for arbitrary bytes and chunk sizes, that a run accepts what encoding/csv
// accepts, changes only the chosen column, and reverses to the same bytes.
func FuzzCSV(f *testing.F) {
	tag := reversible
	tag.Tag = 64
	p, back := plan(f, spec.Pseudonymise, tag), plan(f, spec.Reverse, tag)
	for _, s := range []string{"a,b\nc,d\n", "\xef\xbb\xbf\"a\"\"\",b\r\n\r\n\"c\nd\",e", "a\n\"\"\n\nb", "a,\"b\nc", "a,b\nc\"d,e\n", "a,b\nc\n", "\r\na\r", "\"\",\"\"\n,\n"} {
		f.Add([]byte(s), uint8(5), false)
		f.Add([]byte(s), uint8(0), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, chunk uint8, header bool) {
		job := Job{NoHeader: !header, Header: header, RepeatedHeader: HeaderValue, Columns: []Column{{Number: 1, Plan: p}}, Workers: 2, chunk: 1 + int(chunk)}
		out, err := stream(job, in)
		job.chunk = 1 << 16
		whole, werr := stream(job, in)
		if (err == nil) != (werr == nil) || err == nil && out != whole || err != nil && err.Error() != werr.Error() {
			t.Fatalf("chunks of %d: %q, %v; whole: %q, %v", 1+chunk, out, err, whole, werr)
		}
		if errors.Is(err, errLoneCR) || hasSepLine(in) {
			return // refused, or another separator
		}
		if refuseKind("", in, true) != nil || bytes.Count(in, []byte{0}) > len(in)/4 || bytes.HasPrefix(in, []byte("\xff\xfe")) || bytes.HasPrefix(in, []byte("\xfe\xff")) {
			return // may be detected as UTF-16
		}
		rows, cerr := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(in, bom))).ReadAll()
		if header && cerr == nil && len(rows) == 0 {
			cerr = errors.New("no header")
		}
		var mine *Error
		if (cerr == nil) != (err == nil) && !(errors.As(err, &mine) && mine.Code != 0) {
			t.Fatalf("%v, encoding/csv %v", err, cerr)
		}
		if err != nil {
			return
		}
		again, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(out, string(bom)))).ReadAll()
		if err != nil || len(again) != len(rows) {
			t.Fatalf("%d rows became %d: %v", len(rows), len(again), err)
		}
		for i := range rows {
			for c := range rows[i] {
				want := rows[i][c]
				if c == 0 && (i > 0 || !header) {
					// The standard reader turns CRLF in quotes into LF; a run does not.
					if strings.Contains(want, "\n") {
						continue
					}
					want = transformOne(p, want)
				}
				if again[i][c] != want {
					t.Fatalf("row %d, field %d: %q, want %q", i, c, again[i][c], want)
				}
			}
		}
		job.Columns[0].Plan = back
		undone, err := stream(job, []byte(out))
		if err != nil || undone != string(in) {
			t.Fatalf("reversed to %q, %v, want %q", undone, err, in)
		}
	})
}

func hasSepLine(in []byte) bool {
	_, n, _ := sepLine(bytes.TrimPrefix(in, bom), true)
	return n > 0
}

// FuzzNDJSON checks, for arbitrary chunk sizes, that the outcome is the same, and that the
// output is JSON that reverses to the same values.
func FuzzNDJSON(f *testing.F) {
	tag := reversible
	tag.Tag = 64
	p, back := plan(f, spec.Pseudonymise, tag), plan(f, spec.Reverse, tag)
	for _, s := range []string{"{\"id\":\"a\"}\n{\"id\":[\"b\\n\",null]}", "\n{\"id\":1}\n", "{\"id\":{\"id\":\"}\"}}", "{\"id\":\"\\ud83d\\ude00\"}\r\n", "[{\"id\":\"x\"}]"} {
		f.Add([]byte(s), uint8(3), false)
		f.Add([]byte(s), uint8(0), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, chunk uint8, null bool) {
		job := Job{Format: NDJSON, Columns: []Column{{Name: "id", Plan: p}}, Workers: 2, chunk: 1 + int(chunk)}
		if null {
			job.OnError = Null
		}
		out, err := stream(job, in)
		job.chunk = 1 << 16
		whole, werr := stream(job, in)
		if (err == nil) != (werr == nil) || err == nil && out != whole {
			t.Fatalf("chunks of %d: %q, %v; whole: %q, %v", 1+chunk, out, err, whole, werr)
		}
		if err != nil {
			return
		}
		if strings.Count(out, "\n") != bytes.Count(in, lf) {
			t.Fatalf("%d lines became %d", bytes.Count(in, lf), strings.Count(out, "\n"))
		}
		job.Columns[0].Plan = back
		undone, err := stream(job, []byte(out))
		if err != nil {
			t.Fatalf("%q does not reverse: %v", out, err)
		}
		if !null && !sameJSON(t, []byte(undone), in) {
			t.Fatalf("reversed to %q, want %q", undone, in)
		}
	})
}

// sameJSON compares streams of JSON texts by value.
func sameJSON(t *testing.T, a, b []byte) bool {
	x, y := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(a, bom))), json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(b, bom)))
	x.UseNumber()
	y.UseNumber()
	for {
		var v, w any
		errV, errW := x.Decode(&v), y.Decode(&w)
		if errV == io.EOF && errW == io.EOF {
			return true
		}
		if errV != nil || errW != nil {
			t.Logf("%v, %v", errV, errW)
			return false
		}
		s, _ := json.Marshal(v)
		u, _ := json.Marshal(w)
		if !bytes.Equal(s, u) {
			return false
		}
	}
}
