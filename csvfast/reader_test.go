package csvfast

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// oneOf returns a reader of in, whole or in uneven reads.
func oneOf(r *rand.Rand, in []byte) io.Reader {
	switch r.IntN(4) {
	case 0:
		return iotest.OneByteReader(bytes.NewReader(in))
	case 1:
		return iotest.HalfReader(bytes.NewReader(in))
	case 2:
		return iotest.DataErrReader(bytes.NewReader(in))
	}
	return bytes.NewReader(in)
}

// checkReader compares a Reader with encoding/csv's, errors and the rows after them included.
func checkReader(t *testing.T, in []byte, src io.Reader, fields int) {
	t.Helper()
	want := csv.NewReader(bytes.NewReader(in))
	got := NewReader(src)
	want.FieldsPerRecord, got.FieldsPerRecord = fields, fields
	for {
		w, werr := want.Read()
		g, gerr := got.Read()
		for i := range g {
			g[i] = lfOnly(g[i])
		}
		if !slices.Equal(w, g) {
			t.Fatalf("%q: row %q, want %q", in, g, w)
		}
		if werr == io.EOF || gerr == io.EOF {
			if werr != gerr {
				t.Fatalf("%q: error %v, encoding/csv says %v", in, gerr, werr)
			}
			break
		}
		var we *csv.ParseError
		var ge *ParseError
		errors.As(werr, &we)
		errors.As(gerr, &ge)
		if (we == nil) != (ge == nil) || we != nil && (we.StartLine != ge.StartLine || we.Line != ge.Line || we.Column != ge.Column || we.Err != ge.Err) {
			t.Fatalf("%q: error %+v, encoding/csv says %+v", in, gerr, werr)
		}
		if ge == nil || ge.Err == ErrFieldCount {
			// encoding/csv's offset counts the CRs too
			if w, g := want.InputOffset(), got.InputOffset(); w != g {
				t.Fatalf("%q: offset %d, want %d", in, g, w)
			}
		}
	}
	if g, err := got.Read(); g != nil || err != io.EOF {
		t.Fatalf("%q: after the end: %q, %v", in, g, err)
	}
}

// TestReaderRandom compares a Reader with encoding/csv's on random input.
func TestReaderRandom(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		for range rounds() / 20 {
			in := randomCSV(r, 1<<(2+r.IntN(5)))
			checkReader(t, in, oneOf(r, in), r.IntN(6)-1)
		}
		for range rounds() / 2000 {
			in := evenCSV(r, 1+r.IntN(4*readerBuffer))
			checkReader(t, in, oneOf(r, in), r.IntN(3)-1)
		}
	})
}

// TestReaderLongRow reads rows that are longer than every buffer.
func TestReaderLongRow(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, field := range []string{"x", "\"a\"\"b\n\"", "\"" + strings.Repeat("c,\n", 5*readerBuffer) + "\""} {
			var in []byte
			in = append(in, "head,er\n"...)
			for len(in) < 3*readerBuffer {
				in = append(append(in, field...), ',')
			}
			in = append(in, "end\nand,more\n"...)
			checkReader(t, in, bytes.NewReader(in), -1)
		}
	})
}

// TestReaderSourceError checks that a Reader returns the rows before an error of its source, and
// then that error.
func TestReaderSourceError(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, in := range []string{"", "a,b\n", "a,b\nc,d", "a,b\n\"c", "a,b\n\"c\"x", "a,b\n" + strings.Repeat("c,d\n", 70)} {
			r := NewReader(io.MultiReader(strings.NewReader(in), iotest.ErrReader(io.ErrUnexpectedEOF)))
			rows := 0
			var err error
			for err == nil {
				if _, err = r.Read(); err == nil {
					rows++
				}
			}
			if err != io.ErrUnexpectedEOF || rows != strings.Count(in, "\n") {
				t.Errorf("%q: %d rows, then %v", in, rows, err)
			}
		}
	})
}

// TestReaderDialect checks other delimiters and quotes, and that invalid ones are refused.
func TestReaderDialect(t *testing.T) {
	r := NewReader(strings.NewReader("a;'b;''c'\n"))
	r.Comma, r.Quote = ';', '\''
	if row, err := r.Read(); err != nil || !slices.Equal(row, []string{"a", "b;'c"}) {
		t.Errorf("%q, %v", row, err)
	}
	for _, c := range []rune{0, '\n', '\r', '"', 'é', 0xfffd, -1} {
		r := NewReader(strings.NewReader("a\n"))
		r.Comma = c
		if row, err := r.Read(); err == nil {
			t.Errorf("delimiter %q: reads %q, want an error", c, row)
		}
	}
}

// TestReaderAllocations checks that ReadBorrowed allocates nothing in steady state.
func TestReaderAllocations(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		in := bytes.Repeat([]byte("a,\"b\"\"c\",def\r\n"), 20000)
		r := NewReader(bytes.NewReader(in))
		for range 15000 { // until both buffers have their final size
			if _, err := r.ReadBorrowed(); err != nil {
				t.Fatal(err)
			}
		}
		if n := testing.AllocsPerRun(4000, func() {
			if f, err := r.ReadBorrowed(); err != nil || string(f[1]) != `b"c` {
				t.Fatal(f, err)
			}
		}); n != 0 {
			t.Errorf("ReadBorrowed: %v allocations for a row, want none", n)
		}
	})
}

// corpus is the folder of test data from other projects; see its README.
const corpus = "../testdata/corpora"

// TestSpectrum reads every file of csv-spectrum and compares it with the rows of its JSON file.
func TestSpectrum(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus, "csv-spectrum/csvs/*.csv"))
	if err != nil || len(files) == 0 {
		t.Fatal("no files of csv-spectrum", err)
	}
	simdtest.EachKernel(t, func(t *testing.T) {
		for _, name := range files {
			in, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Base(name) == "location_coordinates.csv" {
				// It has a bare quote, which encoding/csv refuses; its JSON does not match it either.
				_, err := NewReader(bytes.NewReader(in)).ReadAll()
				if !errors.Is(err, ErrBareQuote) {
					t.Errorf("%s: %v, want a bare quote", name, err)
				}
				continue
			}
			expect, err := os.ReadFile(strings.Replace(strings.Replace(name, "/csvs/", "/json/", 1), ".csv", ".json", 1))
			if err != nil {
				t.Fatal(err)
			}
			var want []map[string]string
			if err := json.Unmarshal(expect, &want); err != nil {
				t.Fatal(err)
			}
			rows, err := NewReader(bytes.NewReader(in)).ReadAll()
			if err != nil {
				t.Errorf("%s: %v", filepath.Base(name), err)
				continue
			}
			if len(rows)-1 != len(want) {
				t.Errorf("%s: %d rows, want %d", filepath.Base(name), len(rows)-1, len(want))
				continue
			}
			for i, row := range rows[1:] {
				got := map[string]string{}
				for j, f := range row {
					got[rows[0][j]] = f
				}
				if fmt.Sprint(got) != fmt.Sprint(want[i]) {
					t.Errorf("%s: row %d is %q, want %q", filepath.Base(name), i, got, want[i])
				}
			}
			s, err := NewSelector(Dialect{}, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			checkScan(t, s, in, nil, 0)
		}
	})
}

// TestEncodingCSVCases runs the cases of encoding/csv's own test table, except those of features
// that Reader lacks: lazy quotes, comments, trimming, delimiters of more than one byte.
func TestEncodingCSVCases(t *testing.T) {
	type testCase struct {
		Name            string
		InputBytes      []byte
		OutputBytes     [][][]byte
		Error           string
		Comma, Comment  string
		FieldsPerRecord int
		LazyQuotes      bool
		Trim            bool `json:"TrimLeadingSpace"`
		ReuseRecord     bool
	}
	data, err := os.ReadFile(filepath.Join(corpus, "go-encoding-csv/read_cases.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []testCase
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	simdtest.EachKernel(t, func(t *testing.T) {
		ran := 0
		for _, c := range cases {
			if c.LazyQuotes || c.Trim || c.Comment != "" || len(c.Comma) > 1 {
				continue
			}
			ran++
			r := NewReader(bytes.NewReader(c.InputBytes))
			r.FieldsPerRecord, r.ReuseRecord = c.FieldsPerRecord, c.ReuseRecord
			if c.Comma != "" {
				r.Comma = rune(c.Comma[0])
			}
			var rows [][]string
			var err error
			for {
				var row []string
				if row, err = r.Read(); err != nil {
					break
				}
				rows = append(rows, slices.Clone(row))
			}
			if (err == io.EOF) != (c.Error == "") {
				t.Errorf("%s: %v, want error %q", c.Name, err, c.Error)
				continue
			}
			if c.Error != "" {
				continue // checkReader compares the error and its position with encoding/csv's
			}
			var want [][]string
			for _, row := range c.OutputBytes {
				var fields []string
				for _, f := range row {
					fields = append(fields, string(f))
				}
				want = append(want, fields)
			}
			for _, row := range rows {
				for j := range row {
					row[j] = lfOnly(row[j])
				}
			}
			if fmt.Sprintf("%q", rows) != fmt.Sprintf("%q", want) {
				t.Errorf("%s: %q, want %q", c.Name, rows, want)
			}
		}
		if ran < len(cases)/2 {
			t.Errorf("ran %d of %d cases", ran, len(cases))
		}
		for _, c := range cases {
			if len(c.Comma) <= 1 {
				checkReader(t, c.InputBytes, bytes.NewReader(c.InputBytes), c.FieldsPerRecord)
			}
		}
	})
}

// TestReaderRunsOfPlainFields reads rows that begin with up to 40 plain fields, which are
// taken in one go, before a field of each kind, at both line ends, and after rows that are
// shorter, so that there is no room for all fields.
func TestReaderRunsOfPlainFields(t *testing.T) {
	kinds := []string{"", "x", `"q"`, `"a ""b"" c"`, `"a,b"`, "\"a\nb\"", `""`}
	for _, end := range []string{"\n", "\r\n"} {
		var data bytes.Buffer
		for plain := range 41 {
			for _, kind := range kinds {
				for _, behind := range []int{0, 1, 5} {
					for range plain {
						data.WriteString("ab,")
					}
					data.WriteString(kind)
					for range behind {
						data.WriteString(",c")
					}
					data.WriteString(end)
				}
			}
		}
		theirs := csv.NewReader(bytes.NewReader(data.Bytes()))
		theirs.FieldsPerRecord = -1
		ours := NewReader(bytes.NewReader(data.Bytes()))
		ours.FieldsPerRecord = -1
		for {
			want, wantErr := theirs.Read()
			got, err := ours.ReadBorrowed()
			if err != wantErr {
				t.Fatalf("%v, want %v", err, wantErr)
			}
			if err != nil {
				break
			}
			if len(got) != len(want) {
				t.Fatalf("%d fields %q, want %d %q", len(got), got, len(want), want)
			}
			for i := range want {
				if string(got[i]) != want[i] {
					t.Fatalf("field %d of %q is %q, want %q", i, got, got[i], want[i])
				}
			}
		}
	}
}
