package jsonfast

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/campaign"
	"github.com/velonym/velonym/internal/simd"
)

// The tests of this file compare scans of random texts with encoding/json. Each text is judged
// once and scanned on every kernel. make soak continues with texts of other seeds.

// inputs is the number of random texts: n, or a third of them under -short.
func inputs(n int) int {
	if testing.Short() {
		return n / 3
	}
	return n
}

// TestArrayAgainstEncodingJSON compares Array.Scan with the oracle.
func TestArrayAgainstEncodingJSON(t *testing.T) {
	var a Array
	tried, accepted := 0, 0
	campaign.Run(t, inputs(60_000), campaigns, func(t *testing.T, r *rand.Rand, _ int) {
		var b []byte
		switch r.IntN(4) {
		case 0:
			b = randomText(r, 12)
		case 1:
			b = append(b, `{"data":[`...)
			b = append(append(b, randomText(r, 10)...), `]}`...)
		case 2:
			b = append(b, `{"data":[`...)
			for k := r.IntN(40); k > 0; k-- {
				if r.IntN(20) == 0 {
					b = randomValue(r, b, 3, true)
				} else {
					b = randomString(r, b)
				}
				b = append(b, ","[:min(1, k-1)]...)
			}
			b = mutate(r, append(b, `]}`...))
		case 3:
			b = mutate(r, randomValue(r, nil, 4, true))
		}
		want, ok := oracleData(b)
		valid := oracleValid(b)
		campaign.OnEachKernel(t, func(string) {
			compareData(t, &a, b, want, ok)
			if err := Validate(b); (err == nil) != valid {
				t.Fatalf("%.300q: accepted %v: %v", b, err == nil, err)
			} else if err != nil {
				checkOffset(t, b, err)
			}
		})
		tried++
		if len(a.Spans) > 0 {
			accepted++
		}
	})
	if accepted < tried/10 {
		t.Fatalf("only %d of %d texts were accepted", accepted, tried)
	}
}

// TestPathFinderAgainstEncodingJSON compares PathFinder.Scan with the oracle.
func TestPathFinderAgainstEncodingJSON(t *testing.T) {
	paths := []string{"id", "patient.id", "visits", "patient.visits.id", "data"}
	var finders map[string]*PathFinder // by kernel
	tried, accepted := 0, 0
	campaign.Run(t, inputs(30_000), campaigns, func(t *testing.T, r *rand.Rand, _ int) {
		if tried%1000 == 0 { // so that the results do not depend on earlier lines
			finders = newFinders(t, paths)
		}
		var b []byte
		switch r.IntN(4) {
		case 0:
			b = randomText(r, 12)
		case 1:
			for k := r.IntN(4); k >= 0; k-- {
				b = append(randomValue(r, b, 4, true), '\n')
			}
			b = mutate(r, b)
		default: // lines of one shape, the last one changed
			shape := r.Uint64()
			for k := r.IntN(9); k >= 0; k-- {
				b = append(shapedLine(r, rand.New(rand.NewPCG(shape, 0)), b), '\n')
			}
			switch r.IntN(3) {
			case 0:
				n := len(b) - r.IntN(min(len(b), 80))
				b = append(b[:n:n], mutate(r, bytes.Clone(b[n:]))...)
			case 1: // one structural character replaced by another, in lines of known shapes
				for n := 0; n < 1000; n++ {
					if k := r.IntN(len(b)); bytes.IndexByte([]byte(`"{}[]:,\-.0123456789eE+ tfn`), b[k]) >= 0 {
						b[k] = `"{}[]:,\-.05eE+ tfn`[r.IntN(19)]
						break
					}
				}
			}
		}
		want, rows, line := oracleLines(b, paths)
		campaign.OnEachKernel(t, func(kernel string) {
			compareLines(t, finders[kernel], b, want, rows, line)
		})
		tried++
		if line == 0 && slices.ContainsFunc(want, func(f find) bool { return f.kind == '"' && f.path >= 0 }) {
			accepted++
		}
	})
	if accepted < tried/10 {
		t.Fatalf("only %d of %d texts held a string", accepted, tried)
	}
}

// newFinders returns a finder for each kernel.
func newFinders(t *testing.T, paths []string) map[string]*PathFinder {
	t.Helper()
	finders := map[string]*PathFinder{}
	for _, k := range simd.Kernels() {
		f, err := NewPathFinder(paths)
		if err != nil {
			t.Fatal(err)
		}
		finders[k] = f
	}
	return finders
}

// scanDocument scans a document in pieces of size bytes, as a reader delivers them, up to the last
// cut of the splitter in each or in several of them.
func scanDocument(t *testing.T, f *PathFinder, text []byte, array bool, size int) (finds []find, rows, lines int, with []int, err error) {
	with = make([]int, len(f.RowsWith))
	take := func(part []byte, first, last bool) error {
		var err error
		if array {
			err = f.ScanItems(part, first, last)
		} else {
			err = f.ScanTexts(part)
		}
		if err != nil {
			return err
		}
		finds = append(finds, foundIn(t, f, part)...)
		rows, lines = rows+f.Rows, lines+f.Lines
		for p, n := range f.RowsWith {
			with[p] += n
		}
		return nil
	}
	s := NewSplitter(array)
	begin, at := 0, 0
	for at < len(text) && !s.Closed() {
		n := min(size, len(text)-at)
		cut := s.Next(text[at : at+n])
		if cut >= 0 && !s.Closed() {
			if err := take(text[begin:at+cut], begin == 0, false); err != nil {
				return nil, 0, 0, nil, err
			}
			begin = at + cut
		}
		at += n
	}
	err = take(text[begin:], begin == 0, true)
	return finds, rows, lines, with, err
}

// TestDocumentAgainstEncodingJSON compares scans of arrays and texts, in pieces of any size, with
// encoding/json's reading of each value.
func TestDocumentAgainstEncodingJSON(t *testing.T) {
	paths := []string{"id", "patient.id", "visits", "patient.visits.id", "data"}
	var cut [][]string
	all := []int{0, 1, 2, 3, 4}
	for _, p := range paths {
		cut = append(cut, strings.Split(p, "."))
	}
	var finders map[string]*PathFinder // by kernel
	tried, byShape := 0, map[string]int{}
	campaign.Run(t, inputs(1200), campaigns, func(t *testing.T, r *rand.Rand, number int) {
		if tried%20 == 0 { // a full tree of shapes learns no more
			for k, f := range finders {
				byShape[k] += f.RowsByShape()
			}
			finders = newFinders(t, paths)
		}
		tried++
		d := randomDocument(r)
		var want []find
		var per [][]find
		for _, v := range d.values {
			row := oracleFind(v, cut, 0, all)
			want, per = append(want, row...), append(per, row)
		}
		wantWith, wantLines := oracleRowsWith(per, len(paths)), bytes.Count(d.text, []byte("\n"))
		size := 1 + r.IntN(1<<r.IntN(18))
		bad := damaged(r, d)
		campaign.OnEachKernel(t, func(kernel string) {
			f := finders[kernel]
			got, rows, lines, with, err := scanDocument(t, f, d.text, d.array, size)
			if err != nil || rows != len(d.values) || lines != wantLines || !slices.EqualFunc(got, want, find.equal) {
				t.Fatalf("input %d, pieces of %d: %v, %d rows of %d, %d lines\n%.2000q\n got %+v\nwant %+v", number, size, err, rows, len(d.values), lines, d.text, got, want)
			}
			if !slices.Equal(with, wantWith) {
				t.Fatalf("input %d: rows with the paths %v, want %v: %.2000q", number, with, wantWith, d.text)
			}
			if bad == nil {
				return
			}
			if _, _, _, _, err := scanDocument(t, f, bad, true, size); err == nil {
				t.Fatalf("input %d: accepted %.2000q", number, bad)
			}
		})
	})
	for k, n := range byShape {
		if n < tried {
			t.Errorf("kernel %s: only %d items were read by shape in %d inputs", k, n, tried)
		}
	}
}

// damaged returns an array that is cut short, lacks a comma or is followed by other text, so that
// it is not JSON; nil if d is not an array or too short for that.
func damaged(r *rand.Rand, d document) []byte {
	if !d.array {
		return nil
	}
	bad := bytes.Clone(d.text)
	switch r.IntN(4) {
	case 0:
		bad = bad[:bytes.LastIndexByte(bad, ']')]
	case 1:
		bad = append(bad, "x]},[{"[r.IntN(6)])
	case 2:
		if bad = bad[:0:0]; len(d.values) < 2 {
			return nil
		}
		gone := 1 + r.IntN(len(d.values)-1)
		for k, v := range d.values {
			if k > 0 && k != gone {
				bad = append(bad, ',')
			}
			bad = append(append(bad, ' '), v...)
		}
		bad = append(bad, ']')
	case 3:
		bad = append(bad[:bytes.LastIndexByte(bad, ']')], ",]"...)
	}
	return bad
}
