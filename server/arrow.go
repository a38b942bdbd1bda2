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
// stream is read where the body stands, once to check it and count its values and once to
// write the answer, which is in c.out as a whole before any of it is sent.
func (c *call) processArrow(grant *token.Grant, q *columnQuery) (p *problem, fault error) {
	s := c.s
	w := &arrowBody{c: c}
	o := bulk.ArrowOptions{Columns: q.columns, Plan: grant.Plan, Workers: s.cfg.Workers, Memory: s.cfg.MaxBody, Reserve: w.reserve, MaxBad: maxErrors}
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
	if need := t.Memory(); !c.charge(need) {
		return c.overloaded(need), nil
	}
	c.out = c.outOwn[:0]
	if p := c.reserve(len(c.in) + int(t.Grows())); p != nil {
		return p, nil
	}
	if err := t.Write(s.base, w); err != nil {
		return w.problem(err), nil
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

func (w *arrowBody) Write(b []byte) (int, error) {
	if w.refused = w.c.reserve(len(b)); w.refused != nil {
		return 0, errRefused
	}
	w.c.out = append(w.c.out, b...)
	return len(b), nil
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
	case errors.As(err, &several):
		detail += "; add column=NAME, or column=%23 and the number, for each"
	case bytes.HasPrefix(in, []byte("ARROW1")), bytes.HasPrefix(in, []byte("FEA1")):
		detail = "the body is an Arrow file; send it as a stream, which pyarrow.ipc.new_stream writes"
	}
	return newProblem(codeBadRequest, detail)
}
