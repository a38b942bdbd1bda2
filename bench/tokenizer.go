package bench

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"

	"github.com/velonym/velonym/csvfast"
	"github.com/velonym/velonym/internal/simd"
)

// tokenizerGoals holds floor and aim for each shape.
var tokenizerGoals = map[string]struct{ index, all, two, generic, reader [2]float64 }{
	"narrow": {index: [2]float64{0.5, 0.8}, all: [2]float64{10, 16}, two: [2]float64{16, 25}, generic: [2]float64{1.5, 2.2}, reader: [2]float64{3, 5}},
	"quoted": {index: [2]float64{0.35, 0.5}, all: [2]float64{4, 7}, two: [2]float64{9, 14}, generic: [2]float64{1.5, 2.2}, reader: [2]float64{2, 3}},
	"wide":   {index: [2]float64{0.45, 0.75}, all: [2]float64{12, 18}, two: [2]float64{28, 60}, generic: [2]float64{1.5, 2.2}, reader: [2]float64{3, 4.5}},
}

// tokenizerPiece is the number of bytes that a Selector scans per call, as in a stream.
const tokenizerPiece = 64 << 10

// Tokenizer measures csvfast on one core in memory: the structural index against a bare
// read pass, all fields and selected columns against encoding/csv, and JSON against
// encoding/json.
func Tokenizer(ctx context.Context, o Options) (*Section, error) {
	best := simd.Kernel()
	defer func() { _ = simd.Force(best) }() // cannot fail: the kernel was in use
	size := o.Size
	if size == 0 {
		size = 64 << 20
		if o.Quick {
			size = 1 << 20
		}
	}
	s := &Section{
		Name: "tokenizer", Title: "Tokenizer, one core", Command: "velonym bench tokenizer",
		Notes: []string{
			fmt.Sprintf("Kernel %s. In memory, %d MiB of each shape that do not repeat: narrow is 8 columns without quotes, quoted 8 columns with three fields of ten in quotes, wide 100 columns of short numbers. encoding/csv reads with ReuseRecord. Selectors scan %d KiB at a time. Rows marked with a share of the read pass compare with a bare read of the same memory.", best, size>>20, tokenizerPiece>>10),
		},
	}
	for i, shape := range Shapes[:3] {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		o.logf("tokenizer: %s", shape)
		data, err := Data(shape, size, uint64(i)+1)
		if err != nil {
			return nil, err
		}
		rows, err := tokenizerCSV(o, shape, data, best)
		if err != nil {
			return nil, err
		}
		s.Rows = append(s.Rows, rows...)
	}
	if err := simd.Force(best); err != nil {
		return nil, err
	}
	o.logf("tokenizer: json")
	rows, err := tokenizerJSON(ctx, o)
	if err != nil {
		return nil, err
	}
	s.Rows = append(s.Rows, rows...)
	return s, nil
}

// tally counts what a pass over a file found. Correct passes over the same fields have
// equal tallies.
type tally struct{ rows, values, bytes int }

// tokenizerCSV measures one shape.
func tokenizerCSV(o Options, shape string, data []byte, best string) ([]Row, error) {
	kernels := simd.Kernels()
	bothTiers := slices.Contains(kernels, "avx512") && slices.Contains(kernels, "avx2")
	all, two, index, want, err := checkedTokenizers(shape, data)
	if err != nil {
		return nil, err
	}
	scratch := make([]byte, 0, 64<<10)
	var sink uint64
	odd := false
	bytesOf := func(name string, kernel string, run func() error) Case {
		return Case{Name: shape + ": " + name, Amount: float64(len(data)), Run: func() error {
			if err := simd.Force(kernel); err != nil {
				return err
			}
			return run()
		}}
	}
	runIndex := func() error {
		n := 0
		index.Reset(data)
		for index.Next() {
			n += len(index.Entries)
		}
		sink += uint64(n)
		return index.Err()
	}
	runAll := func() error {
		_, err := tallySelector(data, all, scratch)
		return err
	}
	cases := []Case{
		bytesOf("bare read pass", best, func() error { sink += readPass(data); return nil }),
		bytesOf("strict index", best, runIndex),
		bytesOf("quote parity", best, func() error { odd = odd != csvfast.Dialect{}.Parity(data); return nil }),
		bytesOf("encoding/csv", best, func() error { _, err := readEncodingCSV(data); return err }),
		bytesOf("all fields, unescaped", best, runAll),
		bytesOf("2 columns", best, func() error { _, err := tallySelector(data, two, scratch); return err }),
		bytesOf("all fields, generic", "generic", runAll),
		bytesOf("Reader, borrowed records", best, func() error { _, err := readBorrowed(data); return err }),
	}
	if bothTiers {
		cases = append(cases,
			bytesOf("strict index, avx512", "avx512", runIndex),
			bytesOf("strict index, avx2", "avx2", runIndex))
	}
	stats, err := Interleave(o.rounds(), cases)
	if err != nil {
		return nil, err
	}
	runtime.KeepAlive(sink)
	runtime.KeepAlive(odd)
	if err := simd.Force(best); err != nil {
		return nil, err
	}
	g := tokenizerGoals[shape]
	const gb = 1e9
	read, std := stats[0], stats[3]
	rows := []Row{
		Plain(read, "GB/s", gb),
		Against(stats[1], read, "GB/s", gb, g.index[0], g.index[1]),
		Against(stats[2], read, "GB/s", gb, 0.6, 0.85),
		Plain(std, "GB/s", gb),
		Against(stats[4], std, "GB/s", gb, g.all[0], g.all[1]),
		Against(stats[5], std, "GB/s", gb, g.two[0], g.two[1]),
		Against(stats[6], std, "GB/s", gb, g.generic[0], g.generic[1]),
		Against(stats[7], std, "GB/s", gb, g.reader[0], g.reader[1]),
	}
	if bothTiers {
		rows = append(rows, Against(stats[9], stats[8], "GB/s", gb, 0.3, 0.45))
	}
	allocations, err := allocationRow(shape, data, all, want.rows)
	return append(rows, allocations), err
}

// checkedTokenizers returns a selector of all fields, a selector of two columns, and an
// index. It returns an error unless with every kernel they find what encoding/csv finds,
// which is want.
func checkedTokenizers(shape string, data []byte) (all, two *csvfast.Selector, index *csvfast.Index, want tally, err error) {
	if all, err = csvfast.NewSelector(csvfast.Dialect{}, nil, 0); err != nil {
		return
	}
	if two, err = csvfast.NewSelector(csvfast.Dialect{}, []int{1, 5}, 0); err != nil {
		return
	}
	if index, err = csvfast.NewIndex(csvfast.Dialect{}); err != nil {
		return
	}
	want, wantTwo, err := tallyEncodingCSV(data)
	if err != nil {
		return all, two, index, want, err
	}
	for _, k := range simd.Kernels() {
		if err := simd.Force(k); err != nil {
			return all, two, index, want, err
		}
		if err := tokenizerCheck(data, all, two, index, want, wantTwo); err != nil {
			return all, two, index, want, fmt.Errorf("%w (%s, kernel %s)", err, shape, k)
		}
	}
	return all, two, index, want, nil
}

// allocationRow counts the allocations per row of a scan. It takes the minimum of five
// passes because the runtime sometimes allocates for itself.
func allocationRow(shape string, data []byte, all *csvfast.Selector, rows int) (Row, error) {
	scratch := make([]byte, 0, 64<<10)
	fewest := math.Inf(1)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := tallySelector(data, all, scratch); err != nil {
			return Row{}, err
		}
		runtime.ReadMemStats(&after)
		fewest = min(fewest, float64(after.Mallocs-before.Mallocs)/float64(rows))
	}
	return Row{Name: shape + ": allocations a row, all fields", Median: fewest, Min: fewest, Max: fewest, Note: "must be 0"}, nil
}

// readEncodingCSV reads data with encoding/csv and returns the bytes in all fields.
func readEncodingCSV(data []byte) (n int, err error) {
	r := csv.NewReader(bytes.NewReader(data))
	r.ReuseRecord = true
	for {
		record, err := r.Read()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		for _, f := range record {
			n += len(f)
		}
	}
}

// readBorrowed reads data with csvfast's Reader and returns the bytes in all fields.
func readBorrowed(data []byte) (n int, err error) {
	r := csvfast.NewReader(bytes.NewReader(data))
	for {
		record, err := r.ReadBorrowed()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		for _, f := range record {
			n += len(f)
		}
	}
}

// tallyEncodingCSV returns the tallies of encoding/csv for all columns, and for columns 1
// and 5. It counts both bytes of a CRLF within quotes, which encoding/csv shortens.
func tallyEncodingCSV(data []byte) (all, two tally, err error) {
	r := csv.NewReader(bytes.NewReader(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\x00\n"))))
	r.ReuseRecord = true
	for {
		record, err := r.Read()
		if err == io.EOF {
			return all, two, nil
		}
		if err != nil {
			return all, two, err
		}
		all.rows++
		two.rows++
		for c, f := range record {
			all.values++
			all.bytes += len(f)
			if c == 1 || c == 5 {
				two.values++
				two.bytes += len(f)
			}
		}
	}
}

// tallySelector scans data in pieces and unescapes doubled quotes.
func tallySelector(data []byte, s *csvfast.Selector, scratch []byte) (t tally, err error) {
	for at := 0; at < len(data); {
		end := min(at+tokenizerPiece, len(data))
		n := end - at
		if end == len(data) {
			err = s.Scan(data[at:])
		} else {
			n, err = s.ScanPart(data[at:end])
		}
		if err != nil {
			return t, err
		}
		piece := data[at:end]
		var sum uint32
		for i := 1; i < len(s.Spans); i += 2 {
			sum += s.Spans[i]
		}
		t.bytes += int(sum)
		for _, v := range s.Doubled {
			raw := piece[s.Spans[2*v]:][:s.Spans[2*v+1]]
			t.bytes += len(csvfast.Dialect{}.Unquote(scratch[:0], raw)) - len(raw)
		}
		t.rows += s.Rows
		t.values += len(s.Spans) / 2
		at += n
	}
	return t, nil
}

// tokenizerCheck returns an error unless every csvfast reader finds in data what
// encoding/csv finds.
func tokenizerCheck(data []byte, all, two *csvfast.Selector, index *csvfast.Index, want, wantTwo tally) error {
	if got, err := tallySelector(data, all, nil); err != nil || got != want {
		return fmt.Errorf("bench: all fields: %+v, want %+v: %v", got, want, err)
	}
	if got, err := tallySelector(data, two, nil); err != nil || got != wantTwo {
		return fmt.Errorf("bench: 2 columns: %+v, want %+v: %v", got, wantTwo, err)
	}
	var got tally
	index.Reset(data)
	for index.Next() {
		got.values += len(index.Entries)
		for _, e := range index.Entries {
			got.rows += int(e >> 31)
		}
	}
	if err := index.Err(); err != nil || got.values != want.values || got.rows != want.rows {
		return fmt.Errorf("bench: index: %+v, want %+v: %v", got, want, err)
	}
	if n, err := readBorrowed(data); err != nil || n != want.bytes {
		return fmt.Errorf("bench: Reader: %d bytes, want %d: %v", n, want.bytes, err)
	}
	if odd := (csvfast.Dialect{}).Parity(data); odd != (bytes.Count(data, []byte{'"'})&1 == 1) {
		return fmt.Errorf("bench: parity is %v", odd)
	}
	return nil
}
