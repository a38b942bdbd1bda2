package bulk

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/suite"
)

// dictionaryOf returns a column with the given entries, as JSON, and the rows that refer to
// them; -1 is null.
func dictionaryOf(t testing.TB, index, value arrow.DataType, entries string, rows ...int) arrow.Array {
	t.Helper()
	e, _, err := array.FromJSON(memory.DefaultAllocator, value, strings.NewReader(entries))
	if err != nil {
		t.Fatal(err)
	}
	at := strings.ReplaceAll(strings.Join(strings.Fields(fmt.Sprint(rows)), ","), "-1", "null")
	i, _, err := array.FromJSON(memory.DefaultAllocator, index, strings.NewReader(at))
	if err != nil {
		t.Fatal(err)
	}
	return array.NewDictionaryArray(&arrow.DictionaryType{IndexType: index, ValueType: value}, i, e)
}

// dictionaryTexts returns the text of every row of batches, nullText of a null, be the
// column encoded with a dictionary or plain.
func dictionaryTexts(batches []arrow.RecordBatch, column int) (all []string) {
	for _, b := range batches {
		a := b.Column(column)
		d, ok := a.(*array.Dictionary)
		for i := range a.Len() {
			switch {
			case a.IsNull(i) || ok && d.Dictionary().IsNull(d.GetValueIndex(i)):
				all = append(all, nullText)
			case ok:
				all = append(all, d.Dictionary().ValueStr(d.GetValueIndex(i)))
			default:
				all = append(all, a.ValueStr(i))
			}
		}
	}
	return all
}

// dictionaryStream is a stream with a dictionary that is added to, replaced and, in one
// batch, not used.
func dictionaryStream(t testing.TB, value arrow.DataType, opts ...ipc.Option) (in []byte, want []string) {
	entries := []string{`["10", "11"]`, `["10", "11", "12"]`, `["7"]`, `["7"]`}
	if value.ID() == arrow.INT64 {
		for i := range entries {
			entries[i] = strings.ReplaceAll(entries[i], `"`, "")
		}
	}
	rows := [][]int{{0, 1, -1, 0}, {2, 1, 2}, {0, 0}, {-1}}
	var batches []arrow.RecordBatch
	for i := range entries {
		batches = append(batches, batchOf([]string{"id"}, dictionaryOf(t, arrow.PrimitiveTypes.Int8, value, entries[i], rows[i]...)))
	}
	return ipcBytes(t, false, batches, append(opts, ipc.WithDictionaryDeltas(true))...),
		[]string{"10", "11", nullText, "10", "12", "11", "12", "7", "7", nullText}
}

// TestArrowDictionaries checks that each row of a stream gets the pseudonym of its value
// although the dictionary is added to and replaced within it, whatever the values' type;
// a reverse gives the stream back.
func TestArrowDictionaries(t *testing.T) {
	forward, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	for _, value := range []arrow.DataType{arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.StringView, arrow.PrimitiveTypes.Int64} {
		for packing, opts := range map[string][]ipc.Option{"": nil, "lz4": {ipc.WithLZ4()}} {
			t.Run(fmt.Sprint(value, packing), func(t *testing.T) {
				in, want := dictionaryStream(t, value, opts...)
				out, sum, err := runArrow(t, in, true, Job{Columns: []Column{{Name: "id", Plan: forward}}})
				if err != nil {
					t.Fatal(err)
				}
				if sum.Values != 8 || sum.Empty != 2 {
					t.Errorf("%d values, %d empty, want 8 and 2", sum.Values, sum.Empty)
				}
				now := readIPC(t, false, out)
				if id := now[0].Column(1).DataType().ID(); id != arrow.DICTIONARY {
					t.Errorf("the column became %s, want a dictionary", id)
				}
				checkTexts(t, "id", forward, want, dictionaryTexts(now, 1))
				again, _, err := runArrow(t, out, true, Job{Columns: []Column{{Name: "id", Plan: back}}})
				if err != nil {
					t.Fatal(err)
				}
				was, restored := readIPC(t, false, in), readIPC(t, false, again)
				if got := dictionaryTexts(restored, 1); !slices.Equal(got, want) || !restored[0].Schema().Equal(was[0].Schema()) {
					t.Errorf("%v with %q, want %v with %q", restored[0].Schema(), got, was[0].Schema(), want)
				}
			})
		}
	}
}

// TestArrowDictionaryDecoded checks that where equal values are to get different
// pseudonyms, a column loses its dictionary, also within a list, and each row gets its own;
// a reverse gives the values back.
func TestArrowDictionaryDecoded(t *testing.T) {
	different := suite.Spec{Method: spec.Reversible, Policy: spec.Different, Form: spec.Pair62}
	document := suite.Spec{Method: spec.Reversible, Policy: spec.PerDocument, Form: spec.Pair62}
	for name, s := range map[string]suite.Spec{"different": different, "document": document} {
		forward, back := plan(t, spec.Pseudonymise, s), plan(t, spec.Reverse, s)
		for _, value := range []arrow.DataType{arrow.BinaryTypes.String, arrow.BinaryTypes.LargeString, arrow.BinaryTypes.StringView, arrow.PrimitiveTypes.Int64} {
			for _, pipe := range []bool{false, true} {
				in, want := dictionaryStream(t, value)
				out, sum, err := runArrow(t, in, pipe, Job{Columns: []Column{{Name: "id", Plan: forward}}})
				if err != nil {
					t.Fatal(name, value, err)
				}
				if sum.Values != 8 || sum.Empty != 2 || sum.Columns[0].Type == "" {
					t.Errorf("%s, %s: %d values, %d empty, type %q; want 8, 2 and a sentence on the type", name, value, sum.Values, sum.Empty, sum.Columns[0].Type)
				}
				now := readIPC(t, false, out)
				became, plain := now[0].Column(1).DataType(), value
				if value.ID() == arrow.INT64 {
					plain = arrow.BinaryTypes.String
				}
				if became.ID() != plain.ID() {
					t.Errorf("%s: %s became %s, want %s", name, value, became, plain)
				}
				if got := dictionaryTexts(now, 1); got[0] == got[3] || got[1] == got[5] || got[2] != nullText || got[9] != nullText {
					t.Errorf("%s, %s: %q, want different results for equal values and nulls for nulls", name, value, got)
				}
				again, _, err := runArrow(t, out, pipe, Job{Columns: []Column{{Name: "id", Plan: back}}})
				if err != nil {
					t.Fatal(name, value, err)
				}
				restored := readIPC(t, false, again)
				if got := dictionaryTexts(restored, 1); !slices.Equal(got, want) || restored[0].Column(1).DataType().ID() != value.ID() {
					t.Errorf("%s, %s: %s with %q, want %q", name, value, restored[0].Column(1).DataType(), got, want)
				}
			}
		}
	}
}

// TestArrowDictionaryFile checks files, which list where their dictionaries are: a column
// that loses its own, beside one that keeps it.
func TestArrowDictionaryFile(t *testing.T) {
	s := suite.Spec{Method: spec.Reversible, Policy: spec.Different, Form: spec.Pair62}
	forward, back := plan(t, spec.Pseudonymise, s), plan(t, spec.Reverse, s)
	town := dictionaryOf(t, arrow.PrimitiveTypes.Int16, arrow.BinaryTypes.String, `["Esch", "Wiltz", null]`, 1, 0, 1, -1, 2)
	in := ipcBytes(t, true, []arrow.RecordBatch{batchOf([]string{"town", "other"}, town, town), batchOf([]string{"town", "other"}, town, town)}, ipc.WithZstd())
	out, _, err := runArrow(t, in, false, Job{Columns: []Column{{Name: "town", Plan: forward}}})
	if err != nil {
		t.Fatal(err)
	}
	now := readIPC(t, true, out)
	for _, b := range now {
		if !array.Equal(b.Column(2), town) || b.Column(1).NullN() != 2 {
			t.Errorf("%v: want an unchanged town and two nulls in column 1", b)
		}
	}
	again, _, err := runArrow(t, out, false, Job{Columns: []Column{{Name: "town", Plan: back}}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"Wiltz", "Esch", "Wiltz", nullText, nullText}
	if got := dictionaryTexts(readIPC(t, true, again), 1); !slices.Equal(got, slices.Concat(want, want)) {
		t.Errorf("restored %q, want %q twice", got, want)
	}
}

// TestArrowDictionaryMissing checks that a row whose value has no result becomes null where
// the column has nulls, and empty where it has none.
func TestArrowDictionaryMissing(t *testing.T) {
	p, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	a := dictionaryOf(t, arrow.PrimitiveTypes.Uint8, arrow.BinaryTypes.String, `["a", "\u0001", "b"]`, 0, 1, 2, -1, 1)
	for _, nullable := range []bool{true, false} {
		typ := arrow.Field{Name: "id", Type: a.DataType(), Nullable: nullable}
		rec := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{typ}, nil), []arrow.Array{a}, 5)
		out, sum, err := runArrow(t, ipcBytes(t, false, []arrow.RecordBatch{rec}), false, Job{OnError: Null, Columns: []Column{{Name: "id", Plan: p}}})
		if err != nil {
			t.Fatal(err)
		}
		missing := ""
		if nullable {
			missing = nullText
		}
		want := []string{transformOne(p, "a"), missing, transformOne(p, "b"), nullText, missing}
		if got := dictionaryTexts(readIPC(t, false, out), 0); !slices.Equal(got, want) || sum.Errors != 2 || sum.Values != 2 {
			t.Errorf("nullable %v: %q, want %q; %d errors, %d values", nullable, got, want, sum.Errors, sum.Values)
		}
	}
	// A type comes back although an entry has no value.
	one, two := transformOne(p, "1"), transformOne(p, "2")
	meta := arrow.NewMetadata([]string{"velonym.types"}, []string{`{"version":1,"columns":{"id":{"type":"int64"}}}`})
	a = dictionaryOf(t, arrow.PrimitiveTypes.Int8, arrow.BinaryTypes.String, fmt.Sprintf(`[%q, "no pseudonym", %q]`, one, two), 2, 1, 0)
	rec := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "id", Type: a.DataType(), Nullable: true}}, &meta), []arrow.Array{a}, 3)
	out, _, err := runArrow(t, ipcBytes(t, false, []arrow.RecordBatch{rec}), false, Job{OnError: Null, Columns: []Column{{Name: "id", Plan: back}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := dictionaryTexts(readIPC(t, false, out), 0); !slices.Equal(got, []string{"2", nullText, "1"}) {
		t.Errorf("restored %q, want 2, null, 1", got)
	}
	// An entry that is no value of the type is named.
	bad := transformOne(p, "x")
	a = dictionaryOf(t, arrow.PrimitiveTypes.Int8, arrow.BinaryTypes.String, fmt.Sprintf(`[%q, %q]`, one, bad), 1, 0)
	rec = array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "id", Type: a.DataType(), Nullable: true}}, &meta), []arrow.Array{a}, 2)
	_, _, err = runArrow(t, ipcBytes(t, false, []arrow.RecordBatch{rec}), false, Job{Columns: []Column{{Name: "id", Plan: back}}})
	if err == nil || !strings.HasSuffix(err.Error(), `column "id": the column was of type int64 before pseudonymisation, and the reversed value is not the text of a value of type int64 (entry 2 of the column's dictionary)`) {
		t.Errorf("%v", err)
	}
}
