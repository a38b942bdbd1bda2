package jsonfast

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/velonym/velonym/internal/campaign"
	"github.com/velonym/velonym/internal/simd/simdtest"
)

// TestSplitterAgainstPieces checks that the cuts do not depend on the pieces of a text.
func TestSplitterAgainstPieces(t *testing.T) {
	campaign.Run(t, inputs(600), campaigns, func(t *testing.T, r *rand.Rand, _ int) {
		d := randomDocument(r)
		text := d.text
		if r.IntN(2) == 0 {
			text = mutate(r, bytes.Clone(text))
		}
		last := func(size int) (cut int, closed bool) {
			s := NewSplitter(d.array)
			cut = -1
			for i := 0; i < len(text); i += size {
				if k := s.Next(text[i:min(i+size, len(text))]); k >= 0 {
					cut = i + k
				}
			}
			return cut, s.Closed()
		}
		want, closed := last(len(text) + 1)
		for _, size := range []int{1, 2, 3, 7, 8, 9, 64, 1 + r.IntN(300)} {
			if got, c := last(size); got != want || c != closed {
				t.Fatalf("pieces of %d: cut %d, closed %v; whole: %d, %v: %q", size, got, c, want, closed, text)
			}
		}
	})
}

// TestRowsWithPaths checks RowsWith for rows that lack different members, also if they are read by
// shape, as lines and as items.
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
			some := 1 + r.IntN(6) // number of different shapes in this text
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
			t.Fatalf("only %d rows were read by shape: the fast path was not tested", byShape)
		}
	})
}

// TestScanItemsRules checks which chunks of items are valid at the start, in the middle and at the
// end of an array.
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
