package csvfast

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/velonym/velonym/internal/campaign"
	"github.com/velonym/velonym/internal/simd"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// dialects are those with which the kernels are tested.
var dialects = []Dialect{{}, {Comma: ';'}, {Comma: '\t', Quote: '\''}, {Comma: 0xfe, Quote: 0x80}, {Comma: 1, Quote: 0xff}}

// soup fills p with bytes that have a meaning in d and others, of which there are fewer the
// higher density is.
func soup(r *rand.Rand, p []byte, d Dialect, density, quotes int) {
	for i := range p {
		switch {
		case r.IntN(100) >= density:
			p[i] = "aé0 "[r.IntN(5)]
		case r.IntN(100) < quotes:
			p[i] = d.Quote
		default:
			p[i] = []byte{d.Comma, d.Comma, '\n', '\r', 0}[r.IntN(5)]
		}
	}
}

// TestIndexTwin compares entries and state of each kernel with those of the portable twin, for
// random blocks at every alignment, and checks that a kernel writes no further than it may.
func TestIndexTwin(t *testing.T) {
	const canary = 0xdeadbeef
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(13, 14))
		back := make([]byte, 64+window)
		out, want := make([]uint32, window+entryPadding+64), make([]uint32, window+entryPadding)
		for round := range rounds() / 40 {
			d := dialects[r.IntN(len(dialects))].normal()
			blocks := round % 24
			if round%100 == 0 {
				blocks = r.IntN(window/64 + 1)
			}
			p := back[round%64:][:blocks*64]
			soup(r, p, d, []int{1, 5, 20, 60, 100}[r.IntN(5)], []int{0, 1, 30, 60}[r.IntN(4)])
			st := indexState{comma: uint64(d.Comma), quote: uint64(d.Quote), mayOpen: uint64(r.IntN(2)), rows: 7, lines: 8}
			base := uint32(r.IntN(100) * 64)
			dense := r.IntN(2) == 0
			plain := r.IntN(3) == 0
			if !plain {
				st.inside = -uint64(r.IntN(2))
				st.quoted, st.doubled = -uint64(r.IntN(2)), -uint64(r.IntN(2))
				switch r.IntN(3) {
				case 0:
					st.closed = 1
				case 1:
					st.closedCR = 1
				}
			}
			twin := st
			for i := range out {
				out[i] = canary
			}
			if blocks == 0 { // the kernels are not called without blocks
				continue
			}
			var n, m int
			if plain {
				n, m = st.plain(p, base, out, dense), twin.plainGeneric(p, base, want)
			} else {
				n, m = st.strict(p, base, out, dense), twin.strictGeneric(p, base, want)
				st.bad, twin.bad = min(st.bad, 1), min(twin.bad, 1)
				st.quotes, twin.quotes = min(st.quotes, 1), min(twin.quotes, 1)
				st.doubles, twin.doubles = min(st.doubles, 1), min(twin.doubles, 1)
			}
			if n != m || !slices.Equal(out[:n], want[:m]) {
				t.Fatalf("plain %v, %d blocks %q:\n%x, want\n%x", plain, blocks, p, out[:n], want[:m])
			}
			if st != twin {
				t.Fatalf("plain %v, %d blocks %q:\nstate %+v, want\n%+v", plain, blocks, p, st, twin)
			}
			for i := n + entryPadding; i < len(out); i++ {
				if out[i] != canary {
					t.Fatalf("%d blocks, %d entries: wrote behind entry %d", blocks, n, i)
				}
			}
		}
	})
}

// TestSpansTwin compares the spans of entries of each kernel with those of the portable twin.
func TestSpansTwin(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(15, 16))
		back := make([]uint32, 400)
		for n := range 300 {
			ents := back[n%16 : n%16+1+n]
			for i := range ents {
				ents[i] = uint32(i*7) | uint32(r.IntN(8))<<29
			}
			out, want := make([]uint32, 2*n+entryPadding+8), make([]uint32, 2*n+entryPadding)
			out[2*n+entryPadding] = 12345
			entrySpans(ents, 1000, out)
			entrySpansGeneric(ents, 1000, want)
			if !slices.Equal(out[:2*n], want[:2*n]) || out[2*n+entryPadding] != 12345 {
				t.Fatalf("%d entries: %v, want %v", n, out, want)
			}
		}
	})
}

// checkAgainstScanRow compares a scan of buf by the kernel in use with scanRow.
func checkAgainstScanRow(t *testing.T, d Dialect, columns []int, fields int, buf []byte) {
	t.Helper()
	byRow(t, d, columns, fields, buf).compare(t)
}

// rowByRow is the result of scanRow for a buffer, with which the kernels are compared.
type rowByRow struct {
	d       Dialect
	columns []int
	fields  int
	buf     []byte
	want    *Selector
	err     error
	all     *Selector // of every field of rows of any length
	allErr  error
}

func byRow(t *testing.T, d Dialect, columns []int, fields int, buf []byte) *rowByRow {
	t.Helper()
	want, err := NewSelector(d, columns, fields)
	if err != nil {
		t.Fatal(err)
	}
	all, _ := NewSelector(d, nil, -1)
	w := &rowByRow{d: d, columns: columns, fields: fields, buf: buf, want: want, all: all}
	w.err, w.allErr = want.scanRows(buf, cursor{0, 1}), all.scanRows(buf, cursor{0, 1})
	return w
}

// compare scans the buffer by the kernel in use, as a Selector and as an Index.
func (by *rowByRow) compare(t *testing.T) {
	t.Helper()
	d, columns, fields, buf, want, wantErr := by.d, by.columns, by.fields, by.buf, by.want, by.err
	got, err := NewSelector(d, columns, fields)
	if err != nil {
		t.Fatal(err)
	}
	gotErr := got.Scan(buf)
	if fmt.Sprint(gotErr) != fmt.Sprint(wantErr) {
		t.Fatalf("%+v %v %d, %q:\n%+v, want\n%+v", d, columns, fields, buf, gotErr, wantErr)
	}
	var g, w *ParseError
	if errors.As(gotErr, &g) && errors.As(wantErr, &w) && *g != *w {
		t.Fatalf("%+v %v %d, %q:\n%+v, want\n%+v", d, columns, fields, buf, *g, *w)
	}
	if got.Rows != want.Rows || !slices.Equal(got.Spans, want.Spans) || !slices.Equal(got.Doubled, want.Doubled) || !slices.Equal(got.RowEnds, want.RowEnds) {
		t.Fatalf("%+v %v %d, %q:\n%d rows %v %v %v, want\n%d rows %v %v %v", d, columns, fields, buf,
			got.Rows, got.Spans, got.Doubled, got.RowEnds, want.Rows, want.Spans, want.Doubled, want.RowEnds)
	}
	if gotErr == nil && got.Lines != bytes.Count(buf, lf) {
		t.Fatalf("%q: %d lines, want %d", buf, got.Lines, bytes.Count(buf, lf))
	}
	by.compareIndex(t)
}

func (by *rowByRow) compareIndex(t *testing.T) {
	t.Helper()
	x, err := NewIndex(by.d)
	if err != nil {
		t.Fatal(err)
	}
	buf, quote := by.buf, by.d.normal().Quote
	x.Reset(buf)
	at, rows := 0, 0
	for x.Next() {
		for _, e := range x.Entries {
			end := x.Base + int(e&EntryPos)
			f := buf[at:end]
			at = end + 1
			if quoted := len(f) > 0 && f[0] == quote; quoted != (e&EntryQuoted != 0) {
				t.Fatalf("%q: entry %x of field %q, want quoted: %v", buf, e, f, quoted)
			}
			rows += int(e >> 31)
		}
	}
	if fmt.Sprint(by.allErr) != fmt.Sprint(x.Err()) {
		t.Fatalf("%q: index says %v, want %v", buf, x.Err(), by.allErr)
	}
	if by.allErr == nil && (rows < by.all.Rows || len(buf) > 0 && at != len(buf) && at != len(buf)+1) {
		t.Fatalf("%q: index has %d rows up to %d", buf, rows, at)
	}
}

// TestLengths scans buffers of every length up to some strides, and around windows, at every
// alignment.
func TestLengths(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	big := evenCSV(r, 3*window)
	back := make([]byte, 64+4*window)
	onEach := func(d Dialect, columns []int, buf []byte) {
		w := byRow(t, d, columns, -1, buf)
		campaign.OnEachKernel(t, func(string) { w.compare(t) })
	}
	check := func(n int) {
		d := dialects[r.IntN(len(dialects))].normal()
		p := back[n%64:][:n]
		for i, c := range big[:n] {
			switch c {
			case ',':
				c = d.Comma
			case '"':
				c = d.Quote
			case d.Comma, d.Quote:
				c = 'x'
			}
			p[i] = c
		}
		onEach(d, nil, p)
		onEach(d, []int{0, 2}, p)
		d = Dialect{}
		soup(r, p, d.normal(), 30, r.IntN(3))
		onEach(d, nil, p)
	}
	for n := range 257 {
		for range 8 {
			check(n)
		}
	}
	for _, near := range []int{1024, 2048, 4096, window, 2 * window} {
		for n := near - 66; n <= near+66; n++ {
			check(n)
			if n%4 == 0 {
				big = evenCSV(r, 3*window)
			}
		}
	}
}

// TestScanAllocations checks that a repeated scan allocates nothing.
func TestScanAllocations(t *testing.T) {
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(19, 20))
		var in []byte
		for {
			in = evenCSV(r, 100000)
			if any, _ := NewSelector(Dialect{}, []int{0}, 0); any.Scan(in) == nil && any.Rows > 0 {
				break
			}
		}
		for _, columns := range [][]int{nil, {0}} {
			s, err := NewSelector(Dialect{}, columns, 0)
			if err != nil {
				t.Fatal(err)
			}
			if n := testing.AllocsPerRun(10, func() {
				if err := s.Scan(in); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("columns %v: %v allocations for a scan, want none", columns, n)
			}
		}
		x, err := NewIndex(Dialect{})
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(10, func() {
			x.Reset(in)
			for x.Next() {
			}
			if x.Err() != nil {
				t.Fatal(x.Err())
			}
		}); n != 0 {
			t.Errorf("Index: %v allocations, want none", n)
		}
	})
}

// BenchmarkIndex has the names BenchmarkIndex/kernel/shape/size.
func BenchmarkIndex(b *testing.B) {
	r := rand.New(rand.NewPCG(21, 22))
	shapes := map[string][]byte{}
	for len(shapes["plain"]) < 1<<20 {
		shapes["plain"] = append(shapes["plain"], fmt.Sprintf("%d,name %x,town,%d.%02d,ok\n", r.IntN(1e6), r.IntN(1e9), r.IntN(1000), r.IntN(100))...)
	}
	for len(shapes["quoted"]) < 1<<20 {
		shapes["quoted"] = append(shapes["quoted"], fmt.Sprintf("%d,\"name, %x\",town,\"say \"\"%d\"\"\nwell\",ok\n", r.IntN(1e6), r.IntN(1e9), r.IntN(1000))...)
	}
	defer simd.Force(simd.Kernel())
	for _, k := range simd.Kernels() {
		for _, shape := range []string{"plain", "quoted"} {
			b.Run(fmt.Sprintf("%s/%s/1MiB", k, shape), func(b *testing.B) {
				if err := simd.Force(k); err != nil {
					b.Fatal(err)
				}
				x, err := NewIndex(Dialect{})
				if err != nil {
					b.Fatal(err)
				}
				in := shapes[shape]
				b.SetBytes(int64(len(in)))
				b.ReportAllocs()
				for b.Loop() {
					x.Reset(in)
					for x.Next() {
					}
					if x.Err() != nil {
						b.Fatal(x.Err())
					}
				}
			})
		}
	}
}
