package server

import (
	"fmt"
	"net"
	"time"

	"github.com/velonym/velonym/csvfast/jsonfast"

	"github.com/valyala/fasthttp"

	"github.com/velonym/velonym/csvfast"
	"github.com/velonym/velonym/engine/suite"
)

// call is one request at work. Calls are reused; the buffers belong to the
// server's memory and go back as soon as they are done with: the body and the
// positions when the answer is made, the answer when it is written, which
// fasthttp tells by closing the user values of the request (see Close).
type call struct {
	s     *Server
	ctx   *fasthttp.RequestCtx
	start time.Time

	idBuf [maxRequestID]byte
	id    []byte

	in, out  []byte
	charged  int64 // memory that is in no pooled buffer
	paced    paced
	reading  bool // of the body has begun
	bodyRead bool // to its end: the connection can go on
	decoding bool
	expected bool     // the body is still to be asked for: see expect
	goOn     bool     // and it shall be sent
	noted    bool     // in the audit log, or that was tried
	turned   net.Conn // to linger on when the answer is out

	json       jsonfast.Array
	csv        *csvfast.Selector
	rawLengths []uint32 // lengths of the CSV fields with doubled quotes, as they came
	batch      suite.Batch

	// Room for small requests, which spares them the pools: see small. It is
	// charged to every request that has a body.
	inOwn    [1 << 10]byte
	outOwn   [1 << 10]byte
	spansOwn [256]uint32
	listOwn  [64]uint32

	values, empty int64
	errs          []valueError
	errCount      int
	cause         string // of the first bad value whose outside shows one
}

// callKey is the name of the call among the user values of a request.
const callKey = "velonym.call"

// Close is called by fasthttp when the answer has been written, or the
// connection is lost.
func (c *call) Close() error {
	s := c.s
	c.dropInputs()
	s.mem.bytes.put(c.out)
	turned := c.turned
	// Field by field: a call is large, and most of it need not be cleared.
	c.s, c.ctx, c.id, c.out, c.turned = nil, nil, nil, nil, nil
	c.reading, c.bodyRead, c.decoding, c.expected, c.goOn, c.noted = false, false, false, false, false, false
	c.values, c.empty, c.errs, c.errCount = 0, 0, c.errs[:0], 0
	s.calls.Put(c)
	if turned != nil {
		s.linger(turned)
	}
	return nil
}

// keepSmall is the size up to which lists of unusual values stay with a call.
const keepSmall = 16 << 10

// After a call of more than manyValues values the engine's own buffers are looked
// at, and stay with the call up to keepWork bytes: small ones have none.
const (
	manyValues = 1000
	keepWork   = 64 << 10
)

// dropInputs gives back everything but the answer.
func (c *call) dropInputs() {
	m := c.s.mem
	m.bytes.put(c.in)
	c.in = nil
	m.words.put(c.json.Spans)
	c.json.Spans = nil
	m.words.put(c.batch.Out)
	c.batch.Out, c.batch.Spans, c.batch.Src, c.batch.Dst, c.batch.Doc = nil, nil, nil, nil, nil
	if c.values > manyValues {
		c.batch.Trim(keepWork)
	}
	if c.csv != nil {
		m.words.put(c.csv.Spans)
		c.csv.Spans = nil
		m.words.put(c.csv.RowEnds)
		c.csv.RowEnds = nil
		if cap(c.csv.Doubled) > keepSmall {
			c.csv.Doubled = nil
		}
	}
	if cap(c.json.Escaped) > keepSmall {
		c.json.Escaped = nil
	}
	if cap(c.json.NotString) > keepSmall {
		c.json.NotString = nil
	}
	if cap(c.rawLengths) > keepSmall {
		c.rawLengths = nil
	}
	if cap(c.batch.Bad) > keepSmall {
		c.batch.Bad = nil
	}
	m.release(c.charged)
	c.charged = 0
}

// callMemory is what a call has room for itself.
const callMemory = 4 << 10

// small returns own, a part of the call, if it holds n elements, and else a
// buffer of the pool.
func small[T byte | uint32](p *pool[T], own []T, n int) ([]T, bool) {
	if n <= len(own) {
		return own[:0], true
	}
	return p.get(n)
}

// charge counts memory that is in no pooled buffer.
func (c *call) charge(n int64) bool {
	if !c.s.mem.reserve(n) {
		return false
	}
	c.charged += n
	return true
}

// overloaded refuses for want of n more bytes: for now, or for good when they
// and what the call has already are more than the server ever has.
func (c *call) overloaded(n int64) *problem {
	s := c.s
	held := int64(cap(c.in)+cap(c.out)) + 4*int64(cap(c.json.Spans)+cap(c.batch.Out)) + c.charged
	if c.csv != nil {
		held += 4 * int64(cap(c.csv.Spans)+cap(c.csv.RowEnds))
	}
	if _, size := class(int(n)); held+int64(size) > s.cfg.MaxInFlight {
		return fail(codeTooLarge, fmt.Sprintf("the request needs more memory than the %d bytes that all requests have; send it in parts", s.cfg.MaxInFlight))
	}
	return busy(codeOverloaded, "too much work in flight")
}
