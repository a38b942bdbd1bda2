package server

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/velonym/velonym/engine/bulk"
	"github.com/velonym/velonym/engine/token"
	"github.com/velonym/velonym/internal/panics"
)

// columnAnswer builds the body of a successful call with columns in c.out: the body of the
// request with the results in place of the values. Package bulk writes it part by part.
type columnAnswer struct {
	c     *call
	grant *token.Grant
	t     *bulk.CSVRewriter
	item  bool // psn.err = "item": the field of a bad value is empty

	mu     sync.Mutex
	change sync.Cond // signals that next or stop has changed
	next   int       // the part that is added to c.out next
	stop   bool
	failed *problem
	fault  error
}

// parallelFrom is the number of values from which parts are written in several goroutines.
const parallelFrom = 4000

// build transforms all values and writes the body, or returns why there is none.
func (a *columnAnswer) build() (*problem, error) {
	c, t := a.c, a.t
	c.errs, c.errCount, c.cause = c.errs[:0], 0, ""
	workers := min(c.s.cfg.Workers, t.Parts())
	if t.Ordered() || c.values < parallelFrom {
		workers = min(workers, 1)
	}
	largest := 0
	for i := range t.Parts() {
		text, _ := t.Part(i)
		largest = max(largest, len(text))
	}
	// Each writer keeps a part's text, its results and its output.
	need := int64(workers) * 4 * int64(largest)
	if t.Ordered() {
		need += int64(len(c.in)) + 96*c.values // the counters keep every distinct value once
	}
	if !c.charge(need) {
		return c.overloaded(need), nil
	}
	c.out = c.outOwn[:0]
	if p := c.reserve(len(t.Head())); p != nil {
		return p, nil
	}
	c.out = append(c.out, t.Head()...)
	var p *problem
	var err error
	if workers > 1 {
		p, err = a.inParallel(workers)
	} else {
		p, err = a.inOrder()
	}
	if p != nil {
		return p, err
	}
	return a.refuseBad(), nil
}

// inOrder writes all parts directly to c.out.
func (a *columnAnswer) inOrder() (*problem, error) {
	if a.t.Parts() == 0 {
		return nil, nil
	}
	w, err := a.t.Writer()
	if err != nil {
		return newProblem(codeInternal, ""), err
	}
	c := a.c
	for i := range a.t.Parts() {
		start := len(c.out)
		if p := c.reserve(a.room(i)); p != nil {
			return p, nil
		}
		before := c.out
		out := w.Append(before, i)
		var ok bool
		if c.out, ok = c.s.mem.bytes.adopt(before, out); !ok {
			return c.overloaded(int64(len(out))), nil
		}
		if p := a.added(i, start, w.Bad()); p != nil {
			return p, nil
		}
	}
	return nil, nil
}

// room returns the capacity that part i needs, but for rare parts: Writer.Append grows the
// buffer for these, and adopt accounts for it.
func (a *columnAnswer) room(i int) int {
	text, spans := a.t.Part(i)
	n := len(spans) / 2
	return len(text) + 2*a.grant.Plan.MaxOut(n, len(text)) + 4*n + 128
}

// added counts the bad values of part i, whose output begins at c.out[start:], and makes
// room for the parts that follow the first.
func (a *columnAnswer) added(i, start int, bad []bulk.BadField) *problem {
	c := a.c
	for _, b := range bad {
		if c.cause == "" && len(c.errs) < maxErrors {
			c.cause = b.Why
		}
		c.errCount++
		if len(c.errs) < maxErrors {
			c.errs = append(c.errs, valueError{index: b.Row, column: a.t.Label(b.Column), code: b.Code})
		}
	}
	if c.errCount > 0 && !a.item {
		c.out = c.out[:start]
		return nil
	}
	if i == 0 && a.t.Parts() > 1 {
		text, _ := a.t.Part(0)
		left := len(c.in) - len(a.t.Head()) - len(text)
		grows := float64(len(c.out)-start) / float64(len(text))
		return c.reserve(int(1.02*grows*float64(left)) + a.room(0))
	}
	return nil
}

// inParallel runs several writers. Each transforms parts, which are added to c.out in order.
func (a *columnAnswer) inParallel(workers int) (*problem, error) {
	a.change.L = &a.mu
	var started atomic.Int64 // parts
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			if err := a.writer(&started); err != nil {
				a.fail(newProblem(codeInternal, ""), err)
			}
		})
	}
	wg.Wait()
	return a.failed, a.fault
}

// writer writes parts until none is left.
func (a *columnAnswer) writer(started *atomic.Int64) (err error) {
	defer panics.Recover(&err)
	w, err := a.t.Writer()
	if err != nil {
		return err
	}
	var out []byte
	for {
		i := int(started.Add(1)) - 1
		if i >= a.t.Parts() {
			return nil
		}
		out = w.Append(out[:0], i)
		if !a.add(i, out, w.Bad()) {
			return nil
		}
	}
}

// add waits until the parts before part i are in c.out and adds it. It returns false if
// there will be no answer.
func (a *columnAnswer) add(i int, out []byte, bad []bulk.BadField) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.next != i && !a.stop {
		a.change.Wait()
	}
	if a.stop {
		return false
	}
	c := a.c
	start := len(c.out)
	p := c.reserve(len(out))
	if p == nil {
		c.out = append(c.out, out...)
		p = a.added(i, start, bad)
	}
	if p != nil {
		a.stop, a.failed = true, p
	}
	a.next++
	a.change.Broadcast()
	return p == nil
}

// fail ends all writers.
func (a *columnAnswer) fail(p *problem, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.stop {
		a.stop, a.failed, a.fault = true, p, err
	}
	a.change.Broadcast()
}

// refuseBad returns the problem of bad values in strict mode, and counts them in a header
// otherwise.
func (a *columnAnswer) refuseBad() *problem {
	c := a.c
	if c.errCount == 0 {
		return nil
	}
	if !a.item {
		return c.unprocessable("nothing is returned; errors names the first bad values by their row, from 0 for the first below the header, and their column")
	}
	c.ctx.Response.Header.Set("X-Error-Count", fmt.Sprint(c.errCount))
	return nil
}
