package bulk

import (
	"errors"
	"strings"
	"testing"

	"github.com/velonym/velonym/engine/spec"
)

// TestBadInput checks the error of every kind of bad input, whatever the chunks, and that no
// output is left.
func TestBadInput(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	rev := plan(t, spec.Reverse, reversible)
	for _, c := range []struct {
		name, in string
		job      Job
		want     string // end of the message; "" for success
		out      string
	}{
		{name: "open quote", in: "id,x\na,b\n\"c,d\ne,f\n", want: `: line 3: a quote opened in the row that starts here is never closed: extraneous or missing " in quoted-field`},
		{name: "bare quote", in: "id,x\na,b\nc\"d,e\n\nf,g\n", want: `: line 3, column 2: a quote in a field that is not quoted; quote the field and double the quote: bare " in non-quoted-field`},
		{name: "text behind quote", in: "id,x\n\"a\"b,c\n", want: `: line 2, column 3: text behind a closing quote; double the quotes inside a quoted field: extraneous or missing " in quoted-field`},
		{name: "ragged row", in: "id,x\na,b\nc\n", want: ": line 3: another number of fields than the first row has: wrong number of fields"},
		{name: "ragged row let pass", in: "id,x\na\nb,c,d\n", job: Job{Ragged: true}, out: "id,x\nA\nB,c,d\n"},
		{name: "ragged row without the column", in: "y,id\na,b\nc\n", job: Job{Ragged: true}, want: ": line 3: too few fields to hold the column: row does not hold the chosen column"},
		{name: "unknown column", in: "x,y\n1,b\n", want: `: no column "id"; there are "x", "y"`},
		{name: "column twice", in: "id,id\na,b\n", want: `: columns 1 and 2 are both named "id"; write #1 or #2`},
		{name: "empty file", in: "", want: ": is empty: there is no header to find the columns in"},
		{name: "only empty lines", in: "\n\r\n", want: ": is empty: there is no header to find the columns in"},
		{name: "header alone", in: "id,x\n", out: "id,x\n"},
		{name: "header alone, no line end", in: "\xef\xbb\xbfid,x", out: "\xef\xbb\xbfid,x"},
		{name: "NUL elsewhere", in: "id,x\na,\x00b\n", out: "id,x\nA,\x00b\n"},
		{name: "NUL in the column", in: "id,x\na,b\n\x00,c\n", want: `: line 3, column "id": VALUE_NOT_TEXT: not UTF-8 text, or it holds control characters`},
		{name: "Latin-1 elsewhere", in: "id,x\na,\xe9\n", out: "id,x\nA,\xe9\n"},
		{name: "Latin-1 in the column", in: "x,\"id\"\na,\"\xe9\"\n", want: `: line 2, column "id": VALUE_NOT_TEXT: not UTF-8 text, or it holds control characters`},
		{name: "line of a value behind line ends in quotes", in: "x,id\n\"a\n\n\",b\nc,\xff\n", want: `: line 5, column "id": VALUE_NOT_TEXT: not UTF-8 text, or it holds control characters`},
		{name: "a value before a bare quote", in: "id\n\xff\na\"\n", want: `: line 2, column "id": VALUE_NOT_TEXT: not UTF-8 text, or it holds control characters`},
		{name: "not a pseudonym", in: "id\nabc\n", job: Job{Columns: []Column{{Name: "id", Plan: rev}}}, want: `: line 2, column "id": NOT_A_PSEUDONYM: not a pseudonym of this project, or damaged`},
		{name: "no header", in: "a,b\nc,d\n", job: Job{NoHeader: true, Columns: []Column{{Name: "2", Plan: p}}}, out: "a,B\nc,D\n"},
		{name: "no header, by name", in: "a,b\n", job: Job{NoHeader: true}, want: `column "id": without a header columns go by number, from 1`},
		{name: "no header, empty", in: "", job: Job{NoHeader: true, Columns: []Column{{Number: 1, Plan: p}}}, out: ""},
		{name: "number too high", in: "a,b\n", job: Job{Columns: []Column{{Number: 3, Plan: p}}}, want: ": no column 3; rows have 2 fields"},
		{name: "half a character of UTF-16", in: "\xff\xfei\x00d\x00\n\x00a\x00\x00\xd8\n\x00", want: ": line 2 (byte 11 of the input): half a character of UTF-16 stands here: the file is damaged, cut short, or in another encoding"},
		{name: "UTF-32", in: "\xff\xfe\x00\x00i\x00\x00\x00", want: ": is utf-32, not utf-8; convert it first: iconv -f utf-32 -t UTF-8 <IN >OUT"},
		{name: "UTF-16 without a mark", in: "i\x00d\x00,\x00x\x00\n\x00a\x00a\x00b\x00,\x00c\x00\n\x00", want: ": is utf-16le, not utf-8; convert it first: iconv -f utf-16le -t UTF-8 <IN >OUT"},
		{name: "row over the limit", in: "id,x\na,b\n\"c" + strings.Repeat("\n", 3<<20) + "\",x\n", job: Job{MaxRow: 1 << 20}, want: ": line 3: a row is longer than 1 MiB: is a quote not closed?"},
		{name: "bare quote long before the limit", in: "id,x\na,b\nc\"c,d\n" + strings.Repeat("e,f\n", 1<<20), job: Job{MaxRow: 1 << 20}, want: `bare " in non-quoted-field`},
		{name: "null", in: "id,x\na,b\n\xff,c\n\"\xff\",d\n", job: Job{OnError: Null}, out: "id,x\nA,b\n,c\n\"\",d\n"},
		{name: "null in a file of one column", in: "id\na\n\xff\n", job: Job{OnError: Null}, out: "id\nA\n\"\"\n"},
		{name: "keep", in: "id,x\n\xff,a\na,b\n\n\xff,\"c\nd\"\r\nb,e\n\xff,f", job: Job{OnError: Keep}, out: "id,x\nA,b\n\nB,e\n"},
		{name: "one column, a lone CR at the end", in: "id\na\n\r", out: "id\nA\n\r"},
		{name: "one column, a CR behind the last value", in: "id\na\nb\r", out: "id\nA\nB\r"},
		{name: "placeholders", in: "id,x\nNA,b\n\"NULL\",c\na,NA\n", job: Job{Null: []string{"NA", "NULL"}}, out: "id,x\nNA,b\n\"NULL\",c\nA,NA\n"},
	} {
		for _, chunk := range []int{3, 64, 0} {
			for _, pipe := range []bool{false, true} {
				job := c.job
				if job.Columns == nil {
					job.Columns = []Column{{Name: "id", Plan: p}}
				}
				job.chunk, job.Workers = chunk, 2
				if chunk == 3 && len(c.in) > 1<<20 {
					job.chunk = 1000
				}
				got, _, err := runBytes(t, job, []byte(c.in), pipe)
				if c.want != "" {
					if err == nil || !strings.HasSuffix(err.Error(), c.want) {
						t.Errorf("%s, chunk %d, pipe %v: %v, want %s", c.name, chunk, pipe, err, c.want)
					}
					continue
				}
				want := strings.NewReplacer("A", transformOne(p, "a"), "B", transformOne(p, "b"), "D", transformOne(p, "d")).Replace(strings.ReplaceAll(strings.ReplaceAll(c.out, "NA", "\x01"), "NULL", "\x02"))
				want = strings.ReplaceAll(strings.ReplaceAll(want, "\x01", "NA"), "\x02", "NULL")
				if err != nil || string(got) != want {
					t.Errorf("%s, chunk %d, pipe %v: %q, %v, want %q", c.name, chunk, pipe, got, err, want)
				}
			}
		}
	}
}

// TestErrorsHoldNoValue looks for the values of bad input in the messages.
func TestErrorsHoldNoValue(t *testing.T) {
	rev := plan(t, spec.Reverse, reversible)
	for _, in := range []string{"id\nSECRET\n", "id\n\"SECRET", "id\nSEC\"RET\n", "id\nSECRET,SECRET\n"} {
		_, _, err := runBytes(t, Job{Columns: []Column{{Name: "id", Plan: rev}}}, []byte(in), false)
		if err == nil || strings.Contains(err.Error(), "SEC") {
			t.Errorf("%q: %v", in, err)
		}
		var e *Error
		if !errors.As(err, &e) || e.Line != 2 {
			t.Errorf("%q: the error has no position: %v", in, err)
		}
	}
}
