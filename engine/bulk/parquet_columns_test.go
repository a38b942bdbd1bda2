package bulk

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	arrowparquet "github.com/apache/arrow-go/v18/parquet"
	arrowcompress "github.com/apache/arrow-go/v18/parquet/compress"
	parquetgo "github.com/parquet-go/parquet-go"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
	"github.com/velonym/velonym/engine/bulk/parquet"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// writeRows writes a file with parquet-go.
func writeRows[T any](t testing.TB, path string, rows ...T) {
	t.Helper()
	var b bytes.Buffer
	w := parquetgo.NewGenericWriter[T](&b)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestParquetColumnNames checks that a column is chosen by its name, by a group with nothing
// else in it, or by its number among the leaf columns, and that what could mean two columns
// is refused with a remedy.
func TestParquetColumnNames(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet")
	type group struct {
		B string `parquet:"b"`
		C string `parquet:"c"`
	}
	type row struct {
		First string `parquet:"first"`
		Three string `parquet:"3"`
		Two   string `parquet:"second"`
		A     group  `parquet:"a"`
		AB    string `parquet:"a.b"`
		List  []string
	}
	writeRows(t, in, row{"v1", "v2", "v3", group{"v4", "v5"}, "v6", []string{"v7"}})
	f, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parquet.Open(in, bytes.NewReader(f), int64(len(f)), 1<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	names := file.Columns()
	at := func(name string, nth int) int { // whether parquet-go sorts groups depends on its version
		for i, n := range names {
			if n == name {
				if nth--; nth < 0 {
					return i + 1
				}
			}
		}
		t.Fatalf("no %s in %v", name, names)
		return 0
	}
	for _, c := range []struct {
		columns []Column
		at      int
		want    string // error
	}{
		{columns: []Column{{Name: "first"}}, at: at("first", 0)},
		{columns: []Column{{Number: at("a.c", 0)}}, at: at("a.c", 0)},
		{columns: []Column{{Name: "6"}}, at: 6},
		{columns: []Column{{Number: 3}}, at: 3},
		{columns: []Column{{Name: "List"}}, at: at("List", 0)},
		{columns: []Column{{Name: "3"}}, want: `column "3": that is the name of one and the number of another; write #`},
		{columns: []Column{{Name: "a.b"}}, want: `column "a.b" is there 2 times; give its number: #`},
		{columns: []Column{{Name: "a"}}, want: `column "a" holds several; name one of "a.b", "a.c"`},
		{columns: []Column{{Name: "8"}}, want: `no column "8"; there are 7`},
		{columns: []Column{{Number: 8}}, want: `no column #8; there are 7`},
		{columns: []Column{{Name: "0"}}, want: `no column "0"; there are "`},
		{columns: []Column{{Name: "+6"}}, want: `no column "+6"; there are "`},
		{columns: []Column{{Name: "first"}, {Name: "first"}}, want: `column "first" (#`},
		{columns: []Column{{Name: "first"}, {Number: at("first", 0)}}, want: "is given twice"},
	} {
		for i := range c.columns {
			c.columns[i].Plan = p
		}
		os.Remove(out)
		_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: out, Columns: c.columns})
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%+v: %v, want %s", c.columns[0].Name, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", c.columns[0].Name, err)
			continue
		}
		for i := range names {
			was, now := readLeaf(t, in, i), readLeaf(t, out, i)
			if changed := !slices.Equal(was, now); changed != (i+1 == c.at) {
				t.Errorf("%s #%d: column %d changed %v", c.columns[0].Name, c.columns[0].Number, i+1, changed)
			}
		}
	}
}

// readLeaf reads the values of a leaf with parquet-go.
func readLeaf(t testing.TB, path string, leaf int) (values []string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquetgo.OpenFile(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	for _, rg := range f.RowGroups() {
		rows := rg.Rows()
		defer rows.Close()
		buf := make([]parquetgo.Row, 10)
		for {
			n, err := rows.ReadRows(buf)
			for _, row := range buf[:n] {
				row.Range(func(column int, v []parquetgo.Value) bool {
					if column == leaf {
						for _, x := range v {
							values = append(values, x.String())
						}
					}
					return true
				})
			}
			if n == 0 || err != nil {
				break
			}
		}
	}
	return values
}

// Identifiers of parquet.thrift.
const (
	logicalString  = 1
	logicalVariant = 16
	convertedUTF8  = 0
	convertedEnum  = 4
)

// TestParquetAnnotations checks that an output's annotations are true of the results, and that
// a column whose annotation would not be is refused with its name. Its table makes it long.
func TestParquetAnnotations(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	const annotated = "testdata/parquet/duckdb-annotated.parquet"
	data, err := os.ReadFile(annotated)
	if err != nil {
		t.Fatal(err)
	}
	// DuckDB writes its enumerations as strings; other writers annotate them as ENUM.
	data = editFooter(t, data, func(meta *thrift.Value) { meta.Items(2)[3].Put(6, thrift.I32, convertedEnum) })
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet")
	run := func(b []byte, column string) (warned string, err error) {
		if err := os.WriteFile(in, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = Run(t.Context(), Job{Inputs: []string{in}, Output: out, Force: true, Columns: []Column{{Name: column, Plan: p}}, Warn: func(w error) { warned += w.Error() }})
		return warned, err
	}
	annotation := func(path string, leaf int) (logical []int16, converted int64) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		editFooter(t, b, func(meta *thrift.Value) {
			e := &meta.Items(2)[leaf+1]
			converted = -1
			if f := e.Field(6); f != nil {
				converted = f.Num
			}
			for _, f := range e.Field(10).Fields() {
				logical = append(logical, f.ID)
			}
		})
		return logical, converted
	}
	for _, c := range []struct {
		column, was string
		leaf        int
	}{{"doc", "JSON", 1}, {"kind", "ENUM", 2}} {
		if err := os.WriteFile(in, data, 0o600); err != nil {
			t.Fatal(err)
		}
		before, beforeOld := annotation(in, c.leaf)
		if len(before) == 0 && beforeOld < 0 || slices.Equal(before, []int16{logicalString}) {
			t.Fatalf("%s: annotated %v, %d in the input: the test has nothing to check", c.column, before, beforeOld)
		}
		warned, err := run(data, c.column)
		if err != nil || !strings.Contains(warned, "was annotated as "+c.was) {
			t.Errorf("%s: %v, warned %q, want the annotation %s named", c.column, err, warned, c.was)
			continue
		}
		after, old := annotation(out, c.leaf)
		if len(after) > 0 && !slices.Equal(after, []int16{logicalString}) || beforeOld >= 0 && old != convertedUTF8 {
			t.Errorf("%s: annotated %v, %d, want no annotation but that of strings", c.column, after, old)
		}
		readColumn(t, out, c.leaf)
	}
	logical := func(id int16) func(e *thrift.Value) {
		return func(e *thrift.Value) {
			e.Remove(6)
			e.Replace(thrift.Value{ID: 10, Kind: thrift.Struct, List: []thrift.Value{{ID: id, Kind: thrift.Struct}}})
		}
	}
	converted := func(n int64) func(e *thrift.Value) {
		return func(e *thrift.Value) { e.Remove(10); e.Put(6, thrift.I32, n) }
	}
	for want, edit := range map[string]func(e *thrift.Value){
		"decimal(0, 0) in values":               logical(5),
		"annotated as BSON, which":              logical(13),
		"annotated as GEOMETRY, which":          logical(17),
		"annotated as GEOGRAPHY, which":         logical(18),
		"annotated as VARIANT, which":           logical(16),
		"annotated as logical type 99, which":   logical(99),
		"annotated as INTERVAL, which":          converted(21),
		"annotated as BSON, which its":          converted(20),
		"uint32 in values of type BYTE_ARRAY":   converted(13),
		"annotated as converted type 77, which": converted(77),
	} {
		b := editFooter(t, data, func(meta *thrift.Value) { edit(&meta.Items(2)[2]) })
		if _, err := run(b, "doc"); err == nil || !strings.Contains(err.Error(), `column "doc" is `+want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	variant := editFooter(t, data, func(meta *thrift.Value) {
		root := &meta.Items(2)[0]
		logical(logicalVariant)(root)
	})
	if _, err := run(variant, "doc"); err == nil || !strings.Contains(err.Error(), "is part of a VARIANT") {
		t.Errorf("VARIANT: %v", err)
	}
	geo := editFooter(t, data, func(meta *thrift.Value) {
		meta.Replace(thrift.Value{ID: 5, Kind: thrift.List, Elem: thrift.Struct, List: []thrift.Value{{Kind: thrift.Struct, List: []thrift.Value{
			{ID: 1, Kind: thrift.Binary, Bytes: []byte("geo")}, {ID: 2, Kind: thrift.Binary, Bytes: []byte(`{"columns":{"doc":{"bbox":[1,2,3,4]}}}`)}}}}})
	})
	if _, err := run(geo, "doc"); err == nil || !strings.Contains(err.Error(), "holds geometries (GeoParquet)") {
		t.Errorf("geo: %v", err)
	}
	if _, err := run(geo, "kind"); err != nil {
		t.Errorf("beside geo: %v", err)
	}
}

// flipping is an output that changes the byte at offset at as it is written.
type flipping struct {
	outFile
	n, at int64
}

func (f *flipping) Write(b []byte) (int, error) {
	if k := f.at - f.n; k >= 0 && k < int64(len(b)) {
		b = bytes.Clone(b)
		b[k] ^= 0x41
	}
	f.n += int64(len(b))
	return f.outFile.Write(b)
}

// TestParquetReadsBack checks that an output of which a byte of the footer or of a rewritten
// page was changed on its way to the disk does not get its name, and that nothing is left.
func TestParquetReadsBack(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet")
	for name, opts := range map[string][]arrowparquet.WriterProperty{
		"dictionary": {arrowparquet.WithPageIndexEnabled(true)},
		"plain":      {arrowparquet.WithDictionaryDefault(false), arrowparquet.WithDataPageVersion(arrowparquet.DataPageV2), arrowparquet.WithDataPageSize(200)},
	} {
		rows := cells(60, 20)
		writeArrow(t, in, rows, append(opts, arrowparquet.WithCompression(arrowcompress.Codecs.Snappy))...)
		var counts parquet.Counts
		job := Job{Inputs: []string{in}, Output: out, Columns: []Column{{Name: "id", Plan: p}}, parquetCounts: &counts}
		if _, err := Run(t.Context(), job); err != nil || counts.Verified != 1 {
			t.Fatalf("%s: %v, %d chunks read again, want 1", name, err, counts.Verified)
		}
		good, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		footer := int64(len(good)) - 8 - int64(binary.LittleEndian.Uint32(good[len(good)-8:]))
		os.Remove(out)
		start, size := chunkAt(t, good, 1)
		refused := 0
		for at := int64(0); at < int64(len(good)); at++ {
			switch {
			case at > start+40 && at < start+size-40, at > footer+10 && at < int64(len(good))-12: // the middle of a chunk or of the footer: test only some bytes
				at += 23
			case at < start-3 || at > start+size && at < footer-3:
				at += 97
			}
			job.wrapOut = func(f outFile) outFile { return &flipping{outFile: unsynced{f}, at: at} }
			_, err := Run(t.Context(), job)
			if err != nil {
				refused++
				if !strings.Contains(err.Error(), "does not read back") {
					t.Fatalf("%s, byte %d: %v", name, at, err)
				}
				if left, _ := os.ReadDir(dir); len(left) != 1 {
					t.Fatalf("%s, byte %d: left %v", name, at, left)
				}
				continue
			}
			if at >= start && at < start+size || at >= footer && at < int64(len(good)) {
				t.Fatalf("%s, byte %d changed: the run succeeded, want an error", name, at)
			}
			os.Remove(out)
		}
		if refused == 0 {
			t.Errorf("%s: no change of the %d bytes was refused", name, len(good))
		}
	}
}

// TestParquetPathsTaken checks that each path through the code gives what a transform of each
// value gives, and that the test takes each.
func TestParquetPathsTaken(t *testing.T) {
	if testing.Short() {
		t.Skip("TestParquetAgainstArrow runs the same workers under the race detector")
	}
	same := plan(t, spec.Pseudonymise, reversible)
	different := plan(t, spec.Pseudonymise, suite.Spec{Method: spec.Reversible, Policy: spec.Different, Form: spec.Hex})
	undo := plan(t, spec.Reverse, suite.Spec{Method: spec.Reversible, Policy: spec.Different, Form: spec.Hex})
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet")
	var counts parquet.Counts
	for i, opts := range [][]arrowparquet.WriterProperty{
		{arrowparquet.WithMaxRowGroupLength(40_000)},
		{arrowparquet.WithDataPageVersion(arrowparquet.DataPageV2), arrowparquet.WithDataPageSize(900)},
		{arrowparquet.WithDictionaryPageSizeLimit(2000), arrowparquet.WithDataPageSize(900)},
		{arrowparquet.WithDictionaryDefault(false), arrowparquet.WithDataPageSize(1 << 30), arrowparquet.WithBatchSize(1 << 20)},
		{arrowparquet.WithDictionaryDefault(false), arrowparquet.WithDataPageSize(900), arrowparquet.WithEncodingFor("id", arrowparquet.Encodings.DeltaByteArray)},
		{arrowparquet.WithDictionaryDefault(false), arrowparquet.WithDataPageSize(900), arrowparquet.WithEncodingFor("id", arrowparquet.Encodings.DeltaLengthByteArray)},
	} {
		rows := cells(150_000, []int{300, 300, 7000}[min(i, 2)])
		writeArrow(t, in, rows, opts...)
		for _, workers := range []int{1, 2} {
			for _, p := range []*suite.Plan{same, different} {
				_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: out, Force: true, Workers: workers, Columns: []Column{{Name: "id", Plan: p}}, parquetCounts: &counts})
				if err != nil {
					t.Fatalf("file %d: %v", i, err)
				}
				known := map[string]string{}
				for k, g := range readArrow(t, out) {
					want, got := rows[k].id, g.id
					switch {
					case rows[k].null || want == "":
					case p == same:
						if known[want] == "" {
							known[want] = transformOne(same, want)
						}
						want = known[want]
					case k%97 == 0: // reversing one by one is slow
						got = transformOne(undo, got)
					default:
						want = got
					}
					if g.null != rows[k].null || !g.null && got != want || g.n != rows[k].n || g.name != rows[k].name || !slices.Equal(g.codes, rows[k].codes) {
						t.Fatalf("file %d, %d workers: row %d is %+v, was %+v", i, workers, k, g, rows[k])
					}
				}
			}
		}
	}
	for name, c := range map[string]struct{ n, least int }{
		"chunks copied": {counts.Copied, 60}, "dictionaries replaced": {counts.Dictionaries, 8}, "dictionaries dropped": {counts.Dropped, 8},
		"pages of indexes left": {counts.IndexPages, 100}, "plain pages": {counts.PlainPages, 500}, "delta pages": {counts.Delta, 1000},
		"chunks read again": {counts.Verified, 24}, "batches": {counts.Batches, 2000},
	} {
		if c.n < c.least {
			t.Errorf("%s: %d, want at least %d: this test no longer covers that path", name, c.n, c.least)
		}
	}
	t.Logf("%+v", counts)
}

// TestParquetBadFilesAreNamed checks that the error states that a file is not Parquet, is
// encrypted, or is cut short.
func TestParquetBadFilesAreNamed(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in := filepath.Join(dir, "in.parquet")
	writeArrow(t, in, cells(20, 5))
	good, err := os.ReadFile(in)
	if err != nil {
		t.Fatal(err)
	}
	footerLen := func(n byte) []byte {
		b := bytes.Clone(good)
		copy(b[len(b)-8:], []byte{n, n, n, n / 2})
		return b
	}
	for want, files := range map[string][][]byte{
		"is no Parquet file":            {nil, []byte("PAR"), []byte("id,x\n1,2\n3,4\n5,6\n")},
		"the Parquet file is cut short": {good[:4], good[:11], good[:12], good[:len(good)/2], good[:len(good)-1], good[:len(good)-8]},
		"encrypted; decrypt it first":   {[]byte("PARE"), append([]byte("PARE"), good[4:]...), append(bytes.Clone(good[:len(good)-4]), "PARE"...)},
		"would begin before the file":   {footerLen(0xff)},
		"footer: metadata is cut short": {footerLen(0)},
	} {
		for i, b := range files {
			if err := os.WriteFile(in, b, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: filepath.Join(dir, "out"), Columns: []Column{{Name: "n", Plan: p}}})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("file %d: %v, want %s", i, err, want)
			}
			if left, _ := os.ReadDir(dir); len(left) != 1 {
				t.Errorf("%s: left %v", want, left)
			}
		}
	}
}
