package arrow

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// upper is a Replacer whose results are the values in capitals.
type upper struct{ differ bool }

func (u upper) Replace(_ context.Context, b *Batch) (Results, error) {
	return Results{Arena: bytes.ToUpper(b.Arena), Spans: b.Spans, Values: b.Spans}, nil
}
func (u upper) Once() bool                                                { return !u.differ }
func (u upper) Use(_ context.Context, values, empty, missing int64) error { return nil }

// smallSchema has a column of each layout.
func smallSchema() *arrow.Schema {
	text := arrow.BinaryTypes.String
	return arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: text, Nullable: true},
		{Name: "town", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: text}, Nullable: true},
		{Name: "view", Type: arrow.BinaryTypes.StringView, Nullable: true},
		{Name: "list", Type: arrow.ListOf(text), Nullable: true},
		{Name: "n", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	}, nil)
}

// smallBatches writes two batches of three rows with arrow-go.
func smallBatches(t testing.TB, asFile bool, opts ...ipc.Option) []byte {
	t.Helper()
	var out bytes.Buffer
	opts = append(opts, ipc.WithSchema(smallSchema()))
	var w interface {
		Write(arrow.RecordBatch) error
		Close() error
	} = ipc.NewWriter(&out, opts...)
	if asFile {
		f, err := ipc.NewFileWriter(&out, opts...)
		if err != nil {
			t.Fatal(err)
		}
		w = f
	}
	rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, smallSchema(), strings.NewReader(
		`[{"id": "a", "town": "esch", "view": "short", "list": ["x", "y"], "n": 1},
		{"id": null, "town": null, "view": null, "list": null, "n": null},
		{"id": "ccc", "town": "wiltz", "view": "a text that is longer than a view", "list": ["z"], "n": 3}]`))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// replaceAll replaces all columns of a stream, or of a file.
func replaceAll(in []byte, asFile, differ bool) ([]byte, error) {
	s, err := OpenStream(bytes.NewReader(in), Options{Name: "in"})
	if asFile {
		s, err = OpenFile(bytes.NewReader(in), int64(len(in)), Options{Name: "in"})
	}
	if err != nil {
		return nil, err
	}
	for i := range s.Columns() {
		if _, err := s.Replace(i, upper{differ}, Pseudonymise); err != nil {
			return nil, err
		}
	}
	var out bytes.Buffer
	err = s.Write(context.Background(), &out)
	return out.Bytes(), err
}

// TestCutAnywhere checks that a stream or file without some bytes of its end is refused as cut
// short, whatever their number, and never accepted as a shorter one.
func TestCutAnywhere(t *testing.T) {
	for _, opts := range [][]ipc.Option{nil, {ipc.WithLZ4()}} {
		for _, asFile := range []bool{false, true} {
			in := smallBatches(t, asFile, opts...)
			if _, err := replaceAll(in, asFile, false); err != nil {
				t.Fatal(err)
			}
			step := 1 + 6*len(opts) // compressed ones take more time
			for n := 0; n < len(in); n += step {
				_, err := replaceAll(in[:n], asFile, false)
				var fault *Error
				if !errors.As(err, &fault) || !asFile && !strings.Contains(err.Error(), "cut short") {
					t.Fatalf("%d of %d bytes, file %v: %v", n, len(in), asFile, err)
				}
				if whole, err := OpenBytes(in[:n:n], Options{}); !asFile && err == nil {
					if err := whole.Scan(t.Context()); !errors.As(err, &fault) {
						t.Fatalf("%d of %d bytes in memory: %v", n, len(in), err)
					}
				}
			}
		}
	}
}

// patched returns a stream in which message i, from 0, is changed. body aliases the body.
func patched(t testing.TB, in []byte, i int, change func(m *message, b *batch, body []byte)) []byte {
	t.Helper()
	in = bytes.Clone(in)
	s := open(Options{})
	at := 0
	for k := 0; ; k++ {
		n := int(binary.LittleEndian.Uint32(in[at+4:]))
		m, err := s.parseMessage(in[at+8:][:n])
		if err != nil {
			t.Fatal(err)
		}
		at += 8 + n
		if k == i {
			b := &batch{}
			of := m.header
			if m.kind == headerDictionary {
				of = of.table(1)
			}
			if m.kind != headerSchema {
				if err := s.readParts(b, of, m.body); err != nil {
					t.Fatal(err)
				}
			}
			change(m, b, in[at:][:m.body])
			return in
		}
		at += int(m.body)
	}
}

// put64 overwrites a number of a FlatBuffer.
func put64(f *flat, at int, v int64) { binary.LittleEndian.PutUint64(f.b[at:], uint64(v)) }

// TestFalseMetadata checks that metadata which contradicts the bytes of a stream is an error that
// names the batch and column, and that no memory is allocated according to it.
func TestFalseMetadata(t *testing.T) {
	in := smallBatches(t, false)
	// Messages: the schema, the dictionary, two batches. Buffers of a batch: id 0-2, town
	// 3-4, view 5-7, list 8-9, its items 10-12, n 13-14.
	node := func(m *message, i int) int { at, _ := m.header.vector(1, 16); return at + 16*i }
	place := func(m *message, i int) int { at, _ := m.header.vector(2, 16); return at + 16*i }
	i32 := func(buffer, index int, v int32) func(*message, *batch, []byte) {
		return func(_ *message, b *batch, body []byte) {
			binary.LittleEndian.PutUint32(body[b.buffers[buffer].off+int64(4*index):], uint32(v))
		}
	}
	for _, c := range []struct {
		name, want string
		message    int
		change     func(m *message, b *batch, body []byte)
	}{
		{"a buffer behind the body", "batch 2: a record batch is damaged: a buffer lies outside", 3, func(m *message, _ *batch, _ []byte) { put64(m.top.f, place(m, 2)+8, 1<<40) }},
		{"a buffer before the body", "a buffer lies outside", 2, func(m *message, _ *batch, _ []byte) { put64(m.top.f, place(m, 2), -8) }},
		{"a buffer of negative length", "a buffer lies outside", 2, func(m *message, _ *batch, _ []byte) { put64(m.top.f, place(m, 2)+8, -8) }},
		{"a longer column", `batch 1, column "id": has 4 values in a batch of 3 rows`, 2, func(m *message, _ *batch, _ []byte) { put64(m.top.f, node(m, 0), 4) }},
		{"more rows", `has 3 values in a batch of 5 rows`, 2, func(m *message, _ *batch, _ []byte) { put64(m.top.f, m.header.field(0), 5) }},
		{"more items", `column "list": the offsets of the values are damaged`, 2, func(m *message, _ *batch, _ []byte) { put64(m.top.f, node(m, 4), 1000) }},
		{"fewer items", `column "list": the offsets of the values are damaged`, 2, func(m *message, _ *batch, _ []byte) { put64(m.top.f, node(m, 4), 1) }},
		{"items without end", `needs about`, 2, func(m *message, _ *batch, _ []byte) { put64(m.top.f, node(m, 4), 1<<50) }},
		{"more nulls than values", "a record batch is damaged", 2, func(m *message, _ *batch, _ []byte) { put64(m.top.f, node(m, 0)+8, 4) }},
		{"negative nulls", "a record batch is damaged", 2, func(m *message, _ *batch, _ []byte) { put64(m.top.f, node(m, 0)+8, -1) }},
		{"a short validity", `column "id": a record batch is damaged`, 2, func(m *message, _ *batch, _ []byte) { put64(m.top.f, place(m, 0)+8, 0) }},
		{"short offsets", `column "id": the offsets of the values are damaged`, 2, func(m *message, _ *batch, _ []byte) { put64(m.top.f, place(m, 1)+8, 12) }},
		{"short views", `column "view": a record batch is damaged`, 2, func(m *message, _ *batch, _ []byte) { put64(m.top.f, place(m, 6)+8, 32) }},
		{"short numbers", `column "n": a record batch is damaged`, 2, func(m *message, _ *batch, _ []byte) { put64(m.top.f, place(m, 14)+8, 16) }},
		{"short indexes", `column "town": a record batch is damaged`, 2, func(m *message, _ *batch, _ []byte) { put64(m.top.f, place(m, 4)+8, 2) }},
		{"offsets that go back", `batch 2, row 6, column "id": the offsets`, 3, i32(1, 3, 0)},
		{"offsets behind the text", `batch 2, row 6, column "id": the offsets`, 3, i32(1, 3, 5)},
		{"offsets before the text", `batch 2, row 4, column "id": the offsets`, 3, i32(1, 0, -1)},
		{"list offsets that go back", `column "list": the offsets`, 2, i32(9, 1, -2)},
		{"an index behind the dictionary", `batch 1, row 3, column "town": refers to an entry that its dictionary has not`, 2, func(_ *message, b *batch, body []byte) { body[b.buffers[4].off+2] = 2 }},
		{"a negative index", `batch 1, row 3, column "town": refers to an entry that its dictionary has not`, 2, func(_ *message, b *batch, body []byte) { body[b.buffers[4].off+2] = 0xff }},
		{"a view of negative length", `batch 1, row 3, column "view": the offsets`, 2, i32(6, 8, -1)},
		{"a view of another buffer", `batch 1, row 3, column "view": the offsets`, 2, i32(6, 10, 1)},
		{"a view before its buffer", `batch 1, row 3, column "view": the offsets`, 2, i32(6, 11, -1)},
		{"a view behind its buffer", `batch 1, row 3, column "view": the offsets`, 2, i32(6, 11, 1)},
		{"too many view buffers", "a record batch is damaged", 2, func(m *message, _ *batch, _ []byte) { at, _ := m.header.vector(4, 8); put64(m.top.f, at, 2) }},
		{"negative view buffers", "a record batch is damaged", 2, func(m *message, _ *batch, _ []byte) { at, _ := m.header.vector(4, 8); put64(m.top.f, at, -1) }},
		{"a negative number of rows", "a record batch is damaged", 2, func(m *message, _ *batch, _ []byte) { put64(m.top.f, m.header.field(0), -3) }},
		{"a longer body", "is cut short", 3, func(m *message, _ *batch, _ []byte) { put64(m.top.f, m.top.field(3), m.body+64) }},
		{"a body without end", "needs about", 3, func(m *message, _ *batch, _ []byte) { put64(m.top.f, m.top.field(3), 1<<50) }},
		{"a negative body", "a message cannot be read", 3, func(m *message, _ *batch, _ []byte) { put64(m.top.f, m.top.field(3), -8) }},
		{"a table outside", "a message cannot be read", 3, func(m *message, _ *batch, _ []byte) { binary.LittleEndian.PutUint32(m.raw, 1<<30) }},
		{"a dictionary of another length", `column "town": its dictionary is damaged`, 1, func(m *message, _ *batch, _ []byte) { b := m.header.table(1); put64(m.top.f, b.field(0), 7) }},
		{"dictionary offsets behind the text", `column "town": the offsets`, 1, i32(1, 2, 100)},
	} {
		stream := patched(t, in, c.message, c.change)
		for _, differ := range []bool{false, true} {
			_, err := replaceAll(stream, false, differ)
			var fault *Error
			if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, dictionary decoded %v: %v, want %s", c.name, differ, err, c.want)
			}
		}
	}
	_, err := replaceAll(withoutMessage(t, in, 1), false, false)
	if want := `batch 1, column "town": its dictionary is missing`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("without a dictionary: %v, want %s", err, want)
	}
}

// withoutMessage returns a stream without one of its messages.
func withoutMessage(t testing.TB, in []byte, i int) []byte {
	t.Helper()
	s := open(Options{})
	at := 0
	for k := 0; ; k++ {
		n := int(binary.LittleEndian.Uint32(in[at+4:]))
		m, err := s.parseMessage(in[at+8:][:n])
		if err != nil {
			t.Fatal(err)
		}
		size := 8 + n + int(m.body)
		if k == i {
			return append(bytes.Clone(in[:at]), in[at+size:]...)
		}
		at += size
	}
}

// TestFalseLengthsOfBuffers checks that a compressed buffer with a false length, or declared with
// another compression, is refused.
func TestFalseLengthsOfBuffers(t *testing.T) {
	for name, opt := range map[string]ipc.Option{"LZ4": ipc.WithLZ4(), "ZSTD": ipc.WithZstd()} {
		in := smallBatches(t, false, opt)
		for _, n := range []int64{0, 2, 3, 5, 1 << 40, -2, 1<<63 - 1} {
			stream := patched(t, in, 2, func(_ *message, b *batch, body []byte) {
				binary.LittleEndian.PutUint64(body[b.buffers[2].off:], uint64(n))
			})
			var fault *Error
			if _, err := replaceAll(stream, false, false); !errors.As(err, &fault) {
				t.Errorf("%s: text of 4 bytes that states %d: %v", name, n, err)
			}
		}
		stream := patched(t, in, 2, func(m *message, _ *batch, _ []byte) {
			of := m.header.table(3)
			if at := of.field(0); at > 0 {
				of.f.b[at] = 9
			} else { // LZ4 is the default, and not written
				m.header.f.b[0] ^= 1
			}
		})
		if _, err := replaceAll(stream, false, false); err == nil {
			t.Errorf("%s: another packing passed", name)
		}
	}
}

// TestFalseFooter checks that a file whose footer has false positions of messages is refused.
func TestFalseFooter(t *testing.T) {
	in := smallBatches(t, true)
	s, err := OpenFile(bytes.NewReader(in), int64(len(in)), Options{Name: "in"})
	if err != nil {
		t.Fatal(err)
	}
	footer := (&flat{b: s.file.footer}).root()
	start := bytes.Index(in, s.file.footer)
	dict, _ := footer.vector(2, 24)
	first, _ := footer.vector(3, 24)
	u64 := func(at int, v int64) func(b []byte) {
		return func(b []byte) { binary.LittleEndian.PutUint64(b[start+at:], uint64(v)) }
	}
	dictionaryAt := s.file.dicts[0].off
	for name, change := range map[string]func(b []byte){
		"a batch behind the file":       u64(first, 1<<40),
		"a batch before the file":       u64(first, -8),
		"a batch at a dictionary":       u64(first, dictionaryAt),
		"a dictionary at a batch":       u64(dict, s.file.batches[0].off),
		"a body behind the file":        u64(first+16, 1<<50),
		"a negative body":               u64(first+16, -1),
		"a shorter body":                u64(first+16, 8),
		"no metadata":                   u64(first+8, 0),
		"a footer that is longer":       func(b []byte) { binary.LittleEndian.PutUint32(b[len(b)-10:], uint32(len(b))) },
		"a footer that is none":         func(b []byte) { binary.LittleEndian.PutUint32(b[len(b)-10:], 9) },
		"an end that is that of others": func(b []byte) { b[len(b)-1] = '2' },
	} {
		b := bytes.Clone(in)
		change(b)
		var fault *Error
		if _, err := replaceAll(b, true, false); !errors.As(err, &fault) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A file must not replace a dictionary, which streams may.
	f, err := OpenFile(bytes.NewReader(in), int64(len(in)), Options{Name: "in"})
	if err != nil {
		t.Fatal(err)
	}
	f.file.dicts = append(f.file.dicts, f.file.dicts[0])
	if _, err := f.Replace(1, upper{}, Pseudonymise); err != nil {
		t.Fatal(err)
	}
	if err := f.Write(t.Context(), io.Discard); err == nil || !strings.Contains(err.Error(), `column "town": its dictionary is replaced in the middle`) {
		t.Errorf("a dictionary twice: %v", err)
	}
}

// TestSharedDictionary checks that two columns with one dictionary are replaced separately: a
// replaced one loses the dictionary, the other keeps it.
func TestSharedDictionary(t *testing.T) {
	typ := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	schema := arrow.NewSchema([]arrow.Field{{Name: "a", Type: typ, Nullable: true}, {Name: "b", Type: typ, Nullable: true}}, nil)
	rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(`[{"a": "x", "b": "x"}, {"a": "y", "b": "y"}, {"a": null, "b": "x"}]`))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema))
	if err := errors.Join(w.Write(rec), w.Close()); err != nil {
		t.Fatal(err)
	}
	// The second dictionary goes, and the second column names the first one's.
	in := withoutMessage(t, out.Bytes(), 2)
	in = patched(t, in, 0, func(m *message, _ *batch, _ []byte) {
		d := m.header.tables(1)[1].table(4)
		put64(d.f, d.field(0), m.header.tables(1)[0].table(4).i64(0))
	})
	for _, columns := range [][]int{{0}, {1}, {0, 1}} {
		s, err := OpenStream(bytes.NewReader(in), Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{`["x" "y" (null)]`, `["x" "y" "x"]`}
		for _, i := range columns {
			effect, err := s.Replace(i, upper{}, Pseudonymise)
			if err != nil || !effect.Decoded {
				t.Fatal(effect, err)
			}
			want[i] = strings.ToUpper(want[i])
		}
		var got bytes.Buffer
		if err := s.Write(t.Context(), &got); err != nil {
			t.Fatal(err)
		}
		r, err := ipc.NewReader(&got)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Next() {
			t.Fatal(r.Err())
		}
		for i := range 2 {
			c := r.RecordBatch().Column(i)
			if d, ok := c.(*array.Dictionary); ok {
				if got := fmt.Sprint(d.Dictionary()); got != `["x" "y"]` {
					t.Errorf("replaced %v: dictionary %s", columns, got)
				}
				continue
			}
			if got := fmt.Sprint(c); !strings.EqualFold(got, want[i]) || strings.Contains(got, "x") {
				t.Errorf("replaced %v: column %d is %s, want %s", columns, i, got, want[i])
			}
		}
	}
}

// TestDeltaWithoutDictionary checks that additions to a dictionary that was not sent are
// refused.
func TestDeltaWithoutDictionary(t *testing.T) {
	typ := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	schema := arrow.NewSchema([]arrow.Field{{Name: "a", Type: typ, Nullable: true}}, nil)
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(schema), ipc.WithDictionaryDeltas(true))
	for _, rows := range []string{`[{"a": "x"}]`, `[{"a": "x"}, {"a": "y"}]`} {
		rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, schema, strings.NewReader(rows))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	in := withoutMessage(t, withoutMessage(t, out.Bytes(), 2), 1)
	for _, differ := range []bool{false, true} {
		if _, err := replaceAll(in, false, differ); err == nil || !strings.Contains(err.Error(), `batch 1, column "a": its dictionary begins with an addition`) {
			t.Errorf("decoded %v: %v", differ, err)
		}
	}
}
