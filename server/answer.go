package server

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/velonym/velonym/csvfast/jsonfast"
	"github.com/velonym/velonym/engine/spec"

	"github.com/velonym/velonym/csvfast"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/engine/token"
)

// answer builds the body of a successful call in c.out.
type answer struct {
	c       *call
	grant   *token.Grant
	spans   []uint32 // of the values in c.in
	in, out bodyFormat

	item      bool     // psn.err = "item": bad values become null
	plain     bool     // no result needs an escape in JSON
	notString []uint32 // JSON: items not yet passed that are no strings, ascending

	// CSV to CSV.
	copied     int      // bytes of the input that are in the answer already
	doubled    []uint32 // fields not yet passed that were unquoted in place, ascending
	rawLengths []uint32 // their lengths in the input
}

// chunkValues is the number of values that one worker transforms at a time: few enough
// for the caches, many enough to fill the vector lanes.
const chunkValues = 16 << 10

// build transforms all values and writes the body, or returns why there is none.
func (a *answer) build() *problem {
	c, s := a.c, a.c.s
	a.item = a.grant.Claims.PSN.Err == token.ErrItem
	// Only a format-preserving form can have characters that JSON escapes.
	a.plain = a.grant.Op != spec.Reverse && !strings.ContainsAny(a.grant.Plan.Alphabet(), `"\`)
	c.errs, c.errCount, c.cause = c.errs[:0], 0, ""
	if a.in == formatJSON {
		a.notString = c.json.NotString
	} else {
		a.doubled, a.rawLengths = c.csv.Doubled, c.rawLengths
	}
	n := len(a.spans) / 2
	b := &c.batch
	b.Src, b.Doc = c.in, a.grant.Plan.NewDocument()
	if b.Doc != nil {
		// The counters keep every distinct value once.
		if need := int64(len(c.in)) + 96*int64(n); !c.charge(need) {
			return c.overloaded(need)
		}
	}

	step := chunkValues * s.cfg.Workers
	first := min(n, step)
	var ok bool
	room := a.initialRoom(n, first)
	if c.out, ok = ownOrPooled(&s.mem.bytes, c.outOwn[:], room); !ok {
		return c.overloaded(int64(room))
	}
	if 2*first > cap(b.Out) {
		s.mem.words.put(b.Out)
		if b.Out, ok = ownOrPooled(&s.mem.words, c.listOwn[:], 2*first); !ok {
			return c.overloaded(8 * int64(first))
		}
	}
	if a.out == formatJSON {
		c.ctx.Response.Header.SetContentTypeBytes(mimeJSON)
		c.out = append(c.out, `{"data":[`...)
	} else {
		c.ctx.Response.Header.SetContentTypeBytes(mimeCSV)
	}
	for from := 0; from < n; from += step {
		to := min(n, from+step)
		var p *problem
		if a.out == formatJSON {
			p = a.jsonChunk(from, to)
		} else {
			p = a.csvChunk(from, to)
		}
		if p != nil {
			return p
		}
	}
	if len(c.errs) > 1 {
		// Results that are not UTF-8 are found after the other bad values of their chunk.
		slices.SortFunc(c.errs, func(a, b valueError) int { return a.index - b.index })
	}
	if c.errCount > 0 && !a.item {
		return c.unprocessable("nothing is returned; errors names the first bad values by their index")
	}
	return a.closeBody(n)
}

// unprocessable returns the problem of a request with bad values.
func (c *call) unprocessable(detail string) *problem {
	if c.cause != "" {
		detail += "; the first whose cause shows: " + c.cause
	}
	return &problem{code: codeUnprocessableValues, detail: detail, errors: c.errs, errorCount: c.errCount}
}

// framingLen is the number of bytes that JSON adds to a result: two quotes and a comma.
const framingLen = 3

// maxJSON returns the most bytes of JSON that the results of values from to to take,
// escapes aside.
func (a *answer) maxJSON(from, to int) int {
	if from == to {
		return 0
	}
	return (to-from)*framingLen + a.grant.Plan.MaxOut(to-from, a.inputExtent(from, to))
}

// inputExtent returns the most bytes that the values from to to have together.
func (a *answer) inputExtent(from, to int) int {
	extent := len(a.c.in)
	if len(a.c.json.NotString) == 0 { // otherwise some offsets are 0
		extent = int(a.spans[2*to-2]+a.spans[2*to-1]) - int(a.spans[2*from])
	}
	return extent
}

// initialRoom returns the capacity to begin with: the most that the first values need,
// and an estimate for the others.
func (a *answer) initialRoom(n, first int) int {
	room := 64 + a.maxJSON(0, first)
	if n > first {
		mean := len(a.c.in)/n + 1
		each := a.grant.Plan.OutLen(mean)
		if each <= 0 {
			each = framingLen + a.grant.Plan.MaxOut(1, mean/2)
		}
		room = max(room, n*(each+4)+a.maxJSON(0, min(first, chunkValues))/2)
	}
	return room
}

// reserve makes room for n more bytes in c.out.
func (c *call) reserve(n int) *problem {
	s := c.s
	need := len(c.out) + n
	if need <= cap(c.out) {
		return nil
	}
	if need > math.MaxUint32 {
		return newProblem(codeTooLarge, "the answer would be over 4 GiB; send the values in parts")
	}
	var ok bool
	if c.out, ok = s.mem.bytes.grow(c.out, max(need, min(cap(c.out)*3/2, math.MaxUint32))); !ok {
		return c.overloaded(int64(need))
	}
	return nil
}

// transform transforms the values from to to, appends the results to dst between pre and
// post, and adds bad values to c.errs. bad reports whether there are any.
func (a *answer) transform(dst []byte, from, to int, pre, post string) (res []byte, bad bool, p *problem) {
	c := a.c
	b := &c.batch
	b.Spans, b.Dst, b.Pre, b.Post = a.spans[2*from:2*to], dst, pre, post
	if n := a.engineScratch(from, to); n > 0 {
		if !c.s.mem.reserve(n) {
			return dst, false, c.overloaded(n)
		}
		defer c.s.mem.release(n)
	}
	room := b.Out
	a.grant.Plan.TransformParallel(b, c.s.cfg.Workers)
	// The engine may have grown it: the account has to follow.
	var ok bool
	if b.Out, ok = c.s.mem.words.adopt(room, b.Out); !ok {
		return b.Dst, false, c.overloaded(8 * int64(to-from))
	}
	a.mergeNotString(from, to)
	if len(b.Bad) == 0 {
		return b.Dst, false, nil
	}
	for _, e := range b.Bad {
		if c.addError(from+e.Index, e.Code); c.cause == "" && len(c.errs) < maxErrors {
			c.cause = a.cause(e)
		}
	}
	return b.Dst, true, nil
}

// cause returns what is known about a bad value of the batch beyond its code; "": nothing.
func (a *answer) cause(e suite.ValueError) string {
	if e.Code == suite.NotAString {
		return "an item is no string: write a number in quotes, as velonym run --numbers text does with those of files"
	}
	b := &a.c.batch
	return a.grant.Plan.Cause(b.Src[b.Spans[2*e.Index]:][:b.Spans[2*e.Index+1]], e.Code)
}

// engineScratch returns how many bytes the engine may need besides dst for the values
// from to to.
func (a *answer) engineScratch(from, to int) int64 {
	n := a.grant.Plan.ParallelScratch(to-from, a.inputExtent(from, to), a.c.s.cfg.Workers)
	if n > 0 {
		n += (to - from) * framingLen
	}
	return int64(n)
}

// mergeNotString adds the items that are no strings, which the engine takes for empty
// values, to the bad values of the batch.
func (a *answer) mergeNotString(from, to int) {
	b := &a.c.batch
	k := 0
	for k < len(a.notString) && int(a.notString[k]) < to {
		k++
	}
	if k == 0 {
		return
	}
	found := a.notString[:k]
	a.notString = a.notString[k:]
	i, j := len(b.Bad)-1, k-1
	for range found {
		b.Bad = append(b.Bad, suite.ValueError{})
	}
	for at := len(b.Bad) - 1; j >= 0; at-- {
		if index := int(found[j]) - from; i < 0 || b.Bad[i].Index < index {
			b.Bad[at] = suite.ValueError{Index: index, Code: suite.NotAString}
			j--
		} else {
			b.Bad[at] = b.Bad[i]
			i--
		}
	}
}

func (c *call) addError(index int, code suite.Code) {
	c.errCount++
	if len(c.errs) < maxErrors {
		c.errs = append(c.errs, valueError{index: index, code: code})
	}
}

// jsonChunk appends the results of values from to to as JSON items, each followed by a
// comma.
func (a *answer) jsonChunk(from, to int) *problem {
	c := a.c
	if p := c.reserve(a.maxJSON(from, to) + 8); p != nil {
		return p
	}
	start, room := len(c.out), c.out
	out, bad, p := a.transform(c.out, from, to, `"`, `",`)
	var ok bool
	if c.out, ok = c.s.mem.bytes.adopt(room, out); !ok {
		return c.overloaded(int64(len(out)))
	}
	switch {
	case p != nil:
		return p
	case !bad && (a.plain || isVerbatimJSON(c.out[start:], to-from)):
		c.s.paths.verbatim.Add(1)
		return nil
	case bad && !a.item:
		c.out = c.out[:start]
		return nil
	}
	c.s.paths.rewritten.Add(1)
	return a.rewriteChunk(from, start)
}

// isVerbatimJSON reports whether b, n results between quotes, is valid JSON as it is:
// UTF-8 with nothing to escape.
func isVerbatimJSON(b []byte, n int) bool {
	if bytes.Count(b, []byte{'"'}) != 2*n || bytes.IndexByte(b, '\\') >= 0 {
		return false
	}
	for _, c := range b {
		if c < 0x20 {
			return false
		}
	}
	return utf8.Valid(b)
}

// rewriteChunk writes the results from c.out[start:] again, value by value: null for bad
// values, escaped strings for others.
func (a *answer) rewriteChunk(from, start int) *problem {
	c, b := a.c, &a.c.batch
	copied, ok := c.s.mem.bytes.get(len(c.out) - start)
	if !ok {
		return c.overloaded(int64(len(c.out) - start))
	}
	defer c.s.mem.bytes.put(copied)
	copied = append(copied, c.out[start:]...)
	c.out = c.out[:start]
	wrong := b.Bad
	for i := 0; i < len(b.Out)/2; i++ {
		v := copied[int(b.Out[2*i])-start:][:b.Out[2*i+1]]
		if p := c.reserve(6*len(v) + 8); p != nil {
			return p
		}
		switch {
		case len(wrong) > 0 && wrong[0].Index == i:
			wrong = wrong[1:]
			c.out = append(c.out, `null,`...)
		case !utf8.Valid(v):
			// With tag 64 or 128 a value can be any bytes; JSON carries text only.
			c.addError(from+i, suite.ValueNotText)
			c.out = append(c.out, `null,`...)
		default:
			c.out = append(c.out, '"')
			c.out = jsonfast.AppendEscaped(c.out, v)
			c.out = append(c.out, '"', ',')
		}
	}
	return nil
}

// csvChunk appends the results of values from to to as CSV: one a line if the input is
// JSON; in place of the fields if it is CSV, with all other bytes as they were.
func (a *answer) csvChunk(from, to int) *problem {
	c, b := a.c, &a.c.batch
	scratch, ok := c.s.mem.bytes.get(a.maxJSON(from, to) + 8)
	if !ok {
		return c.overloaded(int64(a.maxJSON(from, to)))
	}
	res, bad, p := a.transform(scratch, from, to, "", "")
	if scratch, ok = c.s.mem.bytes.adopt(scratch, res); !ok {
		return c.overloaded(int64(len(res)))
	}
	defer func() { c.s.mem.bytes.put(scratch) }()
	if p != nil {
		return p
	}
	if bad && !a.item {
		return nil
	}
	d := csvfast.Dialect{}
	wrong := b.Bad
	for i := from; i < to; i++ {
		k := i - from
		v := scratch[b.Out[2*k]:][:b.Out[2*k+1]]
		isBad := len(wrong) > 0 && wrong[0].Index == k
		if isBad {
			wrong = wrong[1:]
		}
		off, end := int(a.spans[2*i]), int(a.spans[2*i]+a.spans[2*i+1])
		quoted := false
		if a.in == formatCSV {
			if len(a.doubled) > 0 && int(a.doubled[0]) == i {
				end = off + int(a.rawLengths[0])
				a.doubled, a.rawLengths = a.doubled[1:], a.rawLengths[1:]
			}
			quoted = off > a.copied && c.in[off-1] == '"'
			if quoted {
				off, end = off-1, end+1
			}
		} else {
			off, end = a.copied, a.copied
		}
		if p := c.reserve(off - a.copied + 2*len(v) + 8); p != nil {
			return p
		}
		c.out = append(c.out, c.in[a.copied:off]...)
		a.copied = end
		switch {
		case isBad, a.in == formatJSON && len(v) == 0:
			// A reader would skip an empty line.
			c.out = append(c.out, `""`...)
		default:
			c.out = d.AppendField(c.out, v, quoted)
		}
		if a.in == formatJSON {
			c.out = append(c.out, '\n')
		}
	}
	return nil
}

// closeBody writes the end of the body.
func (a *answer) closeBody(n int) *problem {
	c := a.c
	if a.out == formatCSV {
		if a.in == formatCSV {
			if p := c.reserve(len(c.in) - a.copied); p != nil {
				return p
			}
			c.out = append(c.out, c.in[a.copied:]...)
		}
		if c.errCount > 0 {
			c.ctx.Response.Header.Set("X-Error-Count", fmt.Sprint(c.errCount))
		}
		return nil
	}
	if p := c.reserve(64 + 64*len(c.errs)); p != nil {
		return p
	}
	if n > 0 {
		c.out = c.out[:len(c.out)-1]
	}
	c.out = append(c.out, ']')
	if c.errCount > 0 {
		c.out = append(c.out, ',')
		c.out = appendErrors(c.out, c.errs, c.errCount)
	}
	c.out = append(c.out, '}')
	return nil
}
