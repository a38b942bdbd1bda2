package bulk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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

// frameSchema returns a schema with columns of text of each width, others around them, and
// text within structs and lists.
func frameSchema() *arrow.Schema {
	note := arrow.NewMetadata([]string{"owner"}, []string{"register"})
	return arrow.NewSchema([]arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Int64},
		{Name: "id", Type: arrow.BinaryTypes.String, Nullable: true, Metadata: note},
		{Name: "large", Type: arrow.BinaryTypes.LargeString, Nullable: true},
		{Name: "raw", Type: arrow.BinaryTypes.Binary},
		{Name: "town", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int16, ValueType: arrow.BinaryTypes.String}},
		{Name: "view", Type: arrow.BinaryTypes.StringView, Nullable: true},
		{Name: "person", Type: arrow.StructOf(arrow.Field{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true}, arrow.Field{Name: "age", Type: arrow.PrimitiveTypes.Int8}), Nullable: true},
		{Name: "codes", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true},
		{Name: "ok", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	}, &note)
}

// frame returns rows of frameSchema. Every text in a column that can be chosen is "id…".
func frame(from, n int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.NewGoAllocator(), frameSchema())
	for i := from; i < from+n; i++ {
		id := fmt.Sprintf("id%07d@x", i*7919%(n+3))
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		switch {
		case i%11 == 3:
			b.Field(1).AppendNull()
			b.Field(2).AppendNull()
			b.Field(5).AppendNull()
		case i%13 == 5:
			b.Field(1).(*array.StringBuilder).Append("")
			b.Field(2).(*array.LargeStringBuilder).Append("")
			b.Field(5).(*array.StringViewBuilder).Append("")
		default:
			b.Field(1).(*array.StringBuilder).Append(id)
			b.Field(2).(*array.LargeStringBuilder).Append("large " + id)
			b.Field(5).(*array.StringViewBuilder).Append(strings.Repeat("view ", i%6))
		}
		b.Field(3).(*array.BinaryBuilder).Append([]byte(id))
		if err := b.Field(4).(*array.BinaryDictionaryBuilder).AppendString([]string{"Esch", "Diekirch", "Wiltz"}[i%3]); err != nil {
			panic(err)
		}
		s := b.Field(6).(*array.StructBuilder)
		s.Append(i%7 != 2)
		if i%5 == 1 {
			s.FieldBuilder(0).AppendNull()
		} else {
			s.FieldBuilder(0).(*array.StringBuilder).Append("name " + id)
		}
		s.FieldBuilder(1).(*array.Int8Builder).Append(int8(i % 100))
		l := b.Field(7).(*array.ListBuilder)
		l.Append(i%9 != 4)
		if i%9 != 4 {
			for c := range i % 4 {
				l.ValueBuilder().(*array.StringBuilder).Append(fmt.Sprintf("code%d of %s", c, id))
			}
		}
		b.Field(8).(*array.BooleanBuilder).Append(i%2 == 0)
	}
	return b.NewRecordBatch()
}

// ipcBytes writes batches with arrow-go.
func ipcBytes(t testing.TB, asFile bool, batches []arrow.RecordBatch, opts ...ipc.Option) []byte {
	t.Helper()
	var b bytes.Buffer
	opts = append([]ipc.Option{ipc.WithSchema(batches[0].Schema())}, opts...)
	var w interface {
		Write(arrow.RecordBatch) error
		Close() error
	}
	w = ipc.NewWriter(&b, opts...)
	if asFile {
		f, err := ipc.NewFileWriter(&b, opts...)
		if err != nil {
			t.Fatal(err)
		}
		w = f
	}
	for _, r := range batches {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readIPC reads a stream or file with arrow-go.
func readIPC(t testing.TB, asFile bool, b []byte) (all []arrow.RecordBatch) {
	t.Helper()
	if asFile {
		r, err := ipc.NewFileReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for i := range r.NumRecords() {
			rec, err := r.RecordBatchAt(i)
			if err != nil {
				t.Fatal(err)
			}
			rec.Retain()
			all = append(all, rec)
		}
		return all
	}
	r, err := ipc.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	for r.Next() {
		rec := r.RecordBatch()
		rec.Retain()
		all = append(all, rec)
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return all
}

// texts returns the text of every value of an array, those of lists one after the other. A
// null is nullText.
func texts(a arrow.Array) (all []string) {
	if l, ok := a.(*array.List); ok {
		for i := range l.Len() {
			if l.IsNull(i) {
				all = append(all, nullText)
				continue
			}
			from, to := l.ValueOffsets(i)
			all = append(all, texts(array.NewSlice(l.ListValues(), from, to))...)
			all = append(all, "end of list")
		}
		return all
	}
	if d, ok := a.(*array.Dictionary); ok {
		entries := texts(d.Dictionary())
		for i := range d.Len() {
			all = append(all, entries[d.GetValueIndex(i)])
		}
		return all
	}
	for i := range a.Len() {
		switch v := a.(type) {
		case *array.StringView:
			all = append(all, v.Value(i))
		case *array.String:
			all = append(all, v.Value(i))
		case *array.LargeString:
			all = append(all, v.Value(i))
		case *array.Binary:
			all = append(all, string(v.Value(i)))
		}
		if a.IsNull(i) {
			all[len(all)-1] = nullText
		}
	}
	return all
}

// runArrow runs a job over bytes, from a file or a pipe.
func runArrow(t testing.TB, in []byte, pipe bool, job Job) ([]byte, Summary, error) {
	t.Helper()
	if pipe {
		var out bytes.Buffer
		job.Stdin, job.Stdout = io.MultiReader(bytes.NewReader(in)), &out
		sum, err := Run(t.Context(), job)
		return out.Bytes(), sum, err
	}
	dir := t.TempDir()
	job.Inputs, job.Output = []string{filepath.Join(dir, "in")}, filepath.Join(dir, "out.arrow")
	if err := os.WriteFile(job.Inputs[0], in, 0o600); err != nil {
		t.Fatal(err)
	}
	sum, err := Run(t.Context(), job)
	out, _ := os.ReadFile(job.Output)
	if left, _ := os.ReadDir(dir); err != nil && len(left) != 1 {
		t.Errorf("after %v %d files are left, want the input only", err, len(left))
	}
	return out, sum, err
}

// TestArrow replaces columns of each layout and compares the output with the input as
// arrow-go reads them: other columns stay unchanged, and a reverse run restores the input. The
// format is detected by content. It is one function since every layout goes through all steps.
func TestArrow(t *testing.T) {
	same, back := plan(t, spec.Pseudonymise, reversible), plan(t, spec.Reverse, reversible)
	batches := []arrow.RecordBatch{frame(0, 300), frame(300, 0), frame(300, 41)}
	batches = append(batches, batches[0].NewSlice(17, 77)) // offsets do not begin at 0
	names := []string{"id", "large", "raw", "town", "view", "person.name", "codes"}
	for packing, opts := range map[string][]ipc.Option{"": nil, "lz4": {ipc.WithLZ4()}, "zstd": {ipc.WithZstd()}} {
		for _, asFile := range []bool{false, true} {
			for _, pipe := range []bool{false, true} {
				if asFile && pipe {
					continue
				}
				t.Run(fmt.Sprintf("%s file %v pipe %v", packing, asFile, pipe), func(t *testing.T) {
					batches := batches
					if asFile { // a file has one dictionary for all batches, and a batch of no rows has its own
						batches = slices.Delete(slices.Clone(batches), 1, 2)
					}
					in := ipcBytes(t, asFile, batches, opts...)
					job := func(p *suite.Plan) (j Job) {
						for _, n := range names {
							j.Columns = append(j.Columns, Column{Name: n, Plan: p})
						}
						return j
					}
					out, sum, err := runArrow(t, in, pipe, job(same))
					if err != nil {
						t.Fatal(err)
					}
					if sum.Rows != 401 {
						t.Errorf("%d rows, want 401", sum.Rows)
					}
					was, now := readIPC(t, asFile, in), readIPC(t, asFile, out)
					if len(was) != len(now) {
						t.Fatalf("%d batches became %d", len(was), len(now))
					}
					values := int64(0)
					for i := range was {
						if !was[i].Schema().Equal(now[i].Schema()) {
							t.Fatalf("the schema became %v", now[i].Schema())
						}
						for c, f := range was[i].Schema().Fields() {
							a, b := was[i].Column(c), now[i].Column(c)
							if f.Name == "person" {
								if !array.Equal(a.(*array.Struct).Field(1), b.(*array.Struct).Field(1)) || a.NullN() != b.NullN() {
									t.Error("the struct changed beside its name")
								}
								seen := texts(a.(*array.Struct).Field(0))
								for k := range seen {
									if a.IsNull(k) && seen[k] != nullText {
										seen[k] = "" // no row refers to it
									}
								}
								values += checkTexts(t, f.Name, same, seen, texts(b.(*array.Struct).Field(0)))
								continue
							}
							if !slices.Contains(names, f.Name) {
								if !array.Equal(a, b) {
									t.Errorf("column %s changed", f.Name)
								}
								continue
							}
							values += checkTexts(t, f.Name, same, texts(a), texts(b))
						}
					}
					if sum.Values != values || sum.Errors != 0 {
						t.Errorf("%d values counted, want %d, which were replaced", sum.Values, values)
					}
					again, _, err := runArrow(t, out, pipe, job(back))
					if err != nil {
						t.Fatal(err)
					}
					for i, r := range readIPC(t, asFile, again) {
						for c := range r.Columns() {
							if s, ok := r.Column(c).(*array.Struct); ok {
								for k, name := range texts(s.Field(0)) {
									if s.IsValid(k) && name != texts(was[i].Column(c).(*array.Struct).Field(0))[k] {
										t.Fatal("the name in the struct is not reversed")
									}
								}
							} else if !array.Equal(r.Column(c), was[i].Column(c)) {
								t.Errorf("column %s is not reversed", r.ColumnName(c))
							}
						}
					}
				})
			}
		}
	}
}

// checkTexts compares a column with a transform of each of its values, and returns how many
// of them are values that count.
func checkTexts(t *testing.T, name string, p *suite.Plan, was, now []string) (n int64) {
	t.Helper()
	if len(was) != len(now) {
		t.Fatalf("%s: %d values became %d", name, len(was), len(now))
	}
	for i, v := range was {
		want := v
		if v != nullText && v != "" && v != "end of list" {
			want = transformOne(p, v)
			n++
		}
		if now[i] != want {
			t.Fatalf("%s: value %d became %q, want %q", name, i, now[i], want)
		}
	}
	return n
}

// TestArrowPipeDeliversEachBatch checks that each batch comes out before the next is sent, so
// that a program at both ends of the pipes does not wait for itself.
func TestArrowPipeDeliversEachBatch(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	fromUs, toRun, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromRun, toUs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := Run(t.Context(), Job{Stdin: fromUs, Stdout: toUs, Format: Arrow, Columns: []Column{{Name: "id", Plan: p}}})
		toUs.Close()
		done <- err
	}()
	w := ipc.NewWriter(toRun, ipc.WithSchema(frameSchema()))
	var r *ipc.Reader
	for i := range 5 {
		rec := frame(i*10, 10)
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
		if r == nil {
			var err error
			if r, err = ipc.NewReader(fromRun); err != nil {
				t.Fatal(err)
			}
		}
		if !r.Next() {
			t.Fatal(r.Err())
		}
		checkTexts(t, "id", p, texts(rec.Column(1)), texts(r.RecordBatch().Column(1)))
	}
	go func() { w.Close(); toRun.Close() }()
	if r.Next() || r.Err() != nil {
		t.Error("more batches came out than were sent, or an error:", r.Err())
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestArrowBadInputs checks that an input that cannot be processed gives an error with its
// position, and that no output is left.
func TestArrowBadInputs(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	stream := ipcBytes(t, false, []arrow.RecordBatch{frame(0, 20), frame(20, 20)})
	file := ipcBytes(t, true, []arrow.RecordBatch{frame(0, 20)})
	other := arrow.NewSchema([]arrow.Field{{Name: "x", Type: arrow.PrimitiveTypes.Int8}}, nil)
	ob := array.NewRecordBuilder(memory.NewGoAllocator(), other)
	second := ipcBytes(t, false, []arrow.RecordBatch{ob.NewRecordBatch()})
	big := arrow.NewSchema(frameSchema().Fields(), nil).WithEndianness(1)
	var bigBytes bytes.Buffer
	bw := ipc.NewWriter(&bigBytes, ipc.WithSchema(big))
	if err := bw.Close(); err != nil {
		t.Fatal(err)
	}
	bad := frame(0, 20)
	eos := 8
	fault := array.NewRecordBuilder(memory.NewGoAllocator(), arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String}}, nil))
	fault.Field(0).(*array.StringBuilder).AppendValues([]string{"a", "b"}, nil)
	first := fault.NewRecordBatch()
	fault.Field(0).(*array.StringBuilder).AppendValues([]string{"c", "\x01secret", "d"}, nil)
	faulty := ipcBytes(t, false, []arrow.RecordBatch{first, fault.NewRecordBatch()})
	for _, c := range []struct {
		name, column, want string
		in                 []byte
		format             Format
	}{
		{name: "a schema within", in: slices.Concat(stream[:len(stream)-eos], second), want: "batch 3: the schema changes within the stream"},
		{name: "two streams", in: slices.Concat(stream, second), want: "behind the end of the stream"},
		{name: "no end", in: stream[:len(stream)-eos], want: "is cut short, or its writer left out the mark that ends a stream; have it closed when it is written; batch 2 with row 40 is the last that is whole"},
		{name: "cut", in: stream[:len(stream)-100], want: "is cut short, and nothing tells how much is missing; batch 1 with row 20 is the last that is whole"},
		{name: "cut file", in: file[:len(file)-3], want: "is cut short"},
		{name: "big endian", in: bigBytes.Bytes(), want: "big endian"},
		{name: "a nested column as flat", column: "person", in: stream, want: `column "person" holds several; name one of "person.name", "person.age"`},
		{name: "a truth", column: "ok", in: stream, want: `column "ok" is of type bool, which identifies nobody`},
		{name: "no such column", column: "nope", in: stream, want: `no column "nope"; there are "n", "id"`},
		{name: "a value", in: faulty, want: `batch 2, row 4, column "id": VALUE_NOT_TEXT`},
		{name: "CSV", in: []byte("id\n1\n"), format: Arrow, want: "no Arrow"},
		{name: "nothing", in: nil, format: Arrow, want: "is cut short"},
	} {
		if c.column == "" {
			c.column = "id"
		}
		for _, pipe := range []bool{false, true} {
			if pipe && c.name == "cut file" {
				continue
			}
			out, _, err := runArrow(t, c.in, pipe, Job{Format: c.format, Columns: []Column{{Name: c.column, Plan: p}}})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s, pipe %v: %v, want %s", c.name, pipe, err, c.want)
			}
			if !pipe && len(out) > 0 {
				t.Errorf("%s: an output is left", c.name)
			}
		}
	}
	_, _, err := runArrow(t, stream, false, Job{Columns: []Column{{Name: "id", Plan: p}, {Number: 2, Plan: p}}})
	if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), "is given twice") {
		t.Errorf("a column twice: %v", err)
	}
	bad.Release()
}

// TestArrowFailedValues checks that a value that cannot be transformed becomes null in a
// nullable column and empty in another.
func TestArrowFailedValues(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	for _, nullable := range []bool{true, false} {
		for _, values := range [][]string{{"a", "\x01", "none", "b"}, {"a", "\x01", "b"}, {"a", "none", "b"}} {
			b := array.NewRecordBuilder(memory.NewGoAllocator(), arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String, Nullable: nullable}}, nil))
			b.Field(0).(*array.StringBuilder).AppendValues(values, nil)
			in := ipcBytes(t, false, []arrow.RecordBatch{b.NewRecordBatch()})
			out, sum, err := runArrow(t, in, false, Job{OnError: Null, Null: []string{"none"}, Columns: []Column{{Name: "id", Plan: p}}})
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			var failed, empty int64
			for _, v := range values {
				switch {
				case v == "none":
					want = append(want, v)
					empty++
				case v != "\x01":
					want = append(want, transformOne(p, v))
				case nullable:
					want = append(want, nullText)
					failed++
				default:
					want = append(want, "")
					failed++
				}
			}
			got := texts(readIPC(t, false, out)[0].Column(0))
			if !slices.Equal(got, want) {
				t.Errorf("nullable %v, %q: %q, want %q", nullable, values, got, want)
			}
			if sum.Errors != failed || sum.Values != 2 || sum.Empty != empty {
				t.Errorf("%q: %d errors, %d values, %d empty, want %d, 2 and %d", values, sum.Errors, sum.Values, sum.Empty, failed, empty)
			}
		}
	}
}

// TestArrowForeignFiles checks that streams and files of other programs keep their metadata
// and their other columns.
func TestArrowForeignFiles(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	for _, name := range []string{"custom_metadata.arrow", "custom_metadata_stream.arrows"} {
		in, err := os.ReadFile(filepath.Join("testdata/arrow", name))
		if err != nil {
			t.Fatal(err)
		}
		asFile := strings.HasSuffix(name, ".arrow")
		was := readIPC(t, asFile, in)
		column := -1
		for i, f := range was[0].Schema().Fields() {
			if id := f.Type.ID(); id == arrow.STRING || id == arrow.LARGE_STRING {
				column = i
			}
		}
		if column < 0 {
			t.Fatalf("%s: no column of text in %v", name, was[0].Schema())
		}
		out, _, err := runArrow(t, in, false, Job{Columns: []Column{{Name: was[0].ColumnName(column), Plan: p}}})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range readIPC(t, asFile, out) {
			if !r.Schema().Equal(was[i].Schema()) || !r.Schema().Metadata().Equal(was[i].Schema().Metadata()) {
				t.Errorf("%s: the schema changed", name)
			}
			for c := range r.Columns() {
				if c == column {
					checkTexts(t, name, p, texts(was[i].Column(c)), texts(r.Column(c)))
				} else if !array.Equal(r.Column(c), was[i].Column(c)) {
					t.Errorf("%s: column %d changed", name, c)
				}
			}
		}
	}
}

// TestArrowPolarsFile runs a file as polars writes it: the schema that it begins with lacks
// what a message begins with, and readers take that of the footer.
func TestArrowPolarsFile(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	in := ipcBytes(t, true, []arrow.RecordBatch{frame(0, 20)})
	want, _, err := runArrow(t, in, false, Job{Columns: []Column{{Name: "id", Plan: p}}})
	if err != nil {
		t.Fatal(err)
	}
	n := int(binary.LittleEndian.Uint32(in[12:]))
	copy(in[8:], in[16:16+n])
	out, _, err := runArrow(t, in, false, Job{Columns: []Column{{Name: "id", Plan: p}}})
	if err != nil {
		t.Fatal(err)
	}
	sameBatches(t, readIPC(t, true, out), readIPC(t, true, want))
	if out[8] != 0xff {
		t.Error("the output does not begin with a message")
	}
}

// FuzzArrow runs over arbitrary bytes, which are processed or refused without a panic.
func FuzzArrow(f *testing.F) {
	for _, asFile := range []bool{false, true} {
		f.Add(ipcBytes(f, asFile, []arrow.RecordBatch{frame(0, 12), frame(12, 3)}))
		f.Add(ipcBytes(f, asFile, []arrow.RecordBatch{frame(0, 12)}, ipc.WithZstd()))
		f.Add(ipcBytes(f, asFile, []arrow.RecordBatch{frame(0, 12)}, ipc.WithLZ4()))
	}
	p := plan(f, spec.Pseudonymise, reversible)
	path := filepath.Join(f.TempDir(), "in.arrow")
	f.Fuzz(func(t *testing.T, in []byte) {
		if err := os.WriteFile(path, in, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, column := range []string{"id", "large", "person.name", "codes"} {
			var out bytes.Buffer
			_, err := Run(t.Context(), Job{Inputs: []string{path}, Stdout: &out, MaxMemory: 64 << 20, Workers: 1, OnError: Null, Again: true, Columns: []Column{{Name: column, Plan: p}}})
			if err != nil && strings.Contains(err.Error(), "panic") {
				t.Fatal(err)
			}
		}
	})
}
