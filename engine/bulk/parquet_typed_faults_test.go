package bulk

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	arrowparquet "github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// TestParquetTypedRefused checks that types that identify nobody, or whose values have several
// texts, are refused with a remedy.
func TestParquetTypedRefused(t *testing.T) {
	p, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	dir := t.TempDir()
	in := filepath.Join(dir, "in.parquet")
	i32, i64, fixed := arrowparquet.Types.Int32, arrowparquet.Types.Int64, arrowparquet.Types.FixedLenByteArray
	day := schema.DateLogicalType{}
	for _, c := range []struct {
		column typedColumn
		plan   *suite.Plan
		want   string
	}{
		{typedColumn{"", arrowparquet.Types.Boolean, -1, nil, nil}, p, "is of type BOOLEAN, which identifies nobody; leave it out"},
		{typedColumn{"", arrowparquet.Types.Float, -1, nil, nil}, p, "is of type FLOAT, whose numbers have more than one text; cast it"},
		{typedColumn{"", arrowparquet.Types.Double, -1, nil, nil}, p, "is of type DOUBLE, whose numbers have more than one text; cast it"},
		{typedColumn{"", arrowparquet.Types.Int96, -1, nil, nil}, p, "is of type INT96, which is a TIMESTAMP; cast it to a string first"},
		{typedColumn{"", i32, -1, day, nil}, p, "is annotated as DATE; cast it to a string first"},
		{typedColumn{"", i32, -1, schema.NewTimeLogicalType(true, schema.TimeUnitMillis), nil}, p, "is annotated as TIME"},
		{typedColumn{"", i64, -1, schema.NewTimestampLogicalType(true, schema.TimeUnitMicros), nil}, p, "is annotated as TIMESTAMP"},
		{typedColumn{"", i64, -1, schema.NewTimestampLogicalType(true, schema.TimeUnitNanos), nil}, p, "is annotated as TIMESTAMP; cast"},
		{typedColumn{"", i64, -1, schema.NewDecimalLogicalType(9, 2), nil}, p, "is annotated as DECIMAL(9, 2), whose numbers have a fraction; cast it"},
		{typedColumn{"", fixed, 2, schema.Float16LogicalType{}, nil}, p, "is annotated as FLOAT16, which its results"},
		{typedColumn{"", fixed, 12, schema.IntervalLogicalType{}, nil}, p, "is annotated as INTERVAL, which its results"},
		{typedColumn{"", i64, -1, nil, nil}, back, "is of type INT64, and pseudonyms are strings: a number has lost the zeros"},
	} {
		writeEmpty(t, in, c.column)
		_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: filepath.Join(dir, "out"), Columns: []Column{{Name: "id", Plan: c.plan}}})
		if err == nil || !strings.Contains(err.Error(), `column "id" `+c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%s: left %v", c.want, left)
		}
	}
}

// writeEmpty writes a file of the column without rows.
func writeEmpty(t testing.TB, path string, c typedColumn) {
	t.Helper()
	root, err := schema.NewGroupNode("schema", arrowparquet.Repetitions.Required, schema.FieldList{c.node(t)}, -1)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := file.NewParquetWriter(&out, root)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestParquetRestoreFaults checks that a reversed value that does not fit the type that its
// column gets back is reported with its row and nothing is written, and that with
// NumbersText the column remains strings.
func TestParquetRestoreFaults(t *testing.T) {
	p, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet")
	text := typedColumn{"", arrowparquet.Types.ByteArray, -1, schema.StringLogicalType{}, nil}
	for _, c := range []struct {
		typ, value, want string
	}{
		{"int8", "128", "a number outside the range of int8"},
		{"uint64", "-1", "a number outside the range of uint64"},
		{"int64", "9223372036854775808", "a number outside the range of int64"},
		{"int32", "007", "not the text of a value of type int32"},
		{"decimal(5, 0)", "100000", "a number outside the range of decimal(5, 0)"},
		{"uuid", "no uuid", "not the text of a value of type uuid"},
		{"fixed(2)", "00ff0", "not the text of a value of type fixed(2)"},
		{"int16", "", "an empty value"},
	} {
		good := map[string]string{"uuid": "00112233-4455-6677-8899-aabbccddeeff", "fixed(2)": "00ff"}[c.typ]
		if good == "" {
			good = "12"
		}
		for name, opts := range map[string][]arrowparquet.WriterProperty{"dictionary": nil, "plain": {arrowparquet.WithDictionaryDefault(false), arrowparquet.WithDataPageSize(100)}} {
			var stored [][]byte
			for i := range 300 {
				switch {
				case i == 200:
					stored = append(stored, []byte(transformOne(p, c.value)))
					if c.value == "" {
						stored[i] = []byte{}
					}
				case i%11 == 3:
					stored = append(stored, nil)
				default:
					stored = append(stored, []byte(transformOne(p, good)))
				}
			}
			writeTyped(t, in, text, stored, map[string]string{"velonym.types": fmt.Sprintf(`{"version":1,"columns":{"id":{"type":%q}}}`, c.typ)}, opts...)
			job := Job{Inputs: []string{in}, Output: out, Columns: []Column{{Name: "id", Plan: back}}}
			_, err := Run(t.Context(), job)
			if err == nil || !strings.Contains(err.Error(), `in.parquet: row 201, column "id": the column was of type `) || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("%s, %s: %v", c.typ, name, err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 1 {
				t.Errorf("%s, %s: left %v", c.typ, name, left)
			}
			job.Numbers = NumbersText
			if _, err := Run(t.Context(), job); err != nil {
				t.Fatalf("%s, %s: as text: %v", c.typ, name, err)
			}
			if got := readStored(t, out)[200]; string(got) != c.value {
				t.Errorf("%s, %s: as text: %q", c.typ, name, got)
			}
			os.Remove(out)
		}
	}
	// The record of types in the file's metadata may have been changed.
	for _, memory := range []string{"", "{}", `{"version":1,"columns":{"id":{"type":"int7"}}}`, `{"version":1,"columns":{"id":{"type":"int8","parquet":"AAAA"}}}`,
		`{"version":1,"columns":{"id":{"type":"int64","parquet":"FQIA"}}}`} {
		writeTyped(t, in, text, [][]byte{[]byte(transformOne(p, "1")), nil}, map[string]string{"velonym.types": memory})
		job := Job{Inputs: []string{in}, Output: out, Columns: []Column{{Name: "id", Plan: back}}}
		if _, err := Run(t.Context(), job); err == nil || !strings.Contains(err.Error(), "cannot be read: it was changed") {
			t.Errorf("%s: %v", memory, err)
		}
		job.Numbers = NumbersText
		if _, err := Run(t.Context(), job); err != nil {
			t.Errorf("%s: as text: %v", memory, err)
		}
		os.Remove(out)
	}
}

// TestParquetTypedHostile checks that pages and dictionaries with fewer bytes than their
// numbers need, values out of their type's range, encodings of other types and invalid
// annotations are errors that leave nothing.
func TestParquetTypedHostile(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in := filepath.Join(dir, "in.parquet")
	int64s, bytes8 := typedColumns()[4], typedColumns()[3]
	without := []arrowparquet.WriterProperty{arrowparquet.WithDictionaryDefault(false)}
	build := func(c typedColumn, opts ...arrowparquet.WriterProperty) []byte {
		stored, _ := c.values(300, 20)
		writeTyped(t, in, c, stored, nil, opts...)
		b, err := os.ReadFile(in)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	shorter := func(b []byte) []byte {
		return editPages(t, b, 0, func(_ *thrift.Value, body []byte) []byte { return body[:len(body)-9] })
	}
	element := func(b []byte, edit func(e *thrift.Value)) []byte {
		return editFooter(t, b, func(meta *thrift.Value) { edit(&meta.Items(2)[1]) })
	}
	encoded := func(b []byte, e int64) []byte {
		return editPages(t, b, 0, func(h *thrift.Value, body []byte) []byte {
			h.Field(5).Put(2, thrift.I32, e)
			return body
		})
	}
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"plain":            {shorter(build(int64s, without...)), "a page is damaged: metadata is cut short"},
		"split":            {shorter(build(int64s, append(without, arrowparquet.WithEncodingFor("id", arrowparquet.Encodings.ByteStreamSplit))...)), "a page is damaged: metadata is cut short"},
		"delta":            {shorter(build(int64s, append(without, arrowparquet.WithEncodingFor("id", arrowparquet.Encodings.DeltaBinaryPacked))...)), "a page is damaged: metadata is cut short"},
		"dictionary":       {shorter(build(int64s)), "a dictionary of 20 values in 151 bytes is damaged"},
		"delta of 32 bits": {encoded(build(int64s, without...), 6), "values in encoding DELTA_LENGTH_BYTE_ARRAY, which is not read here"},
		"outside": {element(build(bytes8, without...), func(e *thrift.Value) {
			e.Put(6, thrift.I32, 11)
			e.Remove(10)
		}), "a page is damaged: a number outside the range of uint8"},
		"outside, dictionary": {element(build(bytes8), func(e *thrift.Value) {
			e.Put(6, thrift.I32, 11)
			e.Remove(10)
		}), "a dictionary holds a number outside the range of uint8"},
		"width": {element(build(typedColumns()[13]), func(e *thrift.Value) { e.Put(2, thrift.I32, 0) }), "in values of type FIXED_LEN_BYTE_ARRAY: the footer is damaged"},
		"other type": {element(build(int64s), func(e *thrift.Value) { e.Put(1, thrift.I32, 1) }),
			`column "id" is of type INT64, and not as the schema says: it is damaged`},
		"integer of 3 bytes": {element(build(bytes8), func(e *thrift.Value) {
			e.Remove(6)
			e.Field(10).List[0].Put(1, thrift.Byte, 24)
		}), "the footer is damaged"},
	} {
		if err := os.WriteFile(in, c.b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: filepath.Join(dir, "out"), Columns: []Column{{Name: "id", Plan: p}}, wrapOut: withoutSync})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

// TestParquetRestoreUnused checks that a dictionary entry that no row refers to does not keep
// a column from getting its type back.
func TestParquetRestoreUnused(t *testing.T) {
	p, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet")
	text := typedColumn{"", arrowparquet.Types.ByteArray, -1, schema.StringLogicalType{}, nil}
	for typ, want := range map[string][]byte{"int64": stored64(12), "decimal(30, 0)": append(make([]byte, 12), 12), "uuid": nil} {
		value := []byte(transformOne(p, "12"))
		if want == nil {
			value, want = []byte(transformOne(p, "00000000-0000-0000-0000-00000000000c")), append(make([]byte, 15), 12)
		}
		var stored [][]byte
		for i := range 16 { // two row groups of both values in turn
			stored = append(stored, [][]byte{value, []byte("unused")}[i%2])
		}
		writeTyped(t, in, text, stored, map[string]string{"velonym.types": fmt.Sprintf(`{"version":1,"columns":{"id":{"type":%q}}}`, typ)})
		raw, err := os.ReadFile(in)
		if err != nil {
			t.Fatal(err)
		}
		// In both row groups all indexes become those of the first entry.
		indexes := []byte{0xaa}
		if n := bytes.Count(raw, append([]byte{1, 3}, indexes...)); n != 2 {
			t.Fatalf("%s: %d pages of indexes found", typ, n)
		}
		raw = bytes.ReplaceAll(raw, append([]byte{1, 3}, indexes...), []byte{1, 3, 0})
		if err := os.WriteFile(in, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), Job{Inputs: []string{in}, Output: out, Force: true, Columns: []Column{{Name: "id", Plan: back}}}); err != nil {
			t.Errorf("%s: %v", typ, err)
			continue
		}
		for i, got := range readStored(t, out) {
			if !bytes.Equal(got, want) {
				t.Errorf("%s: row %d is %x, want %x", typ, i, got, want)
			}
		}
	}
}
