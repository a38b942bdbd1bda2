package bulk

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	arrowparquet "github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
	"github.com/velonym/velonym/engine/spec"
)

// keptSchema is the schema of a file that Arrow wrote and whose metadata holds the schemas
// of pandas and Spark too.
func keptSchema() *arrow.Schema {
	return arrow.NewSchema([]arrow.Field{
		{Name: "seen", Type: arrow.FixedWidthTypes.Timestamp_ms},
		{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true, Metadata: arrow.NewMetadata([]string{"PARQUET:field_id"}, []string{"7"})},
		{Name: "person", Type: arrow.StructOf(arrow.Field{Name: "number", Type: arrow.PrimitiveTypes.Uint32, Nullable: true}, arrow.Field{Name: "name", Type: arrow.BinaryTypes.LargeString})},
		{Name: "relatives", Type: arrow.ListOf(arrow.PrimitiveTypes.Int32), Nullable: true},
		{Name: "device", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: &arrow.FixedSizeBinaryType{ByteWidth: 4}}},
	}, nil)
}

const pandasMeta = `{"index_columns":[{"kind":"range","start":0,"stop":3,"step":1}],"columns":[` +
	`{"name":"seen","field_name":"seen","pandas_type":"datetimetz","numpy_type":"datetime64[ms]","metadata":{"timezone":"UTC"}},` +
	`{"name":"id","field_name":"id","pandas_type":"int64","numpy_type":"Int64","metadata":null}],"pandas_version":"3.1.1"}`

const sparkMeta = `{"type":"struct","fields":[{"name":"seen","type":"timestamp","nullable":true,"metadata":{}},{"name":"id","type":"long","nullable":true,"metadata":{}},` +
	`{"name":"person","type":{"type":"struct","fields":[{"name":"number","type":"long","nullable":true,"metadata":{}},{"name":"name","type":"string","nullable":true,"metadata":{}}]},"nullable":true,"metadata":{}},` +
	`{"name":"relatives","type":{"type":"array","elementType":"integer","containsNull":true},"nullable":true,"metadata":{}},{"name":"device","type":"binary","nullable":true,"metadata":{}}]}`

// writeKept writes a file of keptSchema.
func writeKept(t testing.TB, path string) {
	t.Helper()
	sc := keptSchema()
	rec, _, err := array.RecordFromJSON(memory.NewGoAllocator(), sc, strings.NewReader(
		`[{"seen":1,"id":10000000001,"person":{"number":4000000001,"name":"a"},"relatives":[101,null,-102],"device":"AAECAw=="},
		{"seen":2,"id":null,"person":{"number":null,"name":"b"},"relatives":null,"device":"AAECAw=="},
		{"seen":3,"id":-5,"person":{"number":7,"name":"c"},"relatives":[],"device":"BAUGBw=="}]`))
	if err != nil {
		t.Fatal(err)
	}
	writeRecord(t, path, sc, rec)
}

func writeRecord(t testing.TB, path string, sc *arrow.Schema, rec arrow.RecordBatch) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := pqarrow.NewFileWriter(sc, f, arrowparquet.NewWriterProperties(), pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"pandas": pandasMeta, "org.apache.spark.sql.parquet.row.metadata": sparkMeta, "parquet.avro.schema": "{}"} {
		if err := w.AppendKeyValueMetadata(k, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Write(rec); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// readKept reads a file with arrow-go, which follows the Arrow schema in the metadata. It
// returns the rows as text, their types, and the metadata of other systems.
func readKept(t testing.TB, path string) (rows []string, types string, keys map[string]string) {
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
	for i := range int(table.NumRows()) {
		row := ""
		for c := range int(table.NumCols()) {
			row += " | " + table.Column(c).Data().Chunk(0).ValueStr(i)
		}
		rows = append(rows, row)
	}
	for _, f := range table.Schema().Fields() {
		types += " | " + f.Type.String()
	}
	keys = map[string]string{}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	editFooter(t, raw, func(meta *thrift.Value) {
		for i := range meta.Items(5) {
			kv := &meta.Items(5)[i]
			keys[kv.Text(1)] = kv.Text(2)
		}
	})
	return rows, types, keys
}

// equalJSON reports whether two texts are the same JSON.
func equalJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// TestParquetKeptSchemas checks that the schemas of Arrow, pandas and Spark in a file's
// metadata state the new type of a replaced column, at any depth, and the former one once it
// is reversed, and that other columns keep theirs.
func TestParquetKeptSchemas(t *testing.T) {
	p, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	dir := t.TempDir()
	in, out, again := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet"), filepath.Join(dir, "again.parquet")
	writeKept(t, in)
	was, types, keys := readKept(t, in)
	columns := []Column{{Name: "id", Plan: p}, {Name: "person.number", Plan: p}, {Name: "relatives", Plan: p}, {Name: "device", Plan: p}}
	var warned string
	_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: out, Columns: columns, Warn: func(w error) { warned += w.Error() }})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(warned, "parquet.avro.schema") || strings.Contains(warned, "ARROW") || strings.Contains(warned, "pandas") || strings.Contains(warned, "spark") {
		t.Errorf("warned %q, want the removed schema of Avro only", warned)
	}
	rows, now, kept := readKept(t, out)
	for i, want := range []string{
		fmt.Sprintf("Z | %s |", transformOne(p, "10000000001")), "(null)", transformOne(p, "-5"),
	} {
		if !strings.Contains(rows[i], want) {
			t.Errorf("row %d is %s, want %s", i, rows[i], want)
		}
	}
	for _, want := range []string{transformOne(p, "4000000001"), transformOne(p, "101"), transformOne(p, "-102"), transformOne(p, "00010203")} {
		if !strings.Contains(rows[0], want) {
			t.Errorf("%s is not in row %s", want, rows[0])
		}
	}
	for _, want := range []string{" | timestamp[ms, tz=UTC] | utf8 | struct<number: utf8", "name: large_utf8", "list<element: utf8", "dictionary<values=utf8"} {
		if !strings.Contains(now, want) {
			t.Errorf("types %s, want %s", now, want)
		}
	}
	if kept["parquet.avro.schema"] != "" || strings.Contains(kept["pandas"], "Int64") || !strings.Contains(kept["pandas"], "datetime64") || strings.Contains(kept["org.apache.spark.sql.parquet.row.metadata"], "integer") {
		t.Errorf("metadata %v, want no schema of Avro and string types in the others", kept)
	}
	for i := range columns {
		columns[i].Plan = back
	}
	if _, err := Run(t.Context(), Job{Inputs: []string{out}, Output: again, Columns: columns}); err != nil {
		t.Fatal(err)
	}
	rows, now, kept = readKept(t, again)
	if !reflect.DeepEqual(rows, was) || now != types {
		t.Errorf("reversed: %q\nwas %q\ntypes %s\nwas %s", rows, was, now, types)
	}
	for _, k := range []string{"pandas", "org.apache.spark.sql.parquet.row.metadata"} {
		if !equalJSON(kept[k], keys[k]) {
			t.Errorf("%s is %s, was %s", k, kept[k], keys[k])
		}
	}
	if len(kept) != len(keys)-1 {
		t.Errorf("metadata %v, was %v", kept, keys)
	}
}

// TestParquetDuration checks that a duration is refused. It is stored as an integer that only
// Arrow's schema distinguishes from others, and identifies nobody.
func TestParquetDuration(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in := filepath.Join(dir, "in.parquet")
	var message bytes.Buffer
	w := ipc.NewWriter(&message, ipc.WithSchema(arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.FixedWidthTypes.Duration_ms}, {Name: "other", Type: arrow.BinaryTypes.String}}, nil)))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c := typedColumns()[4]
	stored, _ := c.values(50, 10)
	writeTyped(t, in, c, stored, map[string]string{"ARROW:schema": base64.StdEncoding.EncodeToString(message.Bytes())})
	_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: filepath.Join(dir, "out"), Columns: []Column{{Name: "id", Plan: p}}})
	if err == nil || !strings.Contains(err.Error(), `column "id" is duration to Arrow`) {
		t.Errorf("a duration: %v", err)
	}
}

// TestParquetKeptSchemasDamaged checks that another system's schema that cannot be read is
// left out of the output, with a warning.
func TestParquetKeptSchemasDamaged(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet")
	c := typedColumns()[4]
	stored, _ := c.values(50, 10)
	for key, values := range map[string][]string{
		"ARROW:schema": {"", "?", "AAAA", "/////3gAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAEAAAAUAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEC"},
		"pandas":       {"", "{}", `{"columns":7}`, `{"columns":[7]}`},
		"org.apache.spark.sql.parquet.row.metadata": {"", "{}", `"long"`, `{"type":"struct","fields":[{"name":"id","type":{"type":"udt"}}]}`, `{"type":"struct","fields":7}`},
	} {
		for _, v := range values {
			writeTyped(t, in, c, stored, map[string]string{key: v})
			var warned string
			_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: out, Force: true, Columns: []Column{{Name: "id", Plan: p}}, Warn: func(w error) { warned += w.Error() }})
			if err != nil || !strings.Contains(warned, key) {
				t.Errorf("%s %q: %v, warned %q, want the key named", key, v, err, warned)
			}
			if _, keys := elementOf(t, out); len(keys) != 1 || keys[0] != "velonym.types" {
				t.Errorf("%s %q: keys %v, want velonym.types only", key, v, keys)
			}
		}
	}
}
