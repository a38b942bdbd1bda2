package csvfast

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/velonym/velonym/internal/campaign"
	"github.com/velonym/velonym/internal/simd"
)

var fuzzSeeds = []string{
	"", "\r", "\n", "\r\n", "a", "a,b\nc,d\n", "a,b\r\nc,d\r\n", "\"a\",\"b\"\r\n", "\"a\"\"b\",c\n", "\"a\nb\"\n", "\"a\r\nb\",\r\n",
	"a\"b\n", "\"a\"b\n", "\"a", "\"a\n\r", "\"\"", "\"\"\"\"", "\"\"\"", "a,\r", "\"a\"\r", "\"a\"\r\r\n", "\r\r\n", "\n\na,b\n\n\"\"\n",
	"a,b\nc\n", "a\nb,c\n", ",\n,\n", "1,2,3\n\"4\n5\",6,7\n8,9,\"1\"\"0\"\r\n",
}

// FuzzIndex compares every kernel with scanRow and encoding/csv.
func FuzzIndex(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add([]byte(s), byte(','), byte('"'), uint8(0), int8(0))
		f.Add(bytes.Repeat([]byte(s), 70), byte(';'), byte('\''), uint8(5), int8(-1))
	}
	f.Fuzz(func(t *testing.T, in []byte, comma, quote byte, choice uint8, fields int8) {
		d := Dialect{Comma: comma, Quote: quote}
		var columns []int
		for c := range 8 {
			if choice>>c&1 == 1 {
				columns = append(columns, c)
			}
		}
		if _, err := NewSelector(d, columns, int(fields)); err != nil {
			return
		}
		defer simd.Force(simd.Kernel())
		for _, k := range simd.Kernels() {
			simd.Force(k)
			checkAgainstScanRow(t, d, columns, int(fields), in)
		}
	})
}

// FuzzReader compares a Reader with encoding/csv's.
func FuzzReader(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add([]byte(s), int8(0), false)
		f.Add(bytes.Repeat([]byte(s), 70), int8(-1), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, fields int8, slowly bool) {
		defer simd.Force(simd.Kernel())
		for _, k := range simd.Kernels() {
			simd.Force(k)
			if slowly {
				checkReader(t, in, iotest.OneByteReader(bytes.NewReader(in)), int(fields))
			} else {
				checkReader(t, in, bytes.NewReader(in), int(fields))
			}
			s, err := NewSelector(Dialect{}, nil, -1)
			if err != nil {
				t.Fatal(err)
			}
			checkScan(t, s, in, nil, -1)
		}
	})
}

// FuzzSplit compares parities and row ends of every kernel with rowEnds.
func FuzzSplit(f *testing.F) {
	for _, s := range fuzzSeeds {
		f.Add([]byte(s), byte('"'), uint16(3), false)
		f.Add(bytes.Repeat([]byte(s), 70), byte('\''), uint16(300), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, quote byte, cut uint16, inside bool) {
		d := Dialect{Quote: quote}
		if quote == '\n' {
			return // not a valid dialect
		}
		defer simd.Force(simd.Kernel())
		for _, k := range simd.Kernels() {
			simd.Force(k)
			ends, end := rowEnds(d, in, inside)
			first, last := -1, -1
			if len(ends) > 0 {
				first, last = ends[0], ends[len(ends)-1]
			}
			if d.Parity(in) != (end != inside) || d.FirstRowEnd(in, inside) != first || d.LastRowEnd(in, inside) != last {
				t.Fatalf("kernel %s: parity %v, first %d, last %d; want %v, %d, %d", k,
					d.Parity(in), d.FirstRowEnd(in, inside), d.LastRowEnd(in, inside), end != inside, first, last)
			}
			at := min(int(cut), len(in))
			if (d.Parity(in[:at]) != d.Parity(in[at:])) != d.Parity(in) {
				t.Fatalf("kernel %s: the parities of the parts do not combine to that of the whole", k)
			}
		}
	})
}

// FuzzWrite checks that a field is quoted if it must be, and that it reads back unchanged.
func FuzzWrite(f *testing.F) {
	f.Add([]byte("a\"b\\c\x00\x1f é,;\r\n"))
	f.Add([]byte(strings.Repeat("abcdefgh", 20) + "\""))
	f.Fuzz(func(t *testing.T, v []byte) {
		campaign.OnEachKernel(t, func(string) {
			for _, d := range []Dialect{{}, {Comma: ';', Quote: '\''}} {
				n := d.normal()
				needs := bytes.ContainsAny(v, "\r\n") || bytes.IndexByte(v, n.Comma) >= 0 || bytes.IndexByte(v, n.Quote) >= 0
				if d.NeedsQuotes(v) != needs {
					t.Fatalf("%q: needs quotes %v", v, !needs)
				}
				field := d.AppendField(nil, v, false)
				if !needs && !bytes.Equal(field, v) {
					t.Fatalf("%q: written as %q, want it unchanged", v, field)
				}
				if needs && !bytes.Equal(d.Unquote(nil, field[1:len(field)-1]), v) {
					t.Fatalf("%q: written as %q", v, field)
				}
			}
		})
	})
}
