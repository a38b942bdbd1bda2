package bulk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/apache/arrow-go/v18/arrow/memory"
	arrowparquet "github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/parquet-go/parquet-go"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// nullText stands for null in what readColumn returns.
const nullText = "(null)"

// readColumn reads a flat column of strings with arrow-go and with parquet-go, and
// fails where they differ.
func readColumn(t testing.TB, path string, column int) []string {
	t.Helper()
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatalf("arrow-go: %v", err)
	}
	defer r.Close()
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.NewGoAllocator())
	if err != nil {
		t.Fatalf("arrow-go: %v", err)
	}
	table, err := fr.ReadTable(context.Background())
	if err != nil {
		t.Fatalf("arrow-go: %v", err)
	}
	var one []string
	for _, a := range table.Column(column).Data().Chunks() {
		for i := range a.Len() {
			one = append(one, a.ValueStr(i))
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatalf("parquet-go: %v", err)
	}
	var two []string
	for _, rg := range f.RowGroups() {
		rows := rg.Rows()
		buf := make([]parquet.Row, 7)
		for {
			n, err := rows.ReadRows(buf)
			for _, row := range buf[:n] {
				if v := row[column]; v.IsNull() {
					two = append(two, nullText)
				} else {
					two = append(two, string(v.ByteArray()))
				}
			}
			if n == 0 || err != nil {
				break
			}
		}
		rows.Close()
	}
	if !slices.Equal(one, two) {
		t.Fatalf("arrow-go reads %q, parquet-go %q", one, two)
	}
	return one
}

// editFooter changes the footer of a file.
func editFooter(t testing.TB, b []byte, edit func(meta *thrift.Value)) []byte {
	t.Helper()
	n := int(binary.LittleEndian.Uint32(b[len(b)-8:]))
	start := len(b) - 8 - n
	meta, _, err := thrift.Read(b[start:])
	if err != nil {
		t.Fatal(err)
	}
	edit(&meta)
	footer := meta.Append(nil)
	out := append(bytes.Clone(b[:start]), footer...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(footer)))
	return append(out, "PAR1"...)
}

// withoutDictionaryOffset returns the file as old writers made it: the offset of the data is
// that of the dictionary, and the metadata does not mention the dictionary.
func withoutDictionaryOffset(t testing.TB, b []byte) []byte {
	return editFooter(t, b, func(meta *thrift.Value) {
		for _, rg := range meta.Items(4) {
			for i := range rg.Items(1) {
				m := rg.Items(1)[i].Field(3)
				if d := m.Int(11); d > 0 {
					m.Put(9, thrift.I64, d)
					m.Remove(11)
				}
			}
		}
	})
}

// TestParquetWriters runs over files of other programs, and over files whose metadata does
// not mention their dictionaries. Two libraries read the outputs. Rows, values, empty values,
// the estimate and the charge are those of the table in every encoding.
func TestParquetWriters(t *testing.T) {
	same, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	different := plan(t, spec.Pseudonymise, suite.Spec{Method: spec.Reversible, Policy: spec.Different, Form: spec.Hex})
	names, err := filepath.Glob("testdata/parquet/*.parquet")
	if err != nil || len(names) < 10 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	for _, name := range names {
		if strings.Contains(name, "annotated") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for variant, in := range map[string][]byte{"": data, ", no dictionary offset": withoutDictionaryOffset(t, data)} {
			t.Run(filepath.Base(name)+variant, func(t *testing.T) {
				dir := t.TempDir()
				path, out, again := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet"), filepath.Join(dir, "again.parquet")
				if err := os.WriteFile(path, in, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "was.parquet"), data, 0o600); err != nil {
					t.Fatal(err)
				}
				was := readColumn(t, filepath.Join(dir, "was.parquet"), 1)
				var want []string
				values, empty := 0, 0
				for _, v := range was {
					switch v {
					case nullText, "":
						empty++
						want = append(want, v)
					default:
						values++
						want = append(want, transformOne(same, v))
					}
				}
				if n := 60; len(was) != n && len(was) != 0 || len(was) == n && values != 49 {
					t.Fatalf("the input has %d rows, %d values: not the test's file", len(was), values)
				}
				charged := 0
				job := Job{Inputs: []string{path}, Output: out, Columns: []Column{{Name: "id", Plan: same, Spend: func(_ context.Context, n int) error {
					charged += n
					return nil
				}}}}
				sum, err := Run(t.Context(), job)
				if err != nil {
					t.Fatal(err)
				}
				if sum.Rows != int64(len(was)) || sum.Values != int64(values) || sum.Empty != int64(empty) || charged != values || sum.Distinct > sum.Values {
					t.Errorf("%d rows, %d values, %d empty, about %d different, %d charged; want %d, %d, %d, no more, %d",
						sum.Rows, sum.Values, sum.Empty, sum.Distinct, charged, len(was), values, empty, values)
				}
				if got := readColumn(t, out, 1); !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
				if _, err := Run(t.Context(), Job{Inputs: []string{out}, Output: again, Columns: []Column{{Number: 2, Plan: back}}}); err != nil {
					t.Fatal(err)
				}
				if got := readColumn(t, again, 1); !slices.Equal(got, was) {
					t.Errorf("reversed: %q, was %q", got, was)
				}
				job.Columns[0].Plan, job.Force = different, true
				charged = 0
				if sum, err = Run(t.Context(), job); err != nil {
					t.Fatal(err)
				}
				if sum.Values != int64(values) || sum.Empty != int64(empty) || charged != values {
					t.Errorf("policy different: %d values, %d empty, %d charged, want %d, %d and %d", sum.Values, sum.Empty, charged, values, empty, values)
				}
				readColumn(t, out, 1)
			})
		}
	}
}

// TestParquetBudget checks that a budget smaller than the number of values ends the run
// before a value is written, in every encoding, and that nothing is left.
func TestParquetBudget(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in := filepath.Join(dir, "in.parquet")
	spent := errors.New("spent")
	for _, dictionary := range []bool{true, false} {
		writeArrow(t, in, cells(4000, 10), arrowparquet.WithDictionaryDefault(dictionary))
		charged := 0
		_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: filepath.Join(dir, "out"), Columns: []Column{{Name: "id", Plan: p, Spend: func(_ context.Context, n int) error {
			if charged += n; charged > 3000 {
				return spent
			}
			return nil
		}}}})
		if !errors.Is(err, spent) {
			t.Errorf("dictionary %v: error %v after %d charged values, want %v", dictionary, err, charged, spent)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("dictionary %v: left %v", dictionary, left)
		}
	}
}

// TestParquetCountsAsCSV checks that a table gives the same counts, faults and charge as CSV
// and as Parquet in any encoding.
func TestParquetCountsAsCSV(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	rows := cells(5000, 700)
	rows[77].id, rows[78].id = "\x01", "\x01"
	var csv bytes.Buffer
	csv.WriteString("id\n")
	for _, r := range rows {
		if r.null || r.id == "" {
			csv.WriteString("\"\"\n")
		} else {
			fmt.Fprintf(&csv, "%s\n", r.id)
		}
	}
	run := func(in string) (Summary, int) {
		charged := 0
		sum, err := Run(t.Context(), Job{Inputs: []string{in}, Output: in + ".out", Force: true, Workers: 1, OnError: Null, Null: []string{"id0000007@x"}, Columns: []Column{{Name: "id", Plan: p,
			Spend: func(_ context.Context, n int) error { charged += n; return nil }}}})
		if err != nil {
			t.Fatal(err)
		}
		return sum, charged
	}
	in := filepath.Join(dir, "in.csv")
	if err := os.WriteFile(in, csv.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	want, wantCharged := run(in)
	for name, opts := range map[string][]arrowparquet.WriterProperty{
		"dictionary": nil,
		"v2":         {arrowparquet.WithDataPageVersion(arrowparquet.DataPageV2), arrowparquet.WithDataPageSize(700)},
		"fallback":   {arrowparquet.WithDictionaryPageSizeLimit(1000), arrowparquet.WithDataPageSize(700)},
		"plain":      {arrowparquet.WithDictionaryDefault(false)},
		"delta":      {arrowparquet.WithDictionaryDefault(false), arrowparquet.WithEncodingFor("id", arrowparquet.Encodings.DeltaByteArray)},
	} {
		in := filepath.Join(dir, "in.parquet")
		writeArrow(t, in, rows, opts...)
		got, charged := run(in)
		if got.Rows != want.Rows || got.Values != want.Values || got.Empty != want.Empty || got.Errors != want.Errors || charged != wantCharged {
			t.Errorf("%s: %d rows, %d values, %d empty, %d errors, %d charged; as CSV %d, %d, %d, %d, %d", name,
				got.Rows, got.Values, got.Empty, got.Errors, charged, want.Rows, want.Values, want.Empty, want.Errors, wantCharged)
		}
		var at []int64
		for _, f := range got.Failures {
			at = append(at, f.Line)
		}
		if !slices.Equal(at, []int64{78, 79}) {
			t.Errorf("%s: faults in rows %v, want 78 and 79", name, at)
		}
		if want.Values+want.Errors < got.Distinct {
			t.Errorf("%s: about %d different of %d", name, got.Distinct, got.Values)
		}
	}
}

// TestParquetMapping checks that the mapping file holds the pairs of a Parquet file, one for
// each dictionary entry that a row refers to.
func TestParquetMapping(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	in, sealed := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "pairs")
	for _, dictionary := range []bool{true, false} {
		rows := cells(400, 30)
		rows[50].id = "\x01"
		writeArrow(t, in, rows, arrowparquet.WithDictionaryDefault(dictionary))
		_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: filepath.Join(dir, "out"), Force: true, OnError: Null, Mapping: sealed, Recipients: []age.Recipient{id.Recipient()}, Columns: []Column{{Name: "id", Plan: p}}})
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(sealed)
		if err != nil {
			t.Fatal(err)
		}
		r, err := age.Decrypt(f, id)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		got := map[string]bool{}
		for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
			got[line] = true
		}
		want := map[string]bool{}
		for _, r := range rows {
			if !r.null && r.id != "" && r.id != "\x01" {
				want[r.id+","+transformOne(p, r.id)] = true
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("dictionary %v: %d pairs, want %d", dictionary, len(got), len(want))
		}
	}
}
