package bulk

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// typedArrow is a type of identifiers in Arrow, with values as the JSON of arrow-go has
// them and as text.
type typedArrow struct {
	typ   arrow.DataType
	json  []string
	texts []string
}

// typedArrows are all types of identifiers but text.
func typedArrows() []typedArrow {
	numbers := func(t arrow.DataType, texts ...string) typedArrow { return typedArrow{t, texts, texts} }
	decimals := func(t arrow.DataType, texts ...string) typedArrow {
		c := typedArrow{t, nil, texts}
		for _, s := range texts {
			c.json = append(c.json, fmt.Sprintf("%q", s))
		}
		return c
	}
	bytes := func(width int, fill ...byte) (c typedArrow) {
		c.typ = &arrow.FixedSizeBinaryType{ByteWidth: width}
		for _, b := range fill {
			value := make([]byte, width)
			for i := range value {
				value[i] = b + byte(i)
			}
			c.json = append(c.json, fmt.Sprintf("%q", base64.StdEncoding.EncodeToString(value)))
			c.texts = append(c.texts, fmt.Sprintf("%x", value))
		}
		return c
	}
	uuids := decimals(extensions.NewUUIDType(), "0f8fad5b-d9cb-469f-a165-70867728950e", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-4fff-bfff-fffffffffffe")
	p := arrow.PrimitiveTypes
	return []typedArrow{
		numbers(p.Int8, "-128", "0", "127"), numbers(p.Int16, "-32768", "5", "32767"),
		numbers(p.Int32, "-2147483648", "7", "2147483647"), numbers(p.Int64, "-9223372036854775808", "1973080520045", "9223372036854775807"),
		numbers(p.Uint8, "0", "9", "255"), numbers(p.Uint16, "0", "256", "65535"),
		numbers(p.Uint32, "0", "4294967295", "12345678"), numbers(p.Uint64, "0", "18446744073709551615", "1973080520045"),
		decimals(&arrow.Decimal32Type{Precision: 9}, "-999999999", "0", "123456789"),
		decimals(&arrow.Decimal64Type{Precision: 18}, "-999999999999999999", "1", "123456789012345678"),
		decimals(&arrow.Decimal128Type{Precision: 38}, "-99999999999999999999999999999999999999", "0", "12345678901234567890"),
		decimals(&arrow.Decimal256Type{Precision: 76}, "-"+strings.Repeat("9", 76), "-1", strings.Repeat("8", 70)),
		uuids, bytes(7, 0, 1, 250), bytes(16, 3, 9, 200), bytes(1, 0, 255, 7),
	}
}

// column returns n values, some of them null.
func (c typedArrow) column(t testing.TB, n int, nulls bool) (arrow.Array, []string) {
	t.Helper()
	var all, texts []string
	for i := range n {
		k := i * 7919 % len(c.json)
		if nulls && i%11 == 3 {
			all, texts = append(all, "null"), append(texts, nullText)
			continue
		}
		all, texts = append(all, c.json[k]), append(texts, c.texts[k])
	}
	a, _, err := array.FromJSON(memory.DefaultAllocator, c.typ, strings.NewReader("["+strings.Join(all, ",")+"]"))
	if err != nil {
		t.Fatal(err)
	}
	return a, texts
}

// batchOf returns a record batch of columns between others.
func batchOf(names []string, columns ...arrow.Array) arrow.RecordBatch {
	n := columns[0].Len()
	rows := array.NewInt64Builder(memory.DefaultAllocator)
	for i := range n {
		rows.Append(int64(i))
	}
	note := arrow.NewMetadata([]string{"owner"}, []string{"register"})
	fields := []arrow.Field{{Name: "row", Type: arrow.PrimitiveTypes.Int64}}
	all := []arrow.Array{rows.NewArray()}
	for i, c := range columns {
		fields, all = append(fields, arrow.Field{Name: names[i], Type: c.DataType(), Nullable: true, Metadata: note}), append(all, c)
	}
	schema := arrow.NewSchema(fields, &note)
	return array.NewRecordBatch(schema, all, int64(n))
}

// TestArrowTyped: a column of each type becomes the pseudonyms of its values' texts, and a
// reverse run gives the input back, the schema with it.
func TestArrowTyped(t *testing.T) {
	forward, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	for _, c := range typedArrows() {
		for _, nulls := range []bool{false, true} {
			for _, asFile := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s nulls %v file %v", c.typ, nulls, asFile), func(t *testing.T) {
					a, want := c.column(t, 100, nulls)
					in := batchOf([]string{"id", "other"}, a, a)
					var opts []ipc.Option
					if nulls {
						opts = append(opts, ipc.WithZstd())
					}
					bytes := ipcBytes(t, asFile, []arrow.RecordBatch{in, in.NewSlice(7, 50), in.NewSlice(0, 0)}, opts...)
					out, sum, err := runArrow(t, bytes, !asFile, Job{Columns: []Column{{Name: "id", Plan: forward}}})
					if err != nil {
						t.Fatal(err)
					}
					if !strings.Contains(sum.Columns[0].Type, "is one of strings") || !strings.Contains(sum.Columns[0].Type, "a reverse run gives it back") {
						t.Errorf("summary %q, want the new type and that a reverse run restores the old one", sum.Columns[0].Type)
					}
					now := readIPC(t, asFile, out)
					if f := now[0].Schema().Field(1); f.Type.ID() != arrow.STRING || !f.Nullable || f.Metadata.FindKey("owner") < 0 || f.Metadata.FindKey("ARROW:extension:name") >= 0 {
						t.Errorf("field %v, want nullable strings that keep owner and have no extension type", f)
					}
					if !array.Equal(now[0].Column(2), a) || !now[0].Schema().Field(2).Equal(in.Schema().Field(2)) {
						t.Error("another column changed")
					}
					checkTexts(t, "id", forward, want, texts(now[0].Column(1)))
					checkTexts(t, "id", forward, want[7:50], texts(now[1].Column(1)))
					again, sum, err := runArrow(t, out, !asFile, Job{Columns: []Column{{Name: "id", Plan: back}}})
					if err != nil {
						t.Fatal(err)
					}
					if !strings.Contains(sum.Columns[0].Type, "again") {
						t.Errorf("summary %q, want that the column has its type again", sum.Columns[0].Type)
					}
					sameBatches(t, readIPC(t, asFile, again), readIPC(t, asFile, bytes))
				})
			}
		}
	}
}

// sameBatches compares batches with their schemas.
func sameBatches(t *testing.T, got, want []arrow.RecordBatch) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d batches, want %d", len(got), len(want))
	}
	for i := range got {
		if !got[i].Schema().Equal(want[i].Schema()) || !got[i].Schema().Metadata().Equal(want[i].Schema().Metadata()) {
			t.Fatalf("the schema is %v, want %v", got[i].Schema(), want[i].Schema())
		}
		if !array.RecordEqual(got[i], want[i]) {
			t.Fatalf("batch %d is %v, want %v", i+1, got[i], want[i])
		}
	}
}

// TestArrowTypedNested: numbers within structs and lists, and entries of dictionaries.
func TestArrowTypedNested(t *testing.T) {
	forward, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	person := arrow.StructOf(arrow.Field{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, arrow.Field{Name: "age", Type: arrow.PrimitiveTypes.Uint8, Nullable: true})
	for _, c := range []struct {
		name, column, json string
		typ                arrow.DataType
		want               []string // texts of the values, none of null
	}{
		{"struct", "x.id", `[{"id": 12, "age": 3}, null, {"id": null, "age": 4}, {"id": -5, "age": 5}]`, person, []string{"12", "-5"}},
		{"list", "x", `[[1, 2], null, [], [null, 3]]`, arrow.ListOf(arrow.PrimitiveTypes.Int32), []string{"1", "2", "3"}},
		{"list of structs", "x.id", `[[{"id": 1, "age": 3}], null, [{"id": 7, "age": null}, null]]`, arrow.LargeListOf(person), []string{"1", "7"}},
	} {
		a, _, err := array.FromJSON(memory.DefaultAllocator, c.typ, strings.NewReader(c.json))
		if err != nil {
			t.Fatal(err)
		}
		for _, asFile := range []bool{false, true} {
			in := ipcBytes(t, asFile, []arrow.RecordBatch{batchOf([]string{"x"}, a)})
			out, sum, err := runArrow(t, in, !asFile, Job{Columns: []Column{{Name: c.column, Plan: forward}}})
			if err != nil {
				t.Fatal(c.name, err)
			}
			if sum.Values != int64(len(c.want)) {
				t.Errorf("%s: %d values, want %d", c.name, sum.Values, len(c.want))
			}
			now := fmt.Sprint(readIPC(t, asFile, out)[0].Column(1))
			for _, v := range c.want {
				if !strings.Contains(now, transformOne(forward, v)) {
					t.Errorf("%s: %s is not there: %s", c.name, v, now)
				}
			}
			again, _, err := runArrow(t, out, !asFile, Job{Columns: []Column{{Name: c.column, Plan: back}}})
			if err != nil {
				t.Fatal(c.name, err)
			}
			sameBatches(t, readIPC(t, asFile, again), readIPC(t, asFile, in))
		}
	}
}

// TestArrowTypedLayers: a column that was pseudonymised twice gets its type back when both
// are reversed; with NumbersText it stays text.
func TestArrowTypedLayers(t *testing.T) {
	forward, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	a, want := typedArrows()[3].column(t, 30, true)
	in := ipcBytes(t, false, []arrow.RecordBatch{batchOf([]string{"id"}, a)})
	run := func(b []byte, p *suite.Plan, n Numbers) []byte {
		out, _, err := runArrow(t, b, true, Job{Again: true, Numbers: n, Columns: []Column{{Name: "id", Plan: p}}})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	once := run(in, forward, "")
	once2 := run(run(once, forward, ""), back, "")
	sameBatches(t, readIPC(t, false, once2), readIPC(t, false, once))
	sameBatches(t, readIPC(t, false, run(once2, back, "")), readIPC(t, false, in))
	asText := readIPC(t, false, run(once, back, NumbersText))
	if got := texts(asText[0].Column(1)); asText[0].Schema().Field(1).Type.ID() != arrow.STRING || strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("reversed as text: %q, want %q", got, want)
	}
	if asText[0].Schema().Metadata().FindKey("velonym.types") >= 0 {
		t.Error("a type of a reversed column is still remembered")
	}
}

// TestArrowTypedRefused: types that identify nobody, or have no one text, are named with
// what to do.
func TestArrowTypedRefused(t *testing.T) {
	p, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	day := "cast it to a string first, in the form that the same dates have elsewhere"
	for _, c := range []struct {
		typ  arrow.DataType
		plan *suite.Plan
		want string
	}{
		{arrow.FixedWidthTypes.Boolean, p, "is of type bool, which identifies nobody; leave it out"},
		{extensions.NewBool8Type(), p, "is of type bool, which identifies nobody; leave it out"},
		{arrow.PrimitiveTypes.Float32, p, "is of type floating point, whose numbers have more than one text; cast it to an integer or to a string first"},
		{arrow.FixedWidthTypes.Float16, p, "is of type floating point, whose numbers"},
		{arrow.PrimitiveTypes.Date32, p, "is of type date; " + day},
		{arrow.FixedWidthTypes.Time64us, p, "is of type time; " + day},
		{arrow.FixedWidthTypes.Timestamp_ms, p, "is of type timestamp; " + day},
		{arrow.FixedWidthTypes.Duration_s, p, "is of type duration, whose values are no identifiers; cast it to a string first"},
		{&arrow.Decimal128Type{Precision: 9, Scale: 2}, p, "is of type decimal128(9, 2), whose numbers have a fraction or lack digits; cast it to scale 0"},
		{arrow.Null, p, "is of type null: it holds no value"},
		{arrow.PrimitiveTypes.Int64, back, "is of type int64, and pseudonyms are strings: a number has lost the zeros"},
	} {
		a, _, err := array.FromJSON(memory.DefaultAllocator, c.typ, strings.NewReader("[null]"))
		if err != nil {
			t.Fatal(err)
		}
		in := ipcBytes(t, false, []arrow.RecordBatch{batchOf([]string{"id"}, a)})
		out, _, err := runArrow(t, in, false, Job{Columns: []Column{{Name: "id", Plan: c.plan}}})
		if err == nil || !strings.Contains(err.Error(), `column "id" `+c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
		if len(out) > 0 {
			t.Errorf("%s: an output is left", c.want)
		}
	}
}

// TestArrowRestoreFaults: a reversed value that does not fit the type that its column
// gets back is named by its row, and nothing is written.
func TestArrowRestoreFaults(t *testing.T) {
	p, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	for _, c := range []struct{ typ, value, want string }{
		{"int8", "128", "a number outside the range of int8"},
		{"uint64", "-1", "a number outside the range of uint64"},
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
		b := array.NewStringBuilder(memory.DefaultAllocator)
		for i := range 30 {
			switch {
			case i == 20 && c.value == "":
				b.Append("")
			case i == 20:
				b.Append(transformOne(p, c.value))
			case i%11 == 3:
				b.AppendNull()
			default:
				b.Append(transformOne(p, good))
			}
		}
		meta := arrow.NewMetadata([]string{"velonym.types"}, []string{fmt.Sprintf(`{"version":1,"columns":{"id":{"type":%q}}}`, c.typ)})
		a := b.NewArray()
		rec := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String, Nullable: true}}, &meta), []arrow.Array{a}, 30)
		out, _, err := runArrow(t, ipcBytes(t, false, []arrow.RecordBatch{rec.NewSlice(0, 9), rec.NewSlice(9, 30)}), false, Job{Columns: []Column{{Name: "id", Plan: back}}})
		if err == nil || !strings.Contains(err.Error(), `batch 2, row 21, column "id": the column was of type `) || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%s: %v", c.typ, err)
		}
		if len(out) > 0 {
			t.Errorf("%s: an output is left", c.typ)
		}
		// Without that row the type comes back, as Arrow's writers choose it.
		out, _, err = runArrow(t, ipcBytes(t, false, []arrow.RecordBatch{rec.NewSlice(0, 20)}), false, Job{Columns: []Column{{Name: "id", Plan: back}}})
		if err != nil {
			t.Fatal(c.typ, err)
		}
		is := readIPC(t, false, out)[0].Column(0)
		if name, _, _ := strings.Cut(c.typ, "("); !strings.Contains(strings.ReplaceAll(is.DataType().String(), "_size_binary", ""), name) || is.NullN() != 2 {
			t.Errorf("%s came back as %s with %d nulls, want 2", c.typ, is.DataType(), is.NullN())
		}
	}
	meta := arrow.NewMetadata([]string{"velonym.types"}, []string{`{"version":9}`})
	b := array.NewStringBuilder(memory.DefaultAllocator)
	b.Append(transformOne(p, "1"))
	rec := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String}}, &meta), []arrow.Array{b.NewArray()}, 1)
	in := ipcBytes(t, false, []arrow.RecordBatch{rec})
	if _, _, err := runArrow(t, in, false, Job{Columns: []Column{{Name: "id", Plan: back}}}); err == nil || !strings.Contains(err.Error(), "velonym.types cannot be read") {
		t.Errorf("a memory of another version: %v", err)
	}
	if _, _, err := runArrow(t, in, false, Job{Numbers: NumbersText, Columns: []Column{{Name: "id", Plan: back}}}); err != nil {
		t.Errorf("reversed as text: %v", err)
	}
}

// TestArrowRestoreMissing checks that a value which cannot be reversed ends the run where
// the column, of a type again, has no nulls, and becomes null where it has.
func TestArrowRestoreMissing(t *testing.T) {
	p, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	b := array.NewStringBuilder(memory.DefaultAllocator)
	b.AppendValues([]string{transformOne(p, "1"), "no pseudonym"}, nil)
	a := b.NewArray()
	meta := arrow.NewMetadata([]string{"velonym.types"}, []string{`{"version":1,"columns":{"id":{"type":"int64"}}}`})
	for _, nullable := range []bool{false, true} {
		schema := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String, Nullable: nullable}}, &meta)
		in := ipcBytes(t, false, []arrow.RecordBatch{array.NewRecordBatch(schema, []arrow.Array{a}, 2)})
		out, _, err := runArrow(t, in, false, Job{OnError: Null, Columns: []Column{{Name: "id", Plan: back}}})
		if !nullable {
			if err == nil || !strings.Contains(err.Error(), `batch 1, row 2, column "id": the column was of type int64`) || !strings.Contains(err.Error(), "an empty value") {
				t.Errorf("without nulls: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(readIPC(t, false, out)[0].Column(0)); got != "[1 (null)]" {
			t.Errorf("with nulls: %s", got)
		}
	}
}

// TestArrowTypedTwice checks that a column is not retyped whose name another one has too:
// nothing could tell which one was of the type.
func TestArrowTypedTwice(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	a, _ := typedArrows()[3].column(t, 5, false)
	in := ipcBytes(t, false, []arrow.RecordBatch{batchOf([]string{"id", "id"}, a, a)})
	_, _, err := runArrow(t, in, false, Job{Columns: []Column{{Number: 2, Plan: p}}})
	if err == nil || !strings.Contains(err.Error(), `column "id" is there twice, and the schema could not remember which one was of type int64; rename one`) {
		t.Errorf("%v", err)
	}
}

// TestArrowTypedBeneathNull checks that a number which lies in a struct that is null is not
// shown, and that a reverse run restores the rest.
func TestArrowTypedBeneathNull(t *testing.T) {
	forward, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	n := array.NewInt64Builder(memory.DefaultAllocator)
	n.AppendValues([]int64{1, 2, 3}, nil)
	x, err := array.NewStructArrayWithFieldsAndNulls([]arrow.Array{n.NewArray()}, []arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true}},
		memory.NewBufferBytes([]byte{0b101}), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	in := ipcBytes(t, false, []arrow.RecordBatch{batchOf([]string{"x"}, x)})
	out, sum, err := runArrow(t, in, true, Job{Columns: []Column{{Name: "x.id", Plan: forward}}})
	if err != nil || sum.Values != 2 {
		t.Fatal(sum.Values, err)
	}
	again, _, err := runArrow(t, out, true, Job{Columns: []Column{{Name: "x.id", Plan: back}}})
	if err != nil {
		t.Fatal(err)
	}
	s := readIPC(t, false, again)[0].Column(1).(*array.Struct)
	if got := fmt.Sprint(s.Field(0)); s.NullN() != 1 || s.IsValid(1) || !strings.HasPrefix(got, "[1 ") || !strings.HasSuffix(got, " 3]") || strings.Contains(got, "2") {
		t.Errorf("%s, %d null", got, s.NullN())
	}
}
