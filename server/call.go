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

// call is the state of one request. Calls are pooled. Their buffers belong to the
// server's memory and return to it as early as possible: body and spans once the answer
// is built, the answer once it is written, when fasthttp closes the user values of the
// request (see Close).
type call struct {
	s     *Server
	ctx   *fasthttp.RequestCtx
	start time.Time

	idBuf [maxRequestID]byte
	id    []byte

	in, out []byte
	charged int64 // bytes counted that are in no pooled buffer
	paced   pacedReader

	bodyStarted     bool     // reading the body has begun
	bodyRead        bool     // the body was read to its end, so the connection can be kept
	decoding        bool     // the body is compressed
	expectsContinue bool     // the client waits for 100 Continue: see expect
	sendContinue    bool     // 100 Continue is the response
	recorded        bool     // the audit record was written, or could not be
	lingerConn      net.Conn // connection to linger on once the answer is sent; nil: none

	json       jsonfast.Array
	csv        *csvfast.Selector
	rawLengths []uint32 // lengths of the CSV fields with doubled quotes, before decoding
	batch      suite.Batch

	columnSpans []uint32 // of a CSV with columns

	// Buffers for small requests, which need no pool: see ownOrPooled. They are charged
	// to every request that has a body.
	inOwn    [1 << 10]byte
	outOwn   [1 << 10]byte
	spansOwn [256]uint32
	listOwn  [64]uint32

	values, empty int64
	errs          []valueError
	errCount      int
	cause         string // suite.Plan.Cause of the first bad value that has one
}

// callKey is the key of the call among the user values of a request.
const callKey = "velonym.call"

// Close returns the call to the pool. fasthttp calls it once the answer is written or
// the connection is lost.
func (c *call) Close() error {
	s := c.s
	c.dropInputs()
	s.mem.bytes.put(c.out)
	lingerConn := c.lingerConn
	// Only these fields: a call is large, and most of it need not be cleared.
	c.s, c.ctx, c.id, c.out, c.lingerConn = nil, nil, nil, nil, nil
	c.bodyStarted, c.bodyRead, c.decoding, c.expectsContinue, c.sendContinue, c.recorded = false, false, false, false, false, false
	c.values, c.empty, c.errs, c.errCount = 0, 0, c.errs[:0], 0
	s.calls.Put(c)
	if lingerConn != nil {
		s.linger(lingerConn)
	}
	return nil
}

// keepSmall is the most elements that a call keeps in each of its rarely used slices.
const keepSmall = 16 << 10

// After a request of more than manyValues values the engine's own buffers are kept only
// up to keepWork bytes. Smaller requests leave none.
const (
	manyValues = 1000
	keepWork   = 64 << 10
)

// dropInputs returns every buffer but the answer.
func (c *call) dropInputs() {
	m := c.s.mem
	m.bytes.put(c.in)
	c.in = nil
	m.words.put(c.json.Spans)
	c.json.Spans = nil
	m.words.put(c.columnSpans)
	c.columnSpans = nil
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

// callMemory is the size of a call's own buffers in bytes.
const callMemory = 4 << 10

// ownOrPooled returns own, a buffer of the call, if it holds n elements, and a buffer of
// the pool otherwise. ok is false if the pool has no memory left.
func ownOrPooled[T byte | uint32](p *pool[T], own []T, n int) ([]T, bool) {
	if n <= len(own) {
		return own[:0], true
	}
	return p.get(n)
}

// charge counts n bytes that are in no pooled buffer until dropInputs.
func (c *call) charge(n int64) bool {
	if !c.s.mem.reserve(n) {
		return false
	}
	c.charged += n
	return true
}

// overloaded returns the problem of a request that needs n more bytes than there are: 413
// if an idle server would not have them either, 503 otherwise.
func (c *call) overloaded(n int64) *problem {
	s := c.s
	held := int64(cap(c.in)+cap(c.out)) + 4*int64(cap(c.json.Spans)+cap(c.columnSpans)+cap(c.batch.Out)) + c.charged
	if c.csv != nil {
		held += 4 * int64(cap(c.csv.Spans)+cap(c.csv.RowEnds))
	}
	if _, size := sizeClass(int(n)); held+int64(size) > s.cfg.MaxInFlight {
		return newProblem(codeTooLarge, fmt.Sprintf("the request needs more memory than the %d bytes that all requests have; send it in parts", s.cfg.MaxInFlight))
	}
	return retryLater(codeOverloaded, "too much work in flight")
}
