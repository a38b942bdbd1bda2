package bulk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	arrowparquet "github.com/apache/arrow-go/v18/parquet"
	arrowcompress "github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/parquet-go/parquet-go"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// original matches the values of the replaced columns.
var original = regexp.MustCompile(`id\d{7}@|code\d{3}@`)

// cell is a row of the test files. id and name may be null, codes is a list.
type cell struct {
	id    string
	null  bool
	name  string
	codes []string
	n     int64
}

func cells(n, distinct int) []cell {
	rows := make([]cell, n)
	for i := range rows {
		k := i * 7919 % distinct
		rows[i] = cell{id: fmt.Sprintf("id%07d@x", k), null: i%11 == 3, name: fmt.Sprintf("name %d", i%50), n: int64(i)}
		if i%13 == 5 {
			rows[i].id = ""
		}
		for c := range i % 3 {
			rows[i].codes = append(rows[i].codes, fmt.Sprintf("code%03d@x", (i+c)%300))
		}
	}
	return rows
}

// writeArrow writes the rows with arrow-go.
func writeArrow(t testing.TB, path string, rows []cell, opts ...arrowparquet.WriterProperty) {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Int64},
		{Name: "id", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "name", Type: arrow.BinaryTypes.String},
		{Name: "codes", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true},
	}, nil)
	b := array.NewRecordBuilder(memory.NewGoAllocator(), schema)
	for _, r := range rows {
		b.Field(0).(*array.Int64Builder).Append(r.n)
		if r.null {
			b.Field(1).AppendNull()
		} else {
			b.Field(1).(*array.StringBuilder).Append(r.id)
		}
		b.Field(2).(*array.StringBuilder).Append(r.name)
		l := b.Field(3).(*array.ListBuilder)
		l.Append(true)
		for _, c := range r.codes {
			l.ValueBuilder().(*array.StringBuilder).Append(c)
		}
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(schema, f, arrowparquet.NewWriterProperties(opts...), pqarrow.DefaultWriterProps())
	if err != nil {
		t.Fatal(err)
	}
	rec := b.NewRecordBatch()
	if err := w.Write(rec); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// readArrow reads a file of writeArrow with arrow-go.
func readArrow(t testing.TB, path string) []cell {
	t.Helper()
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fr, err := pqarrow.NewFileReader(r, pqarrow.ArrowReadProperties{}, memory.NewGoAllocator())
	if err != nil {
		t.Fatal(err)
	}
	table, err := fr.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]cell, table.NumRows())
	each := func(col int, f func(i int, a arrow.Array, k int)) {
		i := 0
		for _, a := range table.Column(col).Data().Chunks() {
			for k := range a.Len() {
				f(i, a, k)
				i++
			}
		}
	}
	each(0, func(i int, a arrow.Array, k int) { rows[i].n = a.(*array.Int64).Value(k) })
	each(1, func(i int, a arrow.Array, k int) {
		if rows[i].null = a.IsNull(k); !rows[i].null {
			rows[i].id = a.(*array.String).Value(k)
		}
	})
	each(2, func(i int, a arrow.Array, k int) { rows[i].name = a.(*array.String).Value(k) })
	each(3, func(i int, a arrow.Array, k int) {
		l := a.(*array.List)
		from, to := l.ValueOffsets(k)
		for j := from; j < to; j++ {
			rows[i].codes = append(rows[i].codes, l.ListValues().(*array.String).Value(int(j)))
		}
	})
	return rows
}

// TestParquetAgainstArrow writes files in every encoding, page version and codec with
// arrow-go, replaces columns, and reads them with arrow-go and with parquet-go.
func TestParquetAgainstArrow(t *testing.T) {
	same := plan(t, spec.Pseudonymise, reversible)
	back := plan(t, spec.Reverse, reversible)
	different := plan(t, spec.Pseudonymise, suite.Spec{Method: spec.Reversible, Policy: spec.Different, Form: spec.Hex})
	undo := plan(t, spec.Reverse, suite.Spec{Method: spec.Reversible, Policy: spec.Different, Form: spec.Hex})
	dir := t.TempDir()
	in, out, again := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet"), filepath.Join(dir, "again.parquet")
	n := 5000
	if testing.Short() {
		n = 1000
	}
	for name, opts := range map[string][]arrowparquet.WriterProperty{
		"dictionary, v1, none":        {arrowparquet.WithDataPageVersion(arrowparquet.DataPageV1)},
		"dictionary, v2, snappy":      {arrowparquet.WithDataPageVersion(arrowparquet.DataPageV2), arrowparquet.WithCompression(arrowcompress.Codecs.Snappy)},
		"dictionary falling back, v1": {arrowparquet.WithDictionaryPageSizeLimit(1000), arrowparquet.WithDataPageSize(2000), arrowparquet.WithCompression(arrowcompress.Codecs.Gzip)},
		"plain, v1, zstd":             {arrowparquet.WithDictionaryDefault(false), arrowparquet.WithCompression(arrowcompress.Codecs.Zstd)},
		"plain, v2, brotli, small":    {arrowparquet.WithDictionaryDefault(false), arrowparquet.WithDataPageVersion(arrowparquet.DataPageV2), arrowparquet.WithCompression(arrowcompress.Codecs.Brotli), arrowparquet.WithDataPageSize(1000)},
		"delta length, v2":            {arrowparquet.WithDictionaryDefault(false), arrowparquet.WithEncoding(arrowparquet.Encodings.DeltaLengthByteArray), arrowparquet.WithEncodingFor("n", arrowparquet.Encodings.DeltaBinaryPacked), arrowparquet.WithDataPageVersion(arrowparquet.DataPageV2)},
		"delta, v1":                   {arrowparquet.WithDictionaryDefault(false), arrowparquet.WithEncoding(arrowparquet.Encodings.DeltaByteArray), arrowparquet.WithEncodingFor("n", arrowparquet.Encodings.Plain)},
		"row groups, indexes, bloom":  {arrowparquet.WithMaxRowGroupLength(700), arrowparquet.WithPageIndexEnabled(true), arrowparquet.WithBloomFilterEnabledFor("id", true), arrowparquet.WithBloomFilterEnabledFor("name", true), arrowparquet.WithDataPageSize(1000)},
	} {
		for _, distinct := range []int{40, 4999} {
			rows := cells(n, distinct)
			writeArrow(t, in, rows, opts...)
			job := Job{Inputs: []string{in}, Output: out, Force: true, Workers: 2, Columns: []Column{{Name: "id", Plan: same}, {Name: "codes", Plan: different}}}
			sum, err := Run(t.Context(), job)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if sum.Rows != int64(n) {
				t.Fatalf("%s: %d rows, want %d", name, sum.Rows, n)
			}
			got := readArrow(t, out)
			seen := map[string]bool{}
			for i, r := range rows {
				g := got[i]
				want := ""
				if r.id != "" && !r.null {
					want = transformOne(same, r.id)
				}
				if g.n != r.n || g.name != r.name || g.null != r.null || g.id != want || len(g.codes) != len(r.codes) {
					t.Fatalf("%s: row %d is %+v, was %+v", name, i, g, r)
				}
				for _, c := range g.codes {
					if seen[c] {
						t.Fatalf("%s: policy different gave the same pseudonym twice", name)
					}
					seen[c] = true
				}
			}
			raw, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if at := original.FindIndex(raw); at != nil {
				t.Fatalf("%s: an original value at byte %d", name, at[0])
			}
			checkParquetGo(t, name, in, raw)

			job.Inputs, job.Output = []string{out}, again
			job.Columns[0].Plan, job.Columns[1].Plan = back, undo
			if _, err := Run(t.Context(), job); err != nil {
				t.Fatalf("%s: reverse: %v", name, err)
			}
			for i, g := range readArrow(t, again) {
				r := rows[i]
				if r.null {
					r.id = ""
				}
				if fmt.Sprint(g) != fmt.Sprint(r) {
					t.Fatalf("%s: reverse: row %d is %+v, was %+v", name, i, g, r)
				}
			}
		}
	}
}

// checkParquetGo reads an output with parquet-go. It checks that the chunks of other columns
// are the same bytes and that no statistics describe the replaced columns.
func checkParquetGo(t *testing.T, name, in string, raw []byte) {
	t.Helper()
	src, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	a, err := parquet.OpenFile(bytes.NewReader(src), int64(len(src)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := parquet.OpenFile(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	rows := 0
	for _, rg := range b.RowGroups() {
		r := rg.Rows()
		buf := make([]parquet.Row, 100)
		for {
			n, err := r.ReadRows(buf)
			rows += n
			if err != nil {
				break
			}
		}
		r.Close()
	}
	if int64(rows) != a.NumRows() {
		t.Fatalf("%s: parquet-go reads %d rows of %d", name, rows, a.NumRows())
	}
	for i := range a.Metadata().RowGroups {
		for c := range a.Metadata().RowGroups[i].Columns {
			x, y := a.Metadata().RowGroups[i].Columns[c], b.Metadata().RowGroups[i].Columns[c]
			first := func(data, dict int64) int64 {
				if dict > 0 && dict < data {
					return dict
				}
				return data
			}
			mx, my := x.MetaData, y.MetaData
			if c == 1 || c == 3 {
				if my.Statistics.MinValue != nil || my.Statistics.MaxValue != nil || my.Statistics.Min != nil || my.BloomFilterOffset != 0 || y.ColumnIndexOffset != 0 || my.Statistics.DistinctCount != 0 {
					t.Fatalf("%s: statistics of a replaced column are left: %+v", name, my.Statistics)
				}
				continue
			}
			at, to := first(mx.DataPageOffset, mx.DictionaryPageOffset), first(my.DataPageOffset, my.DictionaryPageOffset)
			if mx.TotalCompressedSize != my.TotalCompressedSize || !bytes.Equal(src[at:at+mx.TotalCompressedSize], raw[to:to+my.TotalCompressedSize]) {
				t.Fatalf("%s: column %d of row group %d was not copied", name, c, i)
			}
			if !bytes.Equal(mx.Statistics.MinValue, my.Statistics.MinValue) || (mx.BloomFilterOffset > 0) != (my.BloomFilterOffset > 0) || (x.ColumnIndexOffset > 0) != (y.ColumnIndexOffset > 0) {
				t.Fatalf("%s: column %d of row group %d lost its statistics or indexes", name, c, i)
			}
		}
	}
}

// TestParquetRefuses checks the errors of jobs that Parquet does not allow and of damaged
// files.
func TestParquetRefuses(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet")
	rows := cells(1000, 50)
	rows[700].id = "\x01"
	writeArrow(t, in, rows, arrowparquet.WithDictionaryDefault(false), arrowparquet.WithDataPageSize(500))
	good, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	run := func(data []byte, job Job) error {
		t.Helper()
		if err := os.WriteFile(in, data, 0o600); err != nil {
			t.Fatal(err)
		}
		job.Inputs, job.Output, job.Force = []string{in}, out, true
		if job.Columns == nil {
			job.Columns = []Column{{Name: "name", Plan: p}}
		}
		_, err := Run(t.Context(), job)
		if err != nil {
			if left, _ := os.ReadDir(dir); len(left) != 1 {
				t.Fatalf("left %v after %v", left, err)
			}
		} else {
			os.Remove(out)
		}
		return err
	}
	for want, c := range map[string]struct {
		data []byte
		job  Job
	}{
		"is no Parquet file":                        {data: []byte("id,x\n")},
		"begins as one and does not end as one":     {data: good[:len(good)-100]},
		"the Parquet file is encrypted":             {data: append(good[:len(good)-4:len(good)-4], "PARE"...)},
		`no column "x"; there are "n", "id", "na`:   {data: good, job: Job{Columns: []Column{{Name: "x", Plan: p}}}},
		`column "n" is of type INT64, and pseudony`: {data: good, job: Job{Columns: []Column{{Name: "n", Plan: plan(t, spec.Reverse, reversible)}}}},
		"rows of Parquet cannot be kept out":        {data: good, job: Job{OnError: Keep, Rejects: filepath.Join(t.TempDir(), "rejects")}},
		`row 701, column "id": VALUE_NOT_TEXT`:      {data: good, job: Job{Columns: []Column{{Name: "id", Plan: p}}}},
		`row 701, column "id": VALUE_NOT_TEXT: not`: {data: good, job: Job{Columns: []Column{{Number: 2, Plan: p}}}},
	} {
		if err := run(c.data, c.job); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if err := run(good, Job{OnError: Null, Columns: []Column{{Name: "id", Plan: p}}}); err != nil {
		t.Error(err)
	}
	// Files cut and changed at every offset give an error or an output, never a panic.
	writeArrow(t, in, rows[:100], arrowparquet.WithDictionaryDefault(false), arrowparquet.WithDataPageSize(500), arrowparquet.WithBatchSize(20))
	if good, err = os.ReadFile(in); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(good); i += 11 {
		b := bytes.Clone(good)
		b[i] ^= 0x55
		_ = run(b, Job{wrapOut: withoutSync})
	}
	job := Job{Inputs: []string{"-"}, Stdin: bytes.NewReader(good), Format: Parquet, Columns: []Column{{Name: "id", Plan: p}}}
	if _, err := Run(t.Context(), job); !errors.Is(err, ErrUsage) {
		t.Errorf("a pipe: %v", err)
	}
}

// TestParquetParts checks that the shares of a file hold its rows in order.
func TestParquetParts(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in := filepath.Join(dir, "in.parquet")
	rows := cells(2000, 300)
	writeArrow(t, in, rows, arrowparquet.WithMaxRowGroupLength(150))
	var got []cell
	for k := 1; k <= 4; k++ {
		out := filepath.Join(dir, fmt.Sprint(k))
		if _, err := Run(t.Context(), Job{Inputs: []string{in}, Output: out, Columns: []Column{{Name: "id", Plan: p}}, Part: k, Parts: 4}); err != nil {
			t.Fatal(err)
		}
		got = append(got, readArrow(t, out)...)
	}
	if len(got) != len(rows) {
		t.Fatalf("%d rows, want %d", len(got), len(rows))
	}
	for i := range rows {
		if got[i].n != rows[i].n {
			t.Fatalf("row %d is row %d", i, got[i].n)
		}
	}
}
