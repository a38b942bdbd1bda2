package bulk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	arrowparquet "github.com/apache/arrow-go/v18/parquet"
	arrowcompress "github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/parquet-go/parquet-go/format"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
	"github.com/velonym/velonym/engine/spec"
)

// chunkStart returns the offset of a chunk's first page.
func chunkStart(m *thrift.Value) int64 {
	if data, dictionary := m.Int(9), m.Int(11); dictionary == 0 || data > 0 && data < dictionary {
		return data
	}
	return m.Int(11)
}

// chunkAt returns the offset and the size of a column's pages in the first row group.
func chunkAt(t testing.TB, b []byte, column int) (start, size int64) {
	t.Helper()
	editFooter(t, b, func(meta *thrift.Value) {
		m := meta.Items(4)[0].Items(1)[column].Field(3)
		start, size = chunkStart(m), m.Int(7)
	})
	return start, size
}

// editPages changes the pages of a column of the first row group, which must be the last
// pages of the file, and the footer with them.
func editPages(t testing.TB, b []byte, column int, edit func(h *thrift.Value, body []byte) []byte) []byte {
	t.Helper()
	start, size := chunkAt(t, b, column)
	n := int(binary.LittleEndian.Uint32(b[len(b)-8:]))
	footer := b[len(b)-8-n:]
	out := bytes.Clone(b[:start])
	data, first := int64(0), true
	for at := start; at < start+size; {
		h, k, err := thrift.Read(b[at : start+size])
		if err != nil {
			t.Fatal(err)
		}
		body := b[at+int64(k):][:h.Int(3)]
		at += int64(k) + h.Int(3)
		was := len(body)
		if body = edit(&h, bytes.Clone(body)); len(body) != was { // pages must not be compressed
			h.Put(2, thrift.I32, int64(len(body)))
		}
		h.Put(3, thrift.I32, int64(len(body)))
		if h.Int(1) != int64(format.DictionaryPage) && first {
			data, first = int64(len(out)), false
		}
		out = append(append(out, h.Append(nil)...), body...)
	}
	moved := int64(len(out)) - start - size
	out = append(append(out, b[start+size:len(b)-8-n]...), footer...)
	return editFooter(t, out, func(meta *thrift.Value) {
		for c := range meta.Items(4)[0].Items(1) {
			m := meta.Items(4)[0].Items(1)[c].Field(3)
			switch {
			case c == column:
				m.Put(7, thrift.I64, size+moved)
				m.Put(9, thrift.I64, data)
			case chunkStart(m) > start:
				m.Set(9, m.Int(9)+moved)
				m.Set(11, m.Int(11)+moved)
			}
		}
	})
}

// TestParquetHostile checks that widths, counts and sizes that contradict the bytes of a file
// are errors that allocate little and leave no file. Its table makes it long.
func TestParquetHostile(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in := filepath.Join(dir, "in.parquet")
	build := func(opts ...arrowparquet.WriterProperty) []byte {
		writeArrow(t, in, cells(300, 20), append(opts, arrowparquet.WithCompression(arrowcompress.Codecs.Uncompressed))...)
		b, err := os.ReadFile(in)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	dictionary := build()
	v2 := build(arrowparquet.WithDataPageVersion(arrowparquet.DataPageV2))
	plainPages := build(arrowparquet.WithDictionaryDefault(false))
	deltaPages := build(arrowparquet.WithDictionaryDefault(false), arrowparquet.WithEncodingFor("id", arrowparquet.Encodings.DeltaByteArray))
	const id = 1
	footer := func(b []byte, edit func(m *thrift.Value)) []byte {
		return editFooter(t, b, func(meta *thrift.Value) { edit(meta.Items(4)[0].Items(1)[id].Field(3)) })
	}
	pages := func(b []byte, kind format.PageType, edit func(h *thrift.Value, body []byte) []byte) []byte {
		return editPages(t, b, id, func(h *thrift.Value, body []byte) []byte {
			if h.Int(1) == int64(kind) {
				return edit(h, body)
			}
			return body
		})
	}
	// The width of the indexes follows the levels, which are 4 bytes of length and as many bytes.
	widthAt := func(body []byte) int { return 4 + int(binary.LittleEndian.Uint32(body)) }
	width := func(w byte) []byte {
		return pages(dictionary, format.DataPage, func(_ *thrift.Value, body []byte) []byte {
			body[widthAt(body)] = w
			return body
		})
	}
	head := func(b []byte, kind format.PageType, field, sub int16, n int64) []byte {
		return pages(b, kind, func(h *thrift.Value, body []byte) []byte {
			if sub != 0 {
				h.Field(field).Put(sub, thrift.I32, n)
			} else {
				h.Put(field, thrift.I32, n)
			}
			return body
		})
	}
	huge := int64(math.MaxInt32)
	for name, b := range map[string][]byte{
		"width 33":   width(33),
		"width 255":  width(255),
		"width 0":    pages(dictionary, format.DataPage, func(_ *thrift.Value, body []byte) []byte { return body[:widthAt(body)] }),
		"wide index": width(32),
		"index beyond": pages(dictionary, format.DataPage, func(_ *thrift.Value, body []byte) []byte {
			at := widthAt(body)
			return append(body[:at], 5, 0xfe, 0xff, 0xff, 0x7f, 31) // a run of all, of entry 31
		}),
		"dictionary of fewer":          head(dictionary, format.DictionaryPage, 7, 1, 1),
		"dictionary of more":           head(dictionary, format.DictionaryPage, 7, 1, huge),
		"dictionary of less than none": head(dictionary, format.DictionaryPage, 7, 1, -1),
		"dictionary encoding":          head(dictionary, format.DictionaryPage, 7, 2, 7),
		"no dictionary":                footer(dictionary, func(m *thrift.Value) { d := m.Int(9) - m.Int(11); m.Set(7, m.Int(7)-d); m.Remove(11) }),
		"values, more":                 head(plainPages, format.DataPage, 5, 1, huge),
		"values, fewer":                head(plainPages, format.DataPage, 5, 1, 1),
		"values, negative":             head(plainPages, format.DataPage, 5, 1, -5),
		"unpacked, huge":               head(plainPages, format.DataPage, 2, 0, huge),
		"unpacked, negative":           head(plainPages, format.DataPage, 2, 0, -1),
		"unpacked, other":              head(plainPages, format.DataPage, 2, 0, 10),
		"packed, beyond":               footer(plainPages, func(m *thrift.Value) { m.Set(7, m.Int(7)-1) }),
		"page type":                    head(plainPages, format.DataPage, 1, 0, 9),
		"index page":                   head(plainPages, format.DataPage, 1, 0, 1),
		"two dictionaries":             head(plainPages, format.DataPage, 1, 0, 2),
		"encoding of values":           head(plainPages, format.DataPage, 5, 2, 3),
		"encoding of levels":           head(plainPages, format.DataPage, 5, 3, 4),
		"V2 levels, negative":          head(v2, format.DataPageV2, 8, 5, -1),
		"V2 levels, beyond":            head(v2, format.DataPageV2, 8, 5, huge),
		"V2 repetition, beyond":        head(v2, format.DataPageV2, 8, 6, huge),
		"V2 values, other":             head(v2, format.DataPageV2, 8, 1, 299),
		"V2 unpacked, less":            head(v2, format.DataPageV2, 2, 0, 1),
		"chunk, huge":                  footer(dictionary, func(m *thrift.Value) { m.Set(7, math.MaxInt64) }),
		"chunk, negative":              footer(dictionary, func(m *thrift.Value) { m.Set(7, -9) }),
		"chunk, empty":                 footer(dictionary, func(m *thrift.Value) { m.Set(7, 0) }),
		"chunk, beyond":                footer(dictionary, func(m *thrift.Value) { m.Set(9, math.MaxInt64-5); m.Set(11, math.MaxInt64-9) }),
		"chunk, before the file":       footer(dictionary, func(m *thrift.Value) { m.Set(9, -4); m.Remove(11) }),
		"chunk, values":                footer(dictionary, func(m *thrift.Value) { m.Set(5, huge) }),
		"chunk, type":                  footer(dictionary, func(m *thrift.Value) { m.Set(1, 1) }),
		"rows, huge":                   editFooter(t, dictionary, func(meta *thrift.Value) { meta.Items(4)[0].Set(3, math.MaxInt64) }),
		"rows, negative":               editFooter(t, dictionary, func(meta *thrift.Value) { meta.Items(4)[0].Set(3, -1) }),
		"schema, children":             editFooter(t, dictionary, func(meta *thrift.Value) { meta.Items(2)[0].Set(5, huge) }),
		"schema, fewer children":       editFooter(t, dictionary, func(meta *thrift.Value) { meta.Items(2)[0].Set(5, 2) }),
		"levels, length": pages(plainPages, format.DataPage, func(_ *thrift.Value, body []byte) []byte {
			binary.LittleEndian.PutUint32(body, math.MaxUint32)
			return body
		}),
		"levels, above": pages(plainPages, format.DataPage, func(_ *thrift.Value, body []byte) []byte {
			return append([]byte{3, 0, 0, 0, 0xd8, 4, 3}, body[widthAt(body):]...) // 300 times level 3 of 1
		}),
		"value, length": pages(plainPages, format.DataPage, func(_ *thrift.Value, body []byte) []byte {
			binary.LittleEndian.PutUint32(body[widthAt(body):], math.MaxUint32)
			return body
		}),
		"delta, one more or less": pages(deltaPages, format.DataPage, func(_ *thrift.Value, body []byte) []byte {
			body[widthAt(body)+3] ^= 1 // behind the sizes of blocks and miniblocks, 80 01 and 04
			return body
		}),
		"delta, count": pages(deltaPages, format.DataPage, func(_ *thrift.Value, body []byte) []byte {
			return append(body[:widthAt(body)], 0x80, 1, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0)
		}),
	} {
		if err := os.WriteFile(in, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: filepath.Join(dir, "out"), Workers: 1, Columns: []Column{{Name: "id", Plan: p}}})
		runtime.ReadMemStats(&after)
		if err == nil || strings.Contains(err.Error(), "does not read back") || !strings.Contains(name, "unpacked") && strings.Contains(err.Error(), "unpacks to") {
			t.Errorf("%s: %v", name, err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
			t.Errorf("%s: allocated %d MiB before the error, want 64 at most", name, took>>20)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

// TestParquetTrailing checks that bytes after the values of a page, which some writers leave,
// are not values, and that rewritten pages omit them.
func TestParquetTrailing(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet")
	for name, opts := range map[string][]arrowparquet.WriterProperty{
		"dictionary":   nil,
		"plain":        {arrowparquet.WithDictionaryDefault(false)},
		"delta":        {arrowparquet.WithDictionaryDefault(false), arrowparquet.WithEncodingFor("id", arrowparquet.Encodings.DeltaByteArray)},
		"delta length": {arrowparquet.WithDictionaryDefault(false), arrowparquet.WithEncodingFor("id", arrowparquet.Encodings.DeltaLengthByteArray)},
	} {
		rows := cells(300, 40)
		writeArrow(t, in, rows, append(opts, arrowparquet.WithCompression(arrowcompress.Codecs.Uncompressed))...)
		b, err := os.ReadFile(in)
		if err != nil {
			t.Fatal(err)
		}
		b = editPages(t, b, 1, func(h *thrift.Value, body []byte) []byte {
			return append(body, make([]byte, 8)...)
		})
		if err := os.WriteFile(in, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), Job{Inputs: []string{in}, Output: out, Force: true, Columns: []Column{{Name: "id", Plan: p}}}); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i, g := range readArrow(t, out) {
			want := rows[i].id
			if want != "" && !rows[i].null {
				want = transformOne(p, want)
			}
			if g.null != rows[i].null || !g.null && g.id != want {
				t.Fatalf("%s: row %d is %q", name, i, g.id)
			}
		}
	}
}

// TestParquetMemory checks that a page that needs more than Job.MaxMemory is refused before
// its memory is allocated, with the memory that it needs.
func TestParquetMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("the refusals are the same without the race detector")
	}
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.parquet"), filepath.Join(dir, "out.parquet")
	for name, opts := range map[string][]arrowparquet.WriterProperty{
		"plain":      {arrowparquet.WithDictionaryDefault(false), arrowparquet.WithDataPageSize(1 << 30), arrowparquet.WithBatchSize(1 << 20)},
		"dictionary": {arrowparquet.WithDictionaryPageSizeLimit(1 << 30)},
	} {
		writeArrow(t, in, cells(200_000, 150_000), append(opts, arrowparquet.WithCompression(arrowcompress.Codecs.Zstd))...)
		job := Job{Inputs: []string{in}, Output: out, Force: true, Columns: []Column{{Name: "id", Plan: p}}}
		for _, mib := range []int64{2, 6} { // less than the page; less than the page and its results
			job.MaxMemory = mib << 20
			_, err := Run(t.Context(), job)
			if e, ok := errors.AsType[*MemoryError](err); !ok || e.Limit != mib<<20 {
				t.Errorf("%s: %v", name, err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 1 {
				t.Errorf("%s: left %v", name, left)
			}
		}
		job.MaxMemory = 64 << 20
		if _, err := Run(t.Context(), job); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		os.Remove(out)
	}
}

// TestParquetRowsOfFaults checks that a value without a result is reported with its row, in
// every encoding, among nulls and in lists.
func TestParquetRowsOfFaults(t *testing.T) {
	p := plan(t, spec.Pseudonymise, reversible)
	dir := t.TempDir()
	in := filepath.Join(dir, "in.parquet")
	rows := cells(3000, 50)
	for _, i := range []int{700, 1501, 2999} {
		rows[i].id, rows[i].null = "\x01", false
		rows[i].codes = []string{"a", "\x02"}
	}
	for name, opts := range map[string][]arrowparquet.WriterProperty{
		"dictionary": {arrowparquet.WithDataPageSize(400), arrowparquet.WithBatchSize(100)},
		"groups":     {arrowparquet.WithMaxRowGroupLength(600), arrowparquet.WithBatchSize(100), arrowparquet.WithDataPageSize(400)},
		"plain":      {arrowparquet.WithDictionaryDefault(false), arrowparquet.WithDataPageSize(400), arrowparquet.WithBatchSize(100)},
		"v2":         {arrowparquet.WithDataPageVersion(arrowparquet.DataPageV2), arrowparquet.WithDataPageSize(400), arrowparquet.WithBatchSize(100)},
		"fallback":   {arrowparquet.WithDictionaryPageSizeLimit(300), arrowparquet.WithDataPageSize(400), arrowparquet.WithBatchSize(100)},
	} {
		writeArrow(t, in, rows, opts...)
		for _, column := range []string{"id", "codes"} {
			sum, err := Run(t.Context(), Job{Inputs: []string{in}, DryRun: true, Columns: []Column{{Name: column, Plan: p}}})
			if err != nil {
				t.Fatal(err)
			}
			var at []int64
			for _, f := range sum.Failures {
				at = append(at, f.Line)
			}
			if !slices.Equal(at, []int64{701, 1502, 3000}) || sum.Errors != 3 {
				t.Errorf("%s, %s: %d faults, in rows %v, want 3 in rows 701, 1502 and 3000", name, column, sum.Errors, at)
			}
			_, err = Run(t.Context(), Job{Inputs: []string{in}, Output: filepath.Join(dir, "out"), Columns: []Column{{Name: column, Plan: p}}})
			if err == nil || !strings.Contains(err.Error(), "row 701, column ") {
				t.Errorf("%s, %s: %v", name, column, err)
			}
		}
	}
}

// FuzzParquetFile runs over arbitrary files, which gives an error that leaves nothing, or an
// output that reads back.
func FuzzParquetFile(f *testing.F) {
	names, err := filepath.Glob("testdata/parquet/*.parquet")
	if err != nil || len(names) == 0 {
		f.Fatal("no files to begin with")
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	p := plan(f, spec.Pseudonymise, reversible)
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		in := filepath.Join(dir, "in.parquet")
		if err := os.WriteFile(in, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Run(t.Context(), Job{Inputs: []string{in}, Output: filepath.Join(dir, "out"), Workers: 1, OnError: Null, MaxMemory: 32 << 20, Columns: []Column{{Number: 2, Plan: p}}})
		if err != nil && strings.Contains(err.Error(), "does not read back") {
			t.Fatal(err)
		}
		if left, _ := os.ReadDir(dir); err != nil && len(left) != 1 {
			t.Fatalf("left %v", left)
		}
	})
}
