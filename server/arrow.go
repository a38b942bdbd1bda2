package server

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/velonym/velonym/engine/bulk"
	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/token"
)

// processArrow is process for an Arrow stream, of which some columns are replaced. The
// stream is read in the buffer of the body, once to check it and count its values and once to
// write the answer, which is in c.out as a whole before any of it is sent.
func (c *call) processArrow(grant *token.Grant, q *columnQuery) (p *problem, fault error) {
	s := c.s
	w := &arrowBody{c: c}
	o := bulk.ArrowOptions{Columns: q.columns, Plan: grant.Plan, Workers: s.cfg.Workers, Memory: s.cfg.MaxBody, MaxText: s.cfg.MaxBody, Reserve: w.reserve, MaxBad: maxErrors}
	if grant.Op == spec.Pseudonymise {
		o.Observe = func(arena []byte, spans []uint32) { c.observe(grant, arena, spans) }
	}
	t, err := bulk.NewArrowRewriter(o, "the body", c.in)
	if err != nil {
		return w.problem(err), nil
	}
	if c.values, c.empty, err = t.Scan(s.base); err != nil {
		c.values, c.empty = 0, 0
		return w.problem(err), nil
	}
	if p, fault := c.spend(grant); p != nil {
		return p, fault
	}
	if p := w.append(t); p != nil {
		return p, nil
	}
	bad, count, cause := t.Bad()
	c.errs, c.errCount, c.cause = c.errs[:0], count, cause
	for _, b := range bad {
		c.errs = append(c.errs, valueError{index: int(b.Row), column: b.Column, code: b.Code})
	}
	if count > 0 && grant.Claims.PSN.Err != token.ErrItem {
		return c.unprocessable("nothing is returned; errors names the first bad values by their row, from 0, and their column"), nil
	}
	if count > 0 {
		c.ctx.Response.Header.Set("X-Error-Count", fmt.Sprint(count))
	}
	c.ctx.Response.Header.SetContentTypeBytes(mimeArrow)
	c.dropInputs()
	return c.compress(acceptCoding(c.ctx.Request.Header.PeekCanonical(hdrAcceptEncoding)), grant.Op != spec.Reverse), nil
}

// arrowBody writes an answer to c.out.
type arrowBody struct {
	c       *call
	refused *problem // why memory was refused
}

var errRefused = errors.New("server: no memory for a request")

// reserve counts memory that a stream is unpacked into.
func (w *arrowBody) reserve(n int64) error {
	if !w.c.charge(n) {
		w.refused = w.c.overloaded(n)
		return errRefused
	}
	return nil
}

// append appends the answer to c.out.
func (w *arrowBody) append(t *bulk.ArrowRewriter) *problem {
	c, s := w.c, w.c.s
	if need := t.Memory(); !c.charge(need) {
		return c.overloaded(need)
	}
	n := 2 * int(min(c.values, int64(bulk.ValuesAtOnce*s.cfg.Workers)))
	var ok bool
	if c.columnSpans, ok = ownOrPooled(&s.mem.words, c.spansOwn[:], n); !ok {
		return c.overloaded(4 * int64(n))
	}
	if c.batch.Out, ok = ownOrPooled(&s.mem.words, c.listOwn[:], n); !ok {
		return c.overloaded(4 * int64(n))
	}
	c.out = c.outOwn[:0]
	if p := c.reserve(len(c.in) + int(t.Grows())); p != nil {
		return p
	}
	room := c.batch.Out
	var err error
	c.out, err = t.Append(s.base, c.out, bulk.ArrowBuffers{Batch: &c.batch, Grow: w.grow, Spans: c.columnSpans})
	if c.batch.Out, ok = s.mem.words.adopt(room, c.batch.Out); !ok {
		return c.overloaded(4 * int64(n))
	}
	if err != nil {
		return w.problem(err)
	}
	return nil
}

// grow makes room in c.out, which is b.
func (w *arrowBody) grow(b []byte, n int) ([]byte, error) {
	w.c.out = b
	if w.refused = w.c.reserve(n); w.refused != nil {
		return b, errRefused
	}
	return w.c.out, nil
}

// problem returns the problem of an error of package bulk about the body. No error of bulk
// holds a value.
func (w *arrowBody) problem(err error) *problem {
	if w.refused != nil {
		return w.refused
	}
	var several *bulk.StringColumnsError
	detail := strings.TrimPrefix(err.Error(), "run: ")
	switch in := w.c.in; {
	case errors.Is(err, bulk.ErrTooMuchText):
		return newProblem(codeTooLarge, fmt.Sprintf("the values of the columns have more than the %d bytes that a body may have; send the rows in parts", w.c.s.cfg.MaxBody))
	case errors.As(err, &several):
		detail += "; add column=NAME, or column=%23 and the number, for each"
	case bytes.HasPrefix(in, []byte("ARROW1")), bytes.HasPrefix(in, []byte("FEA1")):
		detail = "the body is an Arrow file; send it as a stream, which pyarrow.ipc.new_stream writes"
	}
	return newProblem(codeBadRequest, detail)
}
