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

// answer makes the body of a successful call in c.out.
type answer struct {
	c       *call
	grant   *token.Grant
	spans   []uint32 // of the values in c.in
	in, out form

	item      bool // psn.err = "item": bad values become null
	plain     bool // results need no escape in JSON
	notString []uint32

	// CSV to CSV: the place up to which the input has been copied, and what is
	// left of the fields that were shortened in place.
	at         int
	doubled    []uint32
	rawLengths []uint32
}

// chunk is the number of values that are transformed at a time by one worker:
// few enough for the caches, many enough to keep lanes full.
const chunk = 16 << 10

// make transforms all values and writes the body, or says why there is none.
func (a *answer) make() *problem {
	c, s := a.c, a.c.s
	a.item = a.grant.Claims.PSN.Err == token.ErrItem
	// Alphabets apart, no form has characters that JSON escapes.
	a.plain = a.grant.Op != spec.Reverse && !strings.ContainsAny(a.grant.Plan.Alphabet(), `"\`)
	c.errs, c.errCount, c.cause = c.errs[:0], 0, ""
	if a.in == formJSON {
		a.notString = c.json.NotString
	} else {
		a.doubled, a.rawLengths = c.csv.Doubled, c.rawLengths
	}
	n := len(a.spans) / 2
	b := &c.batch
	b.Src, b.Doc = c.in, a.grant.Plan.NewDocument()
	if b.Doc != nil {
		// The counters keep every different value once.
		if need := int64(len(c.in)) + 96*int64(n); !c.charge(need) {
			return c.overloaded(need)
		}
	}

	step := chunk * s.cfg.Workers
	first := min(n, step)
	var ok bool
	room := a.expect(n, first)
	if c.out, ok = small(&s.mem.bytes, c.outOwn[:], room); !ok {
		return c.overloaded(int64(room))
	}
	if 2*first > cap(b.Out) {
		s.mem.words.put(b.Out)
		if b.Out, ok = small(&s.mem.words, c.listOwn[:], 2*first); !ok {
			return c.overloaded(8 * int64(first))
		}
	}
	if a.out == formJSON {
		c.ctx.Response.Header.SetContentTypeBytes(mimeJSON)
		c.out = append(c.out, `{"data":[`...)
	} else {
		c.ctx.Response.Header.SetContentTypeBytes(mimeCSV)
	}
	for from := 0; from < n; from += step {
		to := min(n, from+step)
		var p *problem
		if a.out == formJSON {
			p = a.jsonChunk(from, to)
		} else {
			p = a.csvChunk(from, to)
		}
		if p != nil {
			return p
		}
	}
	if len(c.errs) > 1 {
		// Texts that JSON cannot carry are found after a chunk's other bad values.
		slices.SortFunc(c.errs, func(a, b valueError) int { return a.index - b.index })
	}
	if c.errCount > 0 && !a.item {
		detail := "nothing is returned; errors names the first bad values by their index"
		if c.cause != "" {
			detail += "; the first whose cause shows: " + c.cause
		}
		return &problem{code: codeUnprocessableValues, detail: detail,
			errors: c.errs, errorCount: c.errCount}
	}
	return a.end(n)
}

// framing is how many characters JSON puts around a result.
const framing = 3

// bound is the most JSON that the values from … to can become, escapes apart.
func (a *answer) bound(from, to int) int {
	if from == to {
		return 0
	}
	return (to-from)*framing + a.grant.Plan.MaxOut(to-from, a.extent(from, to))
}

// extent is how many bytes of the body the values from … to span at most.
func (a *answer) extent(from, to int) int {
	extent := len(a.c.in)
	if len(a.c.json.NotString) == 0 { // else some positions are 0
		extent = int(a.spans[2*to-2]+a.spans[2*to-1]) - int(a.spans[2*from])
	}
	return extent
}

// expect is the room to begin with: what the first values need at most, and
// what the others are likely to need.
func (a *answer) expect(n, first int) int {
	room := 64 + a.bound(0, first)
	if n > first {
		mean := len(a.c.in)/n + 1
		each := a.grant.Plan.OutLen(mean)
		if each <= 0 {
			each = framing + a.grant.Plan.MaxOut(1, mean/2)
		}
		room = max(room, n*(each+4)+a.bound(0, min(first, chunk))/2)
	}
	return room
}

// room makes room for n more bytes of answer.
func (a *answer) room(n int) *problem {
	c, s := a.c, a.c.s
	need := len(c.out) + n
	if need <= cap(c.out) {
		return nil
	}
	if need > math.MaxUint32 {
		return fail(codeTooLarge, "the answer would be over 4 GiB; send the values in parts")
	}
	var ok bool
	if c.out, ok = s.mem.bytes.grow(c.out, max(need, min(cap(c.out)*3/2, math.MaxUint32))); !ok {
		return c.overloaded(int64(need))
	}
	return nil
}

// run transforms the values from … to, appending results to dst with the given
// framing, and lists what is wrong with them. bad says that some are.
func (a *answer) run(dst []byte, from, to int, pre, post string) (res []byte, bad bool, p *problem) {
	c := a.c
	b := &c.batch
	b.Spans, b.Dst, b.Pre, b.Post = a.spans[2*from:2*to], dst, pre, post
	if n := a.scratch(from, to); n > 0 {
		if !c.s.mem.reserve(n) {
			return dst, false, c.overloaded(n)
		}
		defer c.s.mem.release(n)
	}
	room := b.Out
	a.grant.Plan.TransformParallel(b, c.s.cfg.Workers)
	// The engine may have grown it: the account has to follow.
	var ok bool
	if b.Out, ok = c.s.mem.words.swap(room, b.Out); !ok {
		return b.Dst, false, c.overloaded(8 * int64(to-from))
	}
	a.mergeNotString(from, to)
	if len(b.Bad) == 0 {
		return b.Dst, false, nil
	}
	for _, e := range b.Bad {
		if c.addError(from+e.Index, e.Code); c.cause == "" && len(c.errs) < maxErrors && e.Code != suite.NotAString {
			c.cause = a.grant.Plan.Cause(b.Src[b.Spans[2*e.Index]:][:b.Spans[2*e.Index+1]], e.Code)
		}
	}
	return b.Dst, true, nil
}

// scratch is what the engine may need besides dst for the values from … to.
func (a *answer) scratch(from, to int) int64 {
	n := a.grant.Plan.ParallelScratch(to-from, a.extent(from, to), a.c.s.cfg.Workers)
	if n > 0 {
		n += (to - from) * framing
	}
	return int64(n)
}

// mergeNotString adds the items of the array that are no strings, which the
// engine has seen as empty values, to its bad values.
func (a *answer) mergeNotString(from, to int) {
	b := &a.c.batch
	k := 0
	for k < len(a.notString) && int(a.notString[k]) < to {
		k++
	}
	if k == 0 {
		return
	}
	mine := a.notString[:k]
	a.notString = a.notString[k:]
	i, j := len(b.Bad)-1, k-1
	for range mine {
		b.Bad = append(b.Bad, suite.ValueError{})
	}
	for at := len(b.Bad) - 1; j >= 0; at-- {
		if index := int(mine[j]) - from; i < 0 || b.Bad[i].Index < index {
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
		c.errs = append(c.errs, valueError{index, code})
	}
}

// jsonChunk appends the values from … to as items, each with a comma behind.
func (a *answer) jsonChunk(from, to int) *problem {
	c := a.c
	if p := a.room(a.bound(from, to) + 8); p != nil {
		return p
	}
	start, room := len(c.out), c.out
	out, bad, p := a.run(c.out, from, to, `"`, `",`)
	var ok bool
	if c.out, ok = c.s.mem.bytes.swap(room, out); !ok {
		return c.overloaded(int64(len(out)))
	}
	switch {
	case p != nil:
		return p
	case !bad && (a.plain || clean(c.out[start:], to-from)):
		c.s.ways.direct.Add(1)
		return nil
	case bad && !a.item:
		c.out = c.out[:start]
		return nil
	}
	c.s.ways.rewritten.Add(1)
	return a.rewrite(from, start)
}

// clean says whether n framed results stand as valid JSON strings as they are:
// nothing to escape, and UTF-8.
func clean(b []byte, n int) bool {
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

// rewrite goes over a chunk again, value by value: null for bad ones, escapes
// for others.
func (a *answer) rewrite(from, start int) *problem {
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
		if p := a.room(6*len(v) + 8); p != nil {
			return p
		}
		switch {
		case len(wrong) > 0 && wrong[0].Index == i:
			wrong = wrong[1:]
			c.out = append(c.out, `null,`...)
		case !utf8.Valid(v):
			// With tag 64 or 128 a value may be any bytes; JSON carries text only.
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

// csvChunk appends the values from … to in the shape that came in: one a line
// for an array; in the place of the fields for CSV, everything around them as
// it was.
func (a *answer) csvChunk(from, to int) *problem {
	c, b := a.c, &a.c.batch
	scratch, ok := c.s.mem.bytes.get(a.bound(from, to) + 8)
	if !ok {
		return c.overloaded(int64(a.bound(from, to)))
	}
	res, bad, p := a.run(scratch, from, to, "", "")
	if scratch, ok = c.s.mem.bytes.swap(scratch, res); !ok {
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
		if a.in == formCSV {
			if len(a.doubled) > 0 && int(a.doubled[0]) == i {
				end = off + int(a.rawLengths[0])
				a.doubled, a.rawLengths = a.doubled[1:], a.rawLengths[1:]
			}
			quoted = off > a.at && c.in[off-1] == '"'
			if quoted {
				off, end = off-1, end+1
			}
		} else {
			off, end = a.at, a.at
		}
		if p := a.room(off - a.at + 2*len(v) + 8); p != nil {
			return p
		}
		c.out = append(c.out, c.in[a.at:off]...)
		a.at = end
		switch {
		case isBad, a.in == formJSON && len(v) == 0:
			// An empty line would be no value at all to a reader.
			c.out = append(c.out, `""`...)
		default:
			c.out = d.AppendField(c.out, v, quoted)
		}
		if a.in == formJSON {
			c.out = append(c.out, '\n')
		}
	}
	return nil
}

// end closes the body.
func (a *answer) end(n int) *problem {
	c := a.c
	if a.out == formCSV {
		if a.in == formCSV {
			if p := a.room(len(c.in) - a.at); p != nil {
				return p
			}
			c.out = append(c.out, c.in[a.at:]...)
		}
		if c.errCount > 0 {
			c.ctx.Response.Header.Set("X-Error-Count", fmt.Sprint(c.errCount))
		}
		return nil
	}
	if p := a.room(64 + 64*len(c.errs)); p != nil {
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
