package jsonfast

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd/simdtest"
)

// document is a JSON array, or JSON texts, with its values known.
type document struct {
	text   []byte // behind the '[' of the array
	values [][]byte
	array  bool
}

func randomDocument(r *rand.Rand) document {
	d := document{array: r.IntN(3) > 0}
	spaces := []string{"", "", " ", "\n", "\r\n  ", "\n\n\t"}
	before, behind := spaces[r.IntN(len(spaces))], spaces[r.IntN(len(spaces))]
	shape := r.Uint64()
	for k := r.IntN(120); k >= 0; k-- {
		if r.IntN(50) == 0 {
			shape = r.Uint64()
		}
		var v []byte
		if r.IntN(8) == 0 {
			for {
				if v = randomValue(r, nil, 4, true); d.array || len(v) > 0 && (v[0] == '{' || v[0] == '[') {
					break
				}
			}
		} else {
			v = shapedLine(r, rand.New(rand.NewPCG(shape, 0)), nil)
		}
		d.values = append(d.values, bytes.TrimSpace(v))
		if len(d.values) > 1 && d.array {
			d.text = append(d.text, ',')
		}
		d.text = append(append(append(d.text, before...), v...), behind...)
	}
	if d.array {
		d.text = append(d.text, ']')
	}
	d.text = append(d.text, spaces[r.IntN(len(spaces))]...)
	return d
}

// scanDocument finds in pieces as a reader gives them: cut at the splitter's last
// cut of each read, or of several.
func scanDocument(t *testing.T, f *PathFinder, text []byte, array bool, read func() int) (finds []find, rows, lines int, with []int, err error) {
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
		n := min(read(), len(text)-at)
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

// TestDocumentAgainstEncodingJSON holds the items of arrays and texts, in pieces of
// every size, against what encoding/json makes of each value.
func TestDocumentAgainstEncodingJSON(t *testing.T) {
	rounds := 3_000 // for each kernel
	if testing.Short() {
		rounds = 600
	}
	paths := []string{"id", "patient.id", "visits", "patient.visits.id", "data"}
	var cut [][]string
	all := []int{0, 1, 2, 3, 4}
	for _, p := range paths {
		cut = append(cut, strings.Split(p, "."))
	}
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 1))
		f, err := NewPathFinder(paths)
		if err != nil {
			t.Fatal(err)
		}
		byShape := 0
		for round := range rounds {
			if round%20 == 0 { // or a full tree would learn nothing more
				byShape += f.RowsByShape()
				f, _ = NewPathFinder(paths)
			}
			d := randomDocument(r)
			var want []find
			var per [][]find
			for _, v := range d.values {
				row := oracleFind(v, cut, 0, all)
				want, per = append(want, row...), append(per, row)
			}
			size := 1 + r.IntN(1<<r.IntN(18))
			got, rows, lines, with, err := scanDocument(t, f, d.text, d.array, func() int { return size })
			if err != nil || rows != len(d.values) || lines != bytes.Count(d.text, []byte("\n")) || !slices.EqualFunc(got, want, find.equal) {
				t.Fatalf("round %d, pieces of %d: %v, %d rows of %d, %d lines\n%.2000q\n got %+v\nwant %+v", round, size, err, rows, len(d.values), lines, d.text, got, want)
			}
			if n := oracleRowsWith(per, len(paths)); !slices.Equal(with, n) {
				t.Fatalf("round %d: rows with the paths %v, want %v: %.2000q", round, with, n, d.text)
			}
			// Cut short, with a comma gone, with something behind: refused.
			bad := bytes.Clone(d.text)
			if !d.array {
				continue
			}
			switch r.IntN(4) {
			case 0:
				bad = bad[:bytes.LastIndexByte(bad, ']')]
			case 1:
				bad = append(bad, "x]},[{"[r.IntN(6)])
			case 2:
				if bad = d.text[:0:0]; len(d.values) < 2 {
					continue
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
			if _, _, _, _, err := scanDocument(t, f, bad, true, func() int { return size }); err == nil {
				t.Fatalf("round %d: accepted %.2000q", round, bad)
			}
		}
		if byShape < rounds {
			t.Fatalf("only %d items were read by shape in %d rounds", byShape, rounds)
		}
	})
}

// TestSplitterAgainstPieces: the cuts are the same however a text is given.
func TestSplitterAgainstPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 2))
	for range 3_000 {
		d := randomDocument(r)
		text := d.text
		if r.IntN(2) == 0 {
			text = mutate(r, bytes.Clone(text))
		}
		last := func(size int) (cuts string, closed bool) {
			s := NewSplitter(d.array)
			at := -1
			for i := 0; i < len(text); i += size {
				if k := s.Next(text[i:min(i+size, len(text))]); k >= 0 {
					at = i + k
				}
			}
			return fmt.Sprint(at), s.Closed()
		}
		want, closed := last(len(text) + 1)
		for _, size := range []int{1, 2, 3, 7, 8, 9, 64, 1 + r.IntN(300)} {
			if got, c := last(size); got != want || c != closed {
				t.Fatalf("pieces of %d: cut %s, closed %v; whole: %s, %v: %q", size, got, c, want, closed, text)
			}
		}
	}
}

// TestRowsWithPaths: rows that lack members in ever other ways are counted for each
// path, by shape too, as lines and as items.
func TestRowsWithPaths(t *testing.T) {
	paths := []string{"id", "p.nr", "p.x", "q.y"}
	members := []string{`"id":"a"`, `"id":null`, `"p":{"nr":"b"}`, `"p":{"nr":"b","x":"c"}`, `"p":"cut short"`, `"p":null`, `"p":{}`, `"q":{"y":1}`, `"q":7`, `"z":"none"`, `"id":["a","b"]`, `"p":[{"nr":"b"},{"x":"c"},{"nr":"d"}]`}
	belongs := [][]int{{0}, {0}, {1}, {1, 2}, {1, 2}, {1, 2}, {}, {3}, {3}, {}, {0}, {1, 2}}
	simdtest.EachKernel(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 3))
		byShape := 0
		for round := range 300 {
			f, err := NewPathFinder(paths)
			if err != nil {
				t.Fatal(err)
			}
			items := round%2 == 0
			var text []byte
			want := make([]int, len(paths))
			rows := 100 + r.IntN(100)
			some := 1 + r.IntN(6) // kinds of rows in this text
			for range rows {
				s := rand.New(rand.NewPCG(uint64(round), uint64(r.IntN(some))))
				text = append(text, '{')
				last := byte(0)
				for _, k := range s.Perm(len(members)) {
					name := members[k][1]
					if s.IntN(2) == 0 || bytes.Contains(text[bytes.LastIndexByte(text, '\n')+1:], []byte{'"', name}) && bytes.Contains(text[bytes.LastIndexByte(text, '\n')+1:], []byte(members[k][:3])) {
						continue // each name once
					}
					if last != 0 {
						text = append(text, ',')
					}
					text, last = append(text, members[k]...), name
					for _, p := range belongs[k] {
						want[p]++
					}
				}
				text = append(text, '}')
				if items {
					text = append(text, ',')
				}
				text = append(text, '\n')
			}
			if items {
				text = append(text, "{}]"...)
				rows++
				err = f.ScanItems(text, true, true)
			} else {
				err = f.Scan(text)
			}
			if err != nil || f.Rows != rows || !slices.Equal(f.RowsWith, want) {
				t.Fatalf("%v, %d rows, want %d; with the paths %v, want %v\n%s", err, f.Rows, rows, f.RowsWith, want, text)
			}
			byShape += f.RowsByShape()
		}
		if byShape < 10_000 {
			t.Fatalf("only %d rows were read by shape", byShape)
		}
	})
}

// TestScanItemsRules: what a chunk of items must be, by its place in the array.
func TestScanItemsRules(t *testing.T) {
	for _, c := range []struct {
		text        string
		first, last bool
		err         string
	}{
		{` {"id":"a"} , {"id":"b"},`, true, false, ""},
		{` {"id":"a"} ] `, true, true, ""},
		{` ] `, true, true, ""},
		{` ] `, false, true, "json: line 1, byte 1: value expected"},
		{` ]`, true, false, "json: line 1, byte 1: value expected"},
		{``, false, false, ""},
		{``, false, true, "json: line 1, byte 0: text ends too early"},
		{`{"id":"a"},`, true, true, "json: line 1, byte 11: text ends too early"},
		{`{"id":"a"},` + "\n", true, true, "json: line 2, byte 12: text ends too early"},
		{`{"id":"a"}`, true, false, "json: line 1, byte 10: text ends too early"},
		{`{"id":"a"}]`, true, false, "json: line 1, byte 10: text after the end of the value"},
		{`{"id":"a"}],`, true, true, "json: line 1, byte 11: text after the end of the value"},
		{`{"id":"a"}` + "\n" + `{"id":"a"}]`, true, true, "json: line 2, byte 11: ',' or the closing bracket expected"},
		{`,{"id":"a"}]`, true, true, "json: line 1, byte 0: value expected"},
	} {
		f, err := NewPathFinder([]string{"id"})
		if err != nil {
			t.Fatal(err)
		}
		err = f.ScanItems([]byte(c.text), c.first, c.last)
		if got := fmt.Sprint(err); got != c.err && (err != nil || c.err != "") {
			t.Errorf("%q, first %v, last %v: %v, want %q", c.text, c.first, c.last, err, c.err)
		}
	}
}
