package server

import (
	"bytes"

	"github.com/velonym/velonym/csvfast/jsonfast"

	"github.com/velonym/velonym/csvfast"
)

// countLarge is the body size in bytes from which commas are counted before spans are
// allocated; for smaller bodies the worst case is small enough.
const countLarge = 256 << 10

// spansPadding is how many words beyond the last span scanners may write.
const spansPadding = 64

// scanJSON finds the items of {"data": […]} and decodes escapes in place.
func (c *call) scanJSON() ([]uint32, *problem) {
	m := c.s.mem
	in := c.in
	most := len(in)/2 + 1 // the shortest items are numbers of one digit
	if len(in) > countLarge {
		most = min(most, bytes.Count(in, []byte{','})+1)
	}
	room, ok := ownOrPooled(&m.words, c.spansOwn[:], 2*most+spansPadding)
	if !ok {
		return nil, c.overloaded(8 * int64(most))
	}
	c.json.Spans = room
	err := c.json.Scan(in)
	if c.json.Spans, ok = m.words.adopt(room, c.json.Spans); !ok {
		return nil, c.overloaded(8 * int64(most))
	}
	if err != nil {
		return nil, syntaxProblem(err)
	}
	if extra := cap(c.json.Escaped) + cap(c.json.NotString); extra > keepSmall && !c.charge(4*int64(extra)) {
		return nil, c.overloaded(4 * int64(extra))
	}
	spans := c.json.Spans
	for _, i := range c.json.Escaped {
		raw := in[spans[2*i]:][:spans[2*i+1]]
		spans[2*i+1] = uint32(len(jsonfast.Unescape(raw[:0], raw)))
	}
	return spans, nil
}

var byteOrderMark = []byte("\ufeff")

// scanCSV finds every field of every line and decodes doubled quotes in place.
func (c *call) scanCSV() ([]uint32, *problem) {
	m := c.s.mem
	c.in = c.in[:copy(c.in, bytes.TrimPrefix(c.in, byteOrderMark))]
	in := c.in
	most, rows := len(in)+1, len(in)+1
	if len(in) > countLarge {
		rows = bytes.Count(in, []byte{'\n'}) + 1
		most = bytes.Count(in, []byte{','}) + rows
	}
	if c.csv == nil {
		sel, err := csvfast.NewSelector(csvfast.Dialect{}, nil, -1)
		if err != nil {
			panic("server: " + err.Error())
		}
		c.csv = sel
	}
	room, ok := m.words.get(2*most + spansPadding)
	if !ok {
		return nil, c.overloaded(8 * int64(most))
	}
	c.csv.Spans = room
	ends, ok := m.words.get(rows + spansPadding)
	if !ok {
		return nil, c.overloaded(12 * int64(most))
	}
	c.csv.RowEnds = ends
	err := c.csv.Scan(in)
	spansOK, endsOK := false, false
	c.csv.Spans, spansOK = m.words.adopt(room, c.csv.Spans)
	c.csv.RowEnds, endsOK = m.words.adopt(ends, c.csv.RowEnds)
	if !spansOK || !endsOK {
		return nil, c.overloaded(12 * int64(most))
	}
	if err != nil {
		return nil, syntaxProblem(err)
	}
	if extra := 2 * cap(c.csv.Doubled); extra > keepSmall && !c.charge(4*int64(extra)) {
		return nil, c.overloaded(4 * int64(extra))
	}
	spans := c.csv.Spans
	c.rawLengths = c.rawLengths[:0]
	for _, i := range c.csv.Doubled {
		raw := in[spans[2*i]:][:spans[2*i+1]]
		c.rawLengths = append(c.rawLengths, spans[2*i+1])
		spans[2*i+1] = uint32(len(csvfast.Dialect{}.Unquote(raw[:0], raw)))
	}
	return spans, nil
}

// countEmpty counts the values of length 0.
func countEmpty(spans []uint32) int64 {
	var a, b, c, d uint64
	for len(spans) >= 8 {
		s := spans[:8]
		a += (uint64(s[1]) - 1) >> 63
		b += (uint64(s[3]) - 1) >> 63
		c += (uint64(s[5]) - 1) >> 63
		d += (uint64(s[7]) - 1) >> 63
		spans = spans[8:]
	}
	for i := 1; i < len(spans); i += 2 {
		a += (uint64(spans[i]) - 1) >> 63
	}
	return int64(a + b + c + d)
}
