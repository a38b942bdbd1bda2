package bulk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	arrowparquet "github.com/apache/arrow-go/v18/parquet"
	arrowcompress "github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"
	parquetgo "github.com/parquet-go/parquet-go"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
	"github.com/velonym/velonym/engine/bulk/parquet"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// typedColumn is a column of a type other than string. Its values are given as PLAIN stores
// them and as text.
type typedColumn struct {
	name    string
	kind    arrowparquet.Type
	width   int // of FIXED_LEN_BYTE_ARRAY; else -1
	logical schema.LogicalType
	value   func(r *rand.Rand) (stored []byte, text string)
}

// stored32 and stored64 return the PLAIN encoding of an INT32 and an INT64.
func stored32(v int32) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }
func stored64(v int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(v)) }

// typedColumns returns a column of every type that identifiers have in Parquet.
func typedColumns() []typedColumn {
	signed := func(least, most int64, stored func(int64) []byte) func(r *rand.Rand) ([]byte, string) {
		return func(r *rand.Rand) ([]byte, string) {
			v := least + int64(r.Uint64N(uint64(most-least)))
			switch r.IntN(20) {
			case 0:
				v = least
			case 1:
				v = most
			case 2:
				v = 0
			}
			return stored(v), fmt.Sprint(v)
		}
	}
	as32 := func(v int64) []byte { return stored32(int32(v)) }
	unsigned64 := func(r *rand.Rand) ([]byte, string) {
		v := r.Uint64() >> r.IntN(64)
		return stored64(int64(v)), fmt.Sprint(v)
	}
	// bigEndian returns numbers of width bytes, most significant first; width 0 means as few
	// bytes as hold the number.
	bigEndian := func(width int) func(r *rand.Rand) ([]byte, string) {
		return func(r *rand.Rand) ([]byte, string) {
			v := r.Int64N(1e15) - 5e14
			b := binary.BigEndian.AppendUint64(bytes.Repeat([]byte{byte(v >> 63)}, 16), uint64(v))
			if width > 0 {
				return b[len(b)-width:], fmt.Sprint(v)
			}
			for len(b) > 1 && (b[0] == 0 && b[1] < 0x80 || b[0] == 0xff && b[1] >= 0x80) {
				b = b[1:]
			}
			return b, fmt.Sprint(v)
		}
	}
	random := func(n int) []byte {
		return make([]byte, n)
	}
	fill := func(r *rand.Rand, b []byte) []byte {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	i32, i64, fixed := arrowparquet.Types.Int32, arrowparquet.Types.Int64, arrowparquet.Types.FixedLenByteArray
	return []typedColumn{
		{"INT32", i32, -1, nil, signed(-1<<31, 1<<31-1, as32)},
		{"INT8", i32, -1, schema.NewIntLogicalType(8, true), signed(-128, 127, as32)},
		{"UINT16", i32, -1, schema.NewIntLogicalType(16, false), signed(0, 65535, as32)},
		{"UINT32", i32, -1, schema.NewIntLogicalType(32, false), signed(0, 1<<32-1, as32)},
		{"INT64", i64, -1, nil, signed(-1<<62, 1<<62-1, stored64)},
		{"INT64 annotated", i64, -1, schema.NewIntLogicalType(64, true), signed(1e12, 1e13, stored64)},
		{"UINT64", i64, -1, schema.NewIntLogicalType(64, false), unsigned64},
		{"DECIMAL(9, 0)", i32, -1, schema.NewDecimalLogicalType(9, 0), signed(-999999999, 999999999, as32)},
		{"DECIMAL(18, 0)", i64, -1, schema.NewDecimalLogicalType(18, 0), signed(-999999999999999999, 999999999999999999, stored64)},
		{"DECIMAL(20, 0)", fixed, 9, schema.NewDecimalLogicalType(20, 0), bigEndian(9)},
		{"DECIMAL(38, 0)", fixed, 16, schema.NewDecimalLogicalType(38, 0), bigEndian(16)},
		{"DECIMAL(30, 0) of own length", arrowparquet.Types.ByteArray, -1, schema.NewDecimalLogicalType(30, 0), bigEndian(0)},
		{"UUID", fixed, 16, schema.UUIDLogicalType{}, func(r *rand.Rand) ([]byte, string) {
			b := fill(r, random(16))
			return b, fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
		}},
		{"FIXED_LEN_BYTE_ARRAY(7)", fixed, 7, nil, func(r *rand.Rand) ([]byte, string) {
			b := fill(r, random(7))
			return b, fmt.Sprintf("%x", b)
		}},
	}
}

// node returns the column's node of a schema.
func (c typedColumn) node(t testing.TB) schema.Node {
	t.Helper()
	var n schema.Node
	var err error
	if c.logical == nil {
		n, err = schema.NewPrimitiveNode("id", arrowparquet.Repetitions.Optional, c.kind, 42, int32(c.width))
	} else {
		n, err = schema.NewPrimitiveNodeLogical("id", arrowparquet.Repetitions.Optional, c.logical, c.kind, c.width, 42)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// values returns rows of the column; nil is null.
func (c typedColumn) values(rows, distinct int) (stored [][]byte, texts []string) {
	r := rand.New(rand.NewPCG(5, 5))
	var pool [][]byte
	var names []string
	for range distinct {
		b, s := c.value(r)
		pool, names = append(pool, b), append(names, s)
	}
	for i := range rows {
		k := i * 7919 % distinct
		if i%11 == 3 {
			stored, texts = append(stored, nil), append(texts, "")
			continue
		}
		stored, texts = append(stored, pool[k]), append(texts, names[k])
	}
	return stored, texts
}

// writeTyped writes a file of the column and a column of strings with arrow-go. It is long
// because arrow-go has a writer for each physical type.
func writeTyped(t testing.TB, path string, c typedColumn, stored [][]byte, kv map[string]string, opts ...arrowparquet.WriterProperty) {
	t.Helper()
	other, err := schema.NewPrimitiveNodeLogical("other", arrowparquet.Repetitions.Required, schema.StringLogicalType{}, arrowparquet.Types.ByteArray, -1, 43)
	if err != nil {
		t.Fatal(err)
	}
	root, err := schema.NewGroupNode("schema", arrowparquet.Repetitions.Required, schema.FieldList{c.node(t), other}, -1)
	if err != nil {
		t.Fatal(err)
	}
	var meta metadata.KeyValueMetadata
	for k, v := range kv {
		if err := meta.Append(k, v); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	w := file.NewParquetWriter(&out, root, file.WithWriterProps(arrowparquet.NewWriterProperties(opts...)), file.WithWriteMetadata(meta))
	half := len(stored) / 2
	for _, part := range [][][]byte{stored[:half], stored[half:]} {
		rg, err := w.AppendRowGroupChecked()
		if err != nil {
			t.Fatal(err)
		}
		cw, err := rg.NextColumn()
		if err != nil {
			t.Fatal(err)
		}
		var def []int16
		var present [][]byte
		var others []arrowparquet.ByteArray
		for i, b := range part {
			others = append(others, arrowparquet.ByteArray(fmt.Sprintf("other %d", i%7)))
			if b == nil {
				def = append(def, 0)
				continue
			}
			def, present = append(def, 1), append(present, b)
		}
		switch cw := cw.(type) {
		case *file.Int32ColumnChunkWriter:
			var v []int32
			for _, b := range present {
				v = append(v, int32(binary.LittleEndian.Uint32(b)))
			}
			_, err = cw.WriteBatch(v, def, nil)
		case *file.Int64ColumnChunkWriter:
			var v []int64
			for _, b := range present {
				v = append(v, int64(binary.LittleEndian.Uint64(b)))
			}
			_, err = cw.WriteBatch(v, def, nil)
		case *file.FixedLenByteArrayColumnChunkWriter:
			var v []arrowparquet.FixedLenByteArray
			for _, b := range present {
				v = append(v, b)
			}
			_, err = cw.WriteBatch(v, def, nil)
		case *file.ByteArrayColumnChunkWriter:
			var v []arrowparquet.ByteArray
			for _, b := range present {
				v = append(v, b)
			}
			_, err = cw.WriteBatch(v, def, nil)
		default:
			t.Fatalf("a writer %T", cw)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := cw.Close(); err != nil {
			t.Fatal(err)
		}
		if cw, err = rg.NextColumn(); err != nil {
			t.Fatal(err)
		}
		if _, err := cw.(*file.ByteArrayColumnChunkWriter).WriteBatch(others, nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := cw.Close(); err != nil {
			t.Fatal(err)
		}
		if err := rg.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// readStored reads the first column of a file, as PLAIN stores it, with both readers, which
// must agree; nil stands for a null. It is long because arrow-go has a reader for each physical
// type.
func readStored(t testing.TB, path string) (rows [][]byte) {
	t.Helper()
	r, err := file.OpenParquetFile(path, false)
	if err != nil {
		t.Fatalf("arrow-go: %v", err)
	}
	defer r.Close()
	for g := range r.NumRowGroups() {
		rg := r.RowGroup(g)
		n := int(rg.NumRows())
		cr, err := rg.Column(0)
		if err != nil {
			t.Fatalf("arrow-go: %v", err)
		}
		def := make([]int16, n)
		var present [][]byte
		for cr.HasNext() {
			at := def
			var total int64
			read := 0
			begin := len(present)
			switch cr := cr.(type) {
			case *file.Int32ColumnChunkReader:
				v := make([]int32, n)
				total, read, err = cr.ReadBatch(int64(n), v, at, nil)
				for _, x := range v[:read] {
					present = append(present, stored32(x))
				}
			case *file.Int64ColumnChunkReader:
				v := make([]int64, n)
				total, read, err = cr.ReadBatch(int64(n), v, at, nil)
				for _, x := range v[:read] {
					present = append(present, stored64(x))
				}
			case *file.FixedLenByteArrayColumnChunkReader:
				v := make([]arrowparquet.FixedLenByteArray, n)
				total, read, err = cr.ReadBatch(int64(n), v, at, nil)
				for _, x := range v[:read] {
					present = append(present, bytes.Clone(x))
				}
			case *file.ByteArrayColumnChunkReader:
				v := make([]arrowparquet.ByteArray, n)
				total, read, err = cr.ReadBatch(int64(n), v, at, nil)
				for _, x := range v[:read] {
					present = append(present, append([]byte{}, x...))
				}
			default:
				t.Fatalf("a reader %T", cr)
			}
			if err != nil {
				t.Fatalf("arrow-go: %v", err)
			}
			values := present[begin:]
			for _, d := range at[:total] {
				if d == 0 {
					rows = append(rows, nil)
					continue
				}
				rows, values = append(rows, values[0]), values[1:]
			}
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquetgo.OpenFile(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatalf("parquet-go: %v", err)
	}
	at := 0
	for _, rg := range f.RowGroups() {
		pages := rg.ColumnChunks()[0].Pages()
		defer pages.Close()
		for {
			page, err := pages.ReadPage()
			if err != nil {
				break
			}
			v := make([]parquetgo.Value, page.NumValues())
			n, _ := page.Values().ReadValues(v)
			for _, x := range v[:n] {
				var b []byte
				switch {
				case x.IsNull():
				case x.Kind() == parquetgo.Int32:
					b = stored32(x.Int32())
				case x.Kind() == parquetgo.Int64:
					b = stored64(x.Int64())
				default:
					b = append([]byte{}, x.ByteArray()...)
				}
				if at >= len(rows) || !bytes.Equal(b, rows[at]) || (b == nil) != (rows[at] == nil) {
					t.Fatalf("row %d: parquet-go reads %x, of %d rows", at, b, len(rows))
				}
				at++
			}
		}
	}
	if at != len(rows) {
		t.Fatalf("parquet-go reads %d rows, arrow-go %d", at, len(rows))
	}
	return rows
}

// elementOf returns the encoding of the first column's element in the schema.
func elementOf(t testing.TB, path string) (e []byte, keys []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	editFooter(t, b, func(meta *thrift.Value) {
		e = meta.Items(2)[1].Append(nil)
		for i := range meta.Items(5) {
			keys = append(keys, meta.Items(5)[i].Text(1))
		}
	})
	return e, keys
}

// TestParquetTyped checks that a column of each type, in each encoding, becomes a column of
// strings that are the pseudonyms of its values' texts, and that reversing restores it byte
// for byte.
func TestParquetTyped(t *testing.T) {
	simdtest.Alone(t)
	same, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	differentSpec := suite.Spec{Method: spec.Reversible, Policy: spec.Different, Form: spec.Hex}
	different, undo := plan(t, spec.Pseudonymise, differentSpec), plan(t, spec.Reverse, differentSpec)
	dir := t.TempDir()
	in, out, again := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet"), filepath.Join(dir, "again.parquet")
	const rows = 300
	var counts parquet.Counts
	encoding := func(e arrowparquet.Encoding) []arrowparquet.WriterProperty {
		return []arrowparquet.WriterProperty{arrowparquet.WithDictionaryDefault(false), arrowparquet.WithEncodingFor("id", e), arrowparquet.WithDataPageSize(500)}
	}
	for _, c := range typedColumns() {
		encodings := map[string][]arrowparquet.WriterProperty{
			"dictionary":              {arrowparquet.WithPageIndexEnabled(true), arrowparquet.WithBloomFilterEnabledFor("id", true)},
			"dictionary falling back": {arrowparquet.WithDictionaryPageSizeLimit(40), arrowparquet.WithDataPageSize(100), arrowparquet.WithBatchSize(30)},
			"plain":                   append(encoding(arrowparquet.Encodings.Plain), arrowparquet.WithCompression(arrowcompress.Codecs.Snappy), arrowparquet.WithDataPageVersion(arrowparquet.DataPageV2)),
		}
		switch c.kind {
		case arrowparquet.Types.Int32, arrowparquet.Types.Int64:
			encodings["delta"] = encoding(arrowparquet.Encodings.DeltaBinaryPacked)
			encodings["split"] = append(encoding(arrowparquet.Encodings.ByteStreamSplit), arrowparquet.WithCompression(arrowcompress.Codecs.Zstd))
		case arrowparquet.Types.FixedLenByteArray:
			encodings["split"] = encoding(arrowparquet.Encodings.ByteStreamSplit)
		default:
			encodings["delta length"] = encoding(arrowparquet.Encodings.DeltaLengthByteArray)
			encodings["delta byte array"] = encoding(arrowparquet.Encodings.DeltaByteArray)
		}
		for written, opts := range encodings {
			for _, distinct := range []int{23, 280} {
				name := fmt.Sprintf("%s, %s, %d different", c.name, written, distinct)
				stored, texts := c.values(rows, distinct)
				writeTyped(t, in, c, stored, map[string]string{"kept": "as it was"}, opts...)
				element, _ := elementOf(t, in)
				for _, p := range []struct{ forward, back *suite.Plan }{{same, back}, {different, undo}} {
					job := Job{Inputs: []string{in}, Output: out, Force: true, Columns: []Column{{Name: "id", Plan: p.forward}}, parquetCounts: &counts, wrapOut: withoutSync}
					sum, err := Run(t.Context(), job)
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					nulls := int64(len(texts)) / 11
					if sum.Rows != rows || sum.Values+sum.Empty != rows || sum.Empty < nulls || !strings.Contains(sum.Columns[0].Type, "was of type "+strings.Split(c.name, " of")[0][:4]) {
						t.Fatalf("%s: %+v", name, sum)
					}
					for i, got := range readStored(t, out) {
						switch {
						case (got == nil) != (stored[i] == nil):
							t.Fatalf("%s: row %d: null became a value, or a value null", name, i)
						case got == nil:
						case p.forward == same && string(got) != transformOne(same, texts[i]), p.forward == different && transformOne(undo, string(got)) != texts[i]:
							t.Fatalf("%s: row %d is %s, of %s", name, i, got, texts[i])
						}
					}
					checkNothingKept(t, name, out, stored)
					job.Inputs, job.Output, job.Columns[0].Plan = []string{out}, again, p.back
					if sum, err = Run(t.Context(), job); err != nil {
						t.Fatalf("%s: reverse: %v", name, err)
					}
					if !strings.Contains(sum.Columns[0].Type, "again") {
						t.Errorf("%s: reverse: %q", name, sum.Columns[0].Type)
					}
					for i, got := range readStored(t, again) {
						if !bytes.Equal(got, stored[i]) || (got == nil) != (stored[i] == nil) {
							t.Fatalf("%s: reverse: row %d is %x, was %x", name, i, got, stored[i])
						}
					}
					if e, keys := elementOf(t, again); !bytes.Equal(e, element) || !slices.Equal(keys, []string{"kept"}) {
						t.Fatalf("%s: reverse: element %x, was %x; metadata %v", name, e, element, keys)
					}
				}
			}
		}
	}
	for what, n := range map[string]int{"dictionaries": counts.Dictionaries, "dropped": counts.Dropped, "delta": counts.Delta, "split": counts.Split, "plain": counts.PlainPages,
		"typed": counts.Typed, "restored": counts.Restored, "pages of indexes": counts.IndexPages, "not unpacked again": counts.Unread} {
		if n < 50 {
			t.Errorf("%s: %d, want at least 50: this test does not cover that path", what, n)
		}
	}
}

// checkNothingKept checks that a file holds neither statistics nor stored values of its first
// column.
func checkNothingKept(t testing.TB, name, path string, stored [][]byte) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquetgo.OpenFile(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	for _, rg := range f.Metadata().RowGroups {
		c := rg.Columns[0]
		s := c.MetaData.Statistics
		if s.MinValue != nil || s.MaxValue != nil || s.Min != nil || s.Max != nil || s.DistinctCount != 0 || c.MetaData.BloomFilterOffset != 0 || c.ColumnIndexOffset != 0 {
			t.Fatalf("%s: statistics are left: %+v", name, s)
		}
	}
	for i, b := range stored {
		if len(b) >= 7 && bytes.Contains(raw, b) && len(bytes.Trim(b, "\x00\xff")) > 5 {
			t.Fatalf("%s: the value of row %d is in the output", name, i)
		}
	}
}

// TestParquetTypedLayers checks that a column that was pseudonymised twice remains strings
// until both runs are reversed, and that a translation to another domain keeps the record of
// the type.
func TestParquetTypedLayers(t *testing.T) {
	outer := suite.Spec{Method: spec.Reversible, Policy: spec.Same, Form: spec.Hex}
	dir := t.TempDir()
	in := filepath.Join(dir, "in.parquet")
	c := typedColumns()[4]
	stored, _ := c.values(100, 30)
	writeTyped(t, in, c, stored, nil)
	element, _ := elementOf(t, in)
	at := in
	for i, p := range []*suite.Plan{plan(t, spec.Pseudonymise, reversible), plan(t, spec.Pseudonymise, outer), plan(t, spec.Reverse, outer), plan(t, spec.Reverse, reversible)} {
		next := filepath.Join(dir, fmt.Sprint(i))
		if _, err := Run(t.Context(), Job{Inputs: []string{at}, Output: next, Columns: []Column{{Name: "id", Plan: p}}, Again: true}); err != nil {
			t.Fatalf("run %d: %v", i, err)
		}
		e, keys := elementOf(t, next)
		if typed := bytes.Equal(e, element); typed != (i == 3) || (len(keys) == 0) != typed {
			t.Errorf("run %d: typed %v, metadata %v", i, typed, keys)
		}
		at = next
	}
	for i, got := range readStored(t, at) {
		if !bytes.Equal(got, stored[i]) {
			t.Fatalf("row %d is %x, was %x", i, got, stored[i])
		}
	}
}

// TestParquetTypedResume interrupts a run over typed columns after each column chunk. The
// resumed run gives the same bytes.
func TestParquetTypedResume(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	back := plan(t, spec.Reverse, reversible)
	dir := t.TempDir()
	in, whole, out := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "whole.parquet"), filepath.Join(dir, "out.parquet")
	c := typedColumns()[4]
	stored, _ := c.values(1000, 30)
	writeTyped(t, in, c, stored, nil)
	for _, p := range []*suite.Plan{p, back} {
		if _, err := Run(t.Context(), Job{Inputs: []string{in}, Output: whole, Force: true, Columns: []Column{{Name: "id", Plan: p}}}); err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(whole)
		if err != nil {
			t.Fatal(err)
		}
		resumed := 0
		for i := range 6 {
			rng := rand.New(rand.NewPCG(uint64(i), 6))
			os.Remove(out)
			_, _, n := resumeUntilDone(t, Job{Inputs: []string{in}, Output: out, Resume: true, checkpointEvery: time.Nanosecond, Fingerprint: "jti", Columns: []Column{{Name: "id", Plan: p}}},
				i, rng, 3, 5, regexp.MustCompile(`never`))
			resumed += n
			got, err := os.ReadFile(out)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("round %d: %d bytes, want %d, %v", i, len(got), len(want), err)
			}
		}
		if resumed == 0 {
			t.Error("no run was resumed")
		}
		in = whole + ".in"
		if err := os.WriteFile(in, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
