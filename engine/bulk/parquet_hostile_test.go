package bulk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	arrowparquet "github.com/apache/arrow-go/v18/parquet"
	arrowcompress "github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/parquet-go/parquet-go/format"

	"github.com/velonym/velonym/engine/suite"
)

// chunkAt returns where the pages of a column of the first row group lie.
func chunkAt(t testing.TB, b []byte, column int) (start, size int64) {
	t.Helper()
	editFooter(t, b, func(meta *thriftValue) {
		m := meta.items(4)[0].items(1)[column].field(3)
		start, size = chunkStart(m), m.int(7)
	})
	return start, size
}

// editPages changes the pages of a column of the first row group, the last of the
// file's to be written, and the footer with them.
func editPages(t testing.TB, b []byte, column int, edit func(h *thriftValue, body []byte) []byte) []byte {
	t.Helper()
	start, size := chunkAt(t, b, column)
	n := int(binary.LittleEndian.Uint32(b[len(b)-8:]))
	footer := b[len(b)-8-n:]
	out := bytes.Clone(b[:start])
	data, first := int64(0), true
	for at := start; at < start+size; {
		h, k, err := readThrift(b[at : start+size])
		if err != nil {
			t.Fatal(err)
		}
		body := b[at+int64(k):][:h.int(3)]
		at += int64(k) + h.int(3)
		was := len(body)
		if body = edit(&h, bytes.Clone(body)); len(body) != was { // it is not packed
			h.put(2, thriftI32, int64(len(body)))
		}
		h.put(3, thriftI32, int64(len(body)))
		if h.int(1) != int64(format.DictionaryPage) && first {
			data, first = int64(len(out)), false
		}
		out = append(append(out, h.append(nil)...), body...)
	}
	moved := int64(len(out)) - start - size
	out = append(append(out, b[start+size:len(b)-8-n]...), footer...)
	return editFooter(t, out, func(meta *thriftValue) {
		for c := range meta.items(4)[0].items(1) {
			m := meta.items(4)[0].items(1)[c].field(3)
			switch {
			case c == column:
				m.put(7, thriftI64, size+moved)
				m.put(9, thriftI64, data)
			case chunkStart(m) > start:
				m.set(9, m.int(9)+moved)
				m.set(11, m.int(11)+moved)
			}
		}
	})
}

// TestParquetHostile: what a file says of itself is held against what it has: widths,
// counts and sizes that cannot be are errors that take no memory and leave nothing.
func TestParquetHostile(t *testing.T) {
	p := plan(t, suite.Pseudonymise, plain)
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
	footer := func(b []byte, edit func(m *thriftValue)) []byte {
		return editFooter(t, b, func(meta *thriftValue) { edit(meta.items(4)[0].items(1)[id].field(3)) })
	}
	pages := func(b []byte, kind format.PageType, edit func(h *thriftValue, body []byte) []byte) []byte {
		return editPages(t, b, id, func(h *thriftValue, body []byte) []byte {
			if h.int(1) == int64(kind) {
				return edit(h, body)
			}
			return body
		})
	}
	// The width of the indexes stands behind the levels: 4 bytes of length, and they.
	widthAt := func(body []byte) int { return 4 + int(binary.LittleEndian.Uint32(body)) }
	width := func(w byte) []byte {
		return pages(dictionary, format.DataPage, func(_ *thriftValue, body []byte) []byte {
			body[widthAt(body)] = w
			return body
		})
	}
	head := func(b []byte, kind format.PageType, field, sub int16, n int64) []byte {
		return pages(b, kind, func(h *thriftValue, body []byte) []byte {
			if sub != 0 {
				h.field(field).put(sub, thriftI32, n)
			} else {
				h.put(field, thriftI32, n)
			}
			return body
		})
	}
	huge := int64(math.MaxInt32)
	for name, b := range map[string][]byte{
		"width 33":   width(33),
		"width 255":  width(255),
		"width 0":    pages(dictionary, format.DataPage, func(_ *thriftValue, body []byte) []byte { return body[:widthAt(body)] }),
		"wide index": width(32),
		"index beyond": pages(dictionary, format.DataPage, func(_ *thriftValue, body []byte) []byte {
			at := widthAt(body)
			return append(body[:at], 5, 0xfe, 0xff, 0xff, 0x7f, 31) // a run of all, of entry 31
		}),
		"dictionary of fewer":          head(dictionary, format.DictionaryPage, 7, 1, 1),
		"dictionary of more":           head(dictionary, format.DictionaryPage, 7, 1, huge),
		"dictionary of less than none": head(dictionary, format.DictionaryPage, 7, 1, -1),
		"dictionary encoding":          head(dictionary, format.DictionaryPage, 7, 2, 7),
		"no dictionary":                footer(dictionary, func(m *thriftValue) { d := m.int(9) - m.int(11); m.set(7, m.int(7)-d); m.remove(11) }),
		"values, more":                 head(plainPages, format.DataPage, 5, 1, huge),
		"values, fewer":                head(plainPages, format.DataPage, 5, 1, 1),
		"values, negative":             head(plainPages, format.DataPage, 5, 1, -5),
		"unpacked, huge":               head(plainPages, format.DataPage, 2, 0, huge),
		"unpacked, negative":           head(plainPages, format.DataPage, 2, 0, -1),
		"unpacked, other":              head(plainPages, format.DataPage, 2, 0, 10),
		"packed, beyond":               footer(plainPages, func(m *thriftValue) { m.set(7, m.int(7)-1) }),
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
		"chunk, huge":                  footer(dictionary, func(m *thriftValue) { m.set(7, math.MaxInt64) }),
		"chunk, negative":              footer(dictionary, func(m *thriftValue) { m.set(7, -9) }),
		"chunk, empty":                 footer(dictionary, func(m *thriftValue) { m.set(7, 0) }),
		"chunk, beyond":                footer(dictionary, func(m *thriftValue) { m.set(9, math.MaxInt64-5); m.set(11, math.MaxInt64-9) }),
		"chunk, before the file":       footer(dictionary, func(m *thriftValue) { m.set(9, -4); m.remove(11) }),
		"chunk, values":                footer(dictionary, func(m *thriftValue) { m.set(5, huge) }),
		"chunk, type":                  footer(dictionary, func(m *thriftValue) { m.set(1, 1) }),
		"rows, huge":                   editFooter(t, dictionary, func(meta *thriftValue) { meta.items(4)[0].set(3, math.MaxInt64) }),
		"rows, negative":               editFooter(t, dictionary, func(meta *thriftValue) { meta.items(4)[0].set(3, -1) }),
		"schema, children":             editFooter(t, dictionary, func(meta *thriftValue) { meta.items(2)[0].set(5, huge) }),
		"schema, fewer children":       editFooter(t, dictionary, func(meta *thriftValue) { meta.items(2)[0].set(5, 2) }),
		"levels, length": pages(plainPages, format.DataPage, func(_ *thriftValue, body []byte) []byte {
			binary.LittleEndian.PutUint32(body, math.MaxUint32)
			return body
		}),
		"levels, above": pages(plainPages, format.DataPage, func(_ *thriftValue, body []byte) []byte {
			return append([]byte{3, 0, 0, 0, 0xd8, 4, 3}, body[widthAt(body):]...) // 300 times level 3 of 1
		}),
		"value, length": pages(plainPages, format.DataPage, func(_ *thriftValue, body []byte) []byte {
			binary.LittleEndian.PutUint32(body[widthAt(body):], math.MaxUint32)
			return body
		}),
		"delta, one more or less": pages(deltaPages, format.DataPage, func(_ *thriftValue, body []byte) []byte {
			body[widthAt(body)+3] ^= 1 // behind the sizes of blocks and miniblocks, 80 01 and 04
			return body
		}),
		"delta, count": pages(deltaPages, format.DataPage, func(_ *thriftValue, body []byte) []byte {
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
			t.Errorf("%s: took %d MiB", name, took>>20)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%s: left %v", name, left)
		}
	}
}

// TestParquetTrailing: bytes behind the values of a page, as some writers leave
// them, are no values, and of pages that are written anew they are gone.
func TestParquetTrailing(t *testing.T) {
	p := plan(t, suite.Pseudonymise, plain)
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
		b = editPages(t, b, 1, func(h *thriftValue, body []byte) []byte {
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
				want = one(p, want)
			}
			if g.null != rows[i].null || !g.null && g.id != want {
				t.Fatalf("%s: row %d is %q", name, i, g.id)
			}
		}
	}
}

// TestParquetMemory: what a page needs is held against --max-memory before it is
// taken, and said.
func TestParquetMemory(t *testing.T) {
	p := plan(t, suite.Pseudonymise, plain)
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
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("more than --max-memory allows, %d MiB; raise it", mib)) {
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

// TestRLE: the hybrid is decoded as the library does, at every width, in runs of
// every length; no bytes make it panic, go on, or give more values than asked for.
func TestRLE(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for width := range 33 {
		for n := range 70 {
			want := make([]int32, n*13)
			for i := range want {
				if i > 0 && rng.IntN(9) > 0 {
					want[i] = want[i-1]
				} else {
					want[i] = int32(rng.Uint32() & uint32(uint64(1)<<width-1))
				}
			}
			e := rle.Encoding{BitWidth: width}
			var b []byte
			var err error
			if width > 0 {
				if b, err = e.EncodeInt32(nil, want); err != nil {
					t.Fatal(err)
				}
			} else {
				b = binary.AppendUvarint(nil, uint64(len(want))<<1)
			}
			d, err := newRLE(b, width, int64(len(want)))
			if err != nil {
				t.Fatal(err)
			}
			got := []int32{}
			for {
				v, k, group, err := d.next()
				if err != nil {
					t.Fatalf("width %d, %d values: %v", width, len(want), err)
				}
				if k == 0 && len(group) == 0 {
					break
				}
				for range k {
					got = append(got, int32(v))
				}
				for _, v := range group {
					got = append(got, int32(v))
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("width %d: %d values differ", width, len(want))
			}
		}
	}
}

// TestRLEShort: bytes that end before the values do are an error, and what may be cut
// short is only what no value needs.
func TestRLEShort(t *testing.T) {
	for width := 1; width <= 32; width++ {
		for n := 1; n <= 24; n++ {
			groups := (n + 7) / 8
			need := (n*width + 7) / 8
			for size := range groups*width + 1 {
				b := append([]byte{byte(groups)<<1 | 1}, make([]byte, size)...)
				d, err := newRLE(b, width, int64(n))
				if err != nil {
					t.Fatal(err)
				}
				got := 0
				for {
					_, k, group, e := d.next()
					if err = e; e != nil || k == 0 && len(group) == 0 {
						break
					}
					got += int(k) + len(group)
				}
				if (err == nil) != (size >= need) || err == nil && got != n {
					t.Fatalf("width %d, %d values in %d bytes of %d: %d, %v", width, n, size, need, got, err)
				}
			}
		}
	}
}

// TestParquetRowsOfFaults: a value without a result is found by its row, whatever
// the encoding, among nulls and in lists.
func TestParquetRowsOfFaults(t *testing.T) {
	p := plan(t, suite.Pseudonymise, plain)
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
				t.Errorf("%s, %s: %d faults, in rows %v", name, column, sum.Errors, at)
			}
			_, err = Run(t.Context(), Job{Inputs: []string{in}, Output: filepath.Join(dir, "out"), Columns: []Column{{Name: column, Plan: p}}})
			if err == nil || !strings.Contains(err.Error(), "row 701, column ") {
				t.Errorf("%s, %s: %v", name, column, err)
			}
		}
	}
}

// TestDelta: both delta encodings give what the library packed, in batches too.
func TestDelta(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 2))
	for i := range 400 {
		var all []byte
		offsets := []uint32{0}
		for range rng.IntN(700) {
			piece := strings.Repeat("prefix", rng.IntN(3)) + strings.Repeat("x", rng.IntN(1+i))
			all = append(all, piece...)
			offsets = append(offsets, uint32(len(all)))
		}
		var one delta.LengthByteArrayEncoding
		var two delta.ByteArrayEncoding
		for _, e := range []format.Encoding{format.DeltaLengthByteArray, format.DeltaByteArray} {
			var b []byte
			var err error
			if e == format.DeltaByteArray {
				b, err = two.EncodeByteArray(nil, all, offsets)
			} else {
				b, err = one.EncodeByteArray(nil, all, offsets)
			}
			if err != nil {
				t.Fatal(err)
			}
			var v pageValues
			if err := v.begin(e, b, int64(len(offsets)-1)); err != nil {
				t.Fatal(err)
			}
			at := 0
			for v.left > 0 {
				arena, spans, err := v.next()
				if err != nil {
					t.Fatalf("%v, round %d: %v", e, i, err)
				}
				for k := 0; k < len(spans); k += 2 {
					if got, want := arena[spans[k]:][:spans[k+1]], all[offsets[at]:offsets[at+1]]; !bytes.Equal(got, want) {
						t.Fatalf("%v, round %d, value %d: %q, want %q", e, i, at, got, want)
					}
					at++
				}
			}
		}
	}
}

// FuzzParquetFile: whatever a file holds, a run of it ends with an error that leaves
// nothing, or with an output that reads back.
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
	p := plan(f, suite.Pseudonymise, plain)
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

// FuzzParquetPages: whatever stands in a page's values and levels, decoding ends,
// with an error or with as many values as were asked for.
func FuzzParquetPages(f *testing.F) {
	f.Add([]byte{3, 0x88, 0xc6, 0xfa}, uint8(0), int16(8))
	f.Add([]byte{0x80, 1, 4, 9, 2, 2, 0, 0, 0, 0}, uint8(2), int16(9))
	f.Add([]byte{1, 0, 0, 0, 'a', 0, 0, 0, 0}, uint8(1), int16(2))
	f.Fuzz(func(t *testing.T, b []byte, kind uint8, n int16) {
		count := max(int64(n), 0)
		v := pageValues{dict: []byte("abc"), dictAt: []uint32{0, 1, 1, 2, 3, 0}}
		e := []format.Encoding{format.RLEDictionary, format.Plain, format.DeltaLengthByteArray, format.DeltaByteArray}[kind%4]
		got := int64(0)
		err := v.begin(e, b, count)
		for err == nil && v.left > 0 {
			var arena []byte
			var spans []uint32
			if arena, spans, err = v.next(); err != nil {
				break
			}
			got += int64(len(spans) / 2)
			for i := 0; i < len(spans); i += 2 {
				_ = arena[spans[i]:][:spans[i+1]]
			}
			if len(spans) == 0 {
				t.Fatal("no value, no error")
			}
		}
		if err == nil && got != count {
			t.Fatalf("%d values, not %d", got, count)
		}
		if full, below, zero, err := countLevels(b, int(kind%4), count); err == nil && (full > count || below > count || zero > count) {
			t.Fatalf("%d, %d, %d levels of %d", full, below, zero, count)
		}
	})
}
