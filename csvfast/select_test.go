package csvfast

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/campaign"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// reference is what encoding/csv reads from an input: rows up to the first error.
type reference struct {
	rows [][]string
	err  *csv.ParseError
}

func refer(t *testing.T, d Dialect, in []byte, fields int) (r reference) {
	t.Helper()
	d = d.normal()
	if d.Quote != '"' || d.Comma >= 0x80 {
		swap := map[byte]byte{d.Quote: '"', '"': d.Quote}
		in = bytes.Clone(in)
		for i, c := range in {
			if s, ok := swap[c]; ok {
				in[i] = s
			}
		}
	}
	rd := csv.NewReader(bytes.NewReader(in))
	rd.Comma = rune(d.Comma)
	rd.FieldsPerRecord = fields
	for {
		row, err := rd.Read()
		if err == io.EOF {
			return r
		}
		if err != nil {
			if !errors.As(err, &r.err) {
				t.Fatalf("encoding/csv on %q: %v", in, err)
			}
			return r
		}
		if d.Quote != '"' {
			for i, f := range row {
				row[i] = strings.Map(func(c rune) rune {
					switch c {
					case '"':
						return rune(d.Quote)
					case rune(d.Quote):
						return '"'
					}
					return c
				}, f)
			}
		}
		r.rows = append(r.rows, row)
	}
}

// halve is Unquote in its simplest form.
func halve(d Dialect, raw []byte) string {
	q := string(d.normal().Quote)
	return strings.ReplaceAll(string(raw), q+q, q)
}

// lfOnly turns the CRLFs of a value into LFs, as encoding/csv does inside quotes.
func lfOnly(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

// selected returns the values of the last scan in rows of the given lengths.
func selected(t *testing.T, s *Selector, buf []byte) []string {
	t.Helper()
	var values []string
	j := 0
	for i := 0; i < len(s.Spans); i += 2 {
		raw := buf[s.Spans[i]:][:s.Spans[i+1]]
		if j < len(s.Doubled) && int(s.Doubled[j]) == i/2 {
			j++
			text := halve(s.d, raw)
			if len(text) == len(raw) {
				t.Errorf("Doubled lists value %d, which has no doubled quotes: %q", i/2, buf)
			}
			values = append(values, text)
			continue
		}
		values = append(values, string(raw))
	}
	if j != len(s.Doubled) {
		t.Errorf("Doubled %v lists values that do not exist: %q", s.Doubled, buf)
	}
	return values
}

// checkScan compares one scan with encoding/csv.
func checkScan(t *testing.T, s *Selector, buf []byte, columns []int, fields int) {
	t.Helper()
	compareScan(t, s, buf, columns, fields, refer(t, s.d, buf, max(fields, -1)))
}

// compareScan compares one scan with a reference.
func compareScan(t *testing.T, s *Selector, buf []byte, columns []int, fields int, ref reference) {
	t.Helper()
	err := s.Scan(buf)
	want := []string{}
	ends := []uint32{}
	rows := 0
	for i, row := range ref.rows {
		if columns == nil {
			want = append(want, row...)
			ends = append(ends, uint32(len(want)))
			rows++
			continue
		}
		if last := columns[len(columns)-1]; last >= len(row) {
			var pe *ParseError
			if !errors.As(err, &pe) || !errors.Is(err, ErrColumn) {
				t.Fatalf("%q: row %d has no column %d, but Scan says %v", buf, i, last, err)
			}
			ref.err = nil
			err = nil
			break
		}
		for _, c := range columns {
			want = append(want, row[c])
		}
		rows++
	}
	switch {
	case ref.err != nil:
		var pe *ParseError
		if !errors.As(err, &pe) {
			t.Fatalf("%q: error %v, encoding/csv says %v", buf, err, ref.err)
		}
		if pe.StartLine != ref.err.StartLine || pe.Line != ref.err.Line || pe.Column != ref.err.Column || pe.Err != ref.err.Err {
			t.Fatalf("%q: error %+v, encoding/csv says %+v", buf, *pe, *ref.err)
		}
	case err != nil:
		t.Fatalf("%q: error %v, encoding/csv has none", buf, err)
	default:
		if rows == len(ref.rows) && s.Lines != bytes.Count(buf, lf) {
			t.Fatalf("%q: %d lines, want %d", buf, s.Lines, bytes.Count(buf, lf))
		}
	}
	got := selected(t, s, buf)
	for i := range got {
		got[i] = lfOnly(got[i])
	}
	if s.Rows != rows || !slices.Equal(got, want) {
		t.Fatalf("%q columns %v: %d rows, %d values %q\nwant %d rows, %d values %q", buf, columns, s.Rows, len(got), got, rows, len(want), want)
	}
	if columns == nil && fields < 0 && !slices.Equal(s.RowEnds, ends) {
		t.Fatalf("%q: row ends %v, want %v", buf, s.RowEnds, ends)
	}
}

var (
	wild  = []string{"\r", "a", "b", ",", "\"", "\n", "\"\"", "\r\n", "\",\"", "xyz", ",\"", "\",", "\"\n", "é"}
	clean = []string{"a,", "bcd,", ",", "\n", "e\r\n", "long field of many bytes,", "x\n", "\"q\",", "\"q\"\"r\",", "\"\",", "\"\n\",", "\"a,b\"\n", "\"c\"\r\n", "\"\r\n\",", "\"\"\"\"\n"}
)

// randomCSV returns an input of about n pieces, usually invalid or usually valid.
func randomCSV(r *rand.Rand, n int) []byte {
	var in []byte
	pieces := clean
	if r.IntN(2) == 0 {
		pieces = wild
		n = min(n, 14)
	}
	for range r.IntN(n + 1) {
		in = append(in, pieces[r.IntN(len(pieces))]...)
	}
	switch r.IntN(8) {
	case 0:
		in = append(in, '\r')
	case 1:
		in = append(in, wild[r.IntN(len(wild))]...)
	case 2: // damage
		if len(in) > 0 {
			in[r.IntN(len(in))] = ",\"\r\nx"[r.IntN(5)]
		}
	}
	return in
}

// evenCSV returns a file whose rows, with few exceptions, have the same number of fields.
func evenCSV(r *rand.Rand, bytes int) []byte {
	fields := 1 + r.IntN(9)
	eol := []string{"\n", "\r\n"}[r.IntN(2)]
	quoted := r.IntN(3) * 20
	var in []byte
	for len(in) < bytes {
		for f := range fields {
			if f > 0 {
				in = append(in, ',')
			}
			body := "value of some length, \"\"or\"\"\n\r\n not"[:r.IntN(33)]
			switch {
			case r.IntN(100) < quoted:
				in = append(in, '"')
				if strings.Count(body, `"`)&1 == 1 {
					body += `"`
				}
				in = append(in, body...)
				in = append(in, '"')
			default:
				in = append(in, body[:min(len(body), 20)]...)
			}
		}
		in = append(in, eol...)
		if r.IntN(400) == 0 {
			in = append(in, eol...)
		}
	}
	if r.IntN(4) == 0 {
		in = in[:len(in)-r.IntN(10)]
	}
	if r.IntN(8) == 0 {
		in[r.IntN(len(in))] = ",\"\r\nx"[r.IntN(5)]
	}
	return in
}

// rounds is the number of random inputs. The structured tests and `make soak` try many more.
func rounds() int {
	if testing.Short() {
		return 10_000
	}
	return 40_000
}

// TestSelectorRandom compares scans of random input with encoding/csv.
func TestSelectorRandom(t *testing.T) {
	kept := map[string]*Selector{}
	campaign.Run(t, rounds(), campaigns, func(t *testing.T, r *rand.Rand, _ int) {
		scanWith(t, kept, randomCSV(r, 1<<(2+r.IntN(5))), r)
	})
}

// TestSelectorEven compares scans of larger files of even rows with encoding/csv.
func TestSelectorEven(t *testing.T) {
	kept := map[string]*Selector{}
	campaign.Run(t, rounds()/100, campaigns, func(t *testing.T, r *rand.Rand, _ int) {
		scanWith(t, kept, evenCSV(r, 1+r.IntN(5*window)), r)
	})
}

// scanWith checks in with a random choice of columns on every kernel. It keeps the selectors, so
// that each makes many scans.
func scanWith(t *testing.T, kept map[string]*Selector, in []byte, r *rand.Rand) {
	t.Helper()
	var columns []int
	if r.IntN(2) == 0 {
		for c := range 5 {
			if r.IntN(3) == 0 {
				columns = append(columns, c)
			}
		}
	}
	fields := r.IntN(9) - 1
	if len(columns) > 0 && fields > 0 {
		fields = max(fields, columns[len(columns)-1]+1)
	}
	ref := refer(t, Dialect{}, in, fields)
	choice := fmt.Sprint(columns, fields)
	campaign.OnEachKernel(t, func(kernel string) {
		s := kept[kernel+choice]
		if s == nil || fields == 0 {
			var err error
			if s, err = NewSelector(Dialect{}, columns, fields); err != nil {
				t.Fatal(err)
			}
			kept[kernel+choice] = s
		}
		compareScan(t, s, in, columns, fields, ref)
	})
}

// TestSelectorRefuses checks that NewSelector refuses invalid columns and dialects.
func TestSelectorRefuses(t *testing.T) {
	for _, c := range []struct {
		d       Dialect
		columns []int
		fields  int
	}{
		{Dialect{Comma: '"'}, nil, 0},
		{Dialect{Comma: '\n'}, nil, 0},
		{Dialect{Quote: '\r'}, nil, 0},
		{Dialect{}, []int{}, 0},
		{Dialect{}, []int{1, 1}, 0},
		{Dialect{}, []int{2, 1}, 0},
		{Dialect{}, []int{-1}, 0},
		{Dialect{}, []int{3}, 3},
		{Dialect{}, nil, -2},
	} {
		if s, err := NewSelector(c.d, c.columns, c.fields); err == nil {
			t.Errorf("%v: NewSelector returned a selector of %v, want an error", c, s.columns)
		}
	}
	if _, err := NewSelector(Dialect{}, []int{3}, 3); !errors.Is(err, ErrColumn) {
		t.Errorf("column behind the last: %v", err)
	}
}

// TestParseErrorText checks the texts of errors, and errors.As with encoding/csv's type.
func TestParseErrorText(t *testing.T) {
	for in, want := range map[string]string{
		"a,b\nc,d\"x":    "csv: line 2, column 4: quote in a field that is not quoted; quote the field and double the quote",
		"a\n\"b\nc\"d":   "csv: line 3, column 2: text after a closing quote; double the quotes inside a quoted field",
		"a\n\"b\nc":      "csv: line 3, column 2: quote not closed in the row that starts on line 2",
		"a,b\n\n1,2,3\n": "csv: line 3: wrong number of fields",
	} {
		s, _ := NewSelector(Dialect{}, nil, 0)
		err := s.Scan([]byte(in))
		if err == nil || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", in, err, want)
		}
		var pe *csv.ParseError
		if !errors.As(err, &pe) {
			t.Errorf("%q: errors.As finds no *csv.ParseError in %v", in, err)
		}
	}
}

// TestPlain checks that a buffer with Plain set consists of its values with an LF after each, and
// that Plain is set for an ordinary file of one column.
func TestPlain(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		plain := 0
		for i := range 3000 {
			var buf []byte
			for range 1 + r.IntN(300) {
				buf = append(buf, "0123456789abcdefghijklmnopqrstuvwxyz"[:1+r.IntN(36)]...)
				buf = append(buf, '\n')
			}
			if i%2 == 1 { // one byte that is not plain, or one line end less
				at := r.IntN(len(buf))
				odd := []string{"\r", "\n", "\"", "\"a\"\n", "\r\n", "", "\n\n", "\n\"a\"\n"}[r.IntN(8)]
				buf = append(buf[:at], append([]byte(odd), buf[at+1:]...)...)
			}
			s, err := NewSelector(Dialect{}, []int{0}, 1)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the first scan learns how long rows are
				if s.Scan(buf) != nil {
					break
				}
			}
			if !s.Plain {
				if i%2 == 0 {
					t.Fatalf("Plain is not set for %q", buf)
				}
				continue
			}
			plain++
			var want []byte
			for v := 0; v < len(s.Spans); v += 2 {
				want = append(append(want, buf[s.Spans[v]:][:s.Spans[v+1]]...), '\n')
			}
			if !bytes.Equal(bytes.TrimSuffix(want, lf), bytes.TrimSuffix(buf, lf)) || len(s.Doubled) > 0 || s.Rows != len(s.Spans)/2 {
				t.Fatalf("Plain is set for %q, spans %d", buf, s.Spans)
			}
		}
		if s, _ := NewSelector(Dialect{}, nil, 0); s.Scan(nil) != nil || s.Plain {
			t.Fatal("Plain was never set")
		}
		if plain < 1500 {
			t.Fatalf("only %d of 3,000 buffers were plain: too few to test", plain)
		}
	})
}
