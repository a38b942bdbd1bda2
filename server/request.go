package server

import (
	"bytes"
	"fmt"
	"math"
	"net"
	"strings"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"

	"github.com/velonym/velonym/csvfast"
	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/suite"
	"github.com/velonym/velonym/engine/token"
	"github.com/velonym/velonym/internal/panics"
)

// The header names and values of every answer, in the spelling that fasthttp
// would bring them into.
var (
	hdrAccept         = []byte("Accept")
	hdrAcceptEncoding = []byte("Accept-Encoding")
	hdrCacheControl   = []byte("Cache-Control")
	hdrContentOptions = []byte("X-Content-Type-Options")
	hdrRequestID      = []byte("X-Request-Id")
	hdrRetryAfter     = []byte("Retry-After")
	hdrSecurityPolicy = []byte("Content-Security-Policy")
	hdrTransport      = []byte("Strict-Transport-Security")

	valNoStore   = []byte("no-store")
	valNoSniff   = []byte("nosniff")
	valPolicy    = []byte("default-src 'none'; frame-ancestors 'none'")
	valTransport = []byte("max-age=31536000")

	mimeJSON    = []byte("application/json")
	mimeCSV     = []byte("text/csv; charset=utf-8")
	mimeProblem = []byte("application/problem+json")
)

// endpoint is a place that tokens are good for.
type endpoint struct {
	path string
	op   string // for the record of a call whose token says nothing: a to z and '-'
	ops  token.Ops
	rev  bool
}

var (
	endpointForward = endpoint{"/api/request-psn", "pseudonymise", token.OpsForward, false}
	endpointReverse = endpoint{"/api/request-psn-rev", "reverse", token.OpsReverse, true}
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

	json  csvfast.DataArray
	csv   *csvfast.Selector
	long  []uint32 // lengths of the CSV fields with doubled quotes, as they came
	batch suite.Batch

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

// handle answers one request.
func (s *Server) handle(ctx *fasthttp.RequestCtx) { s.serve(s.calls.Get().(*call), ctx) }

func (s *Server) serve(c *call, ctx *fasthttp.RequestCtx) {
	c.s, c.ctx, c.start = s, ctx, time.Now()
	if id := ctx.Request.Header.PeekCanonical(hdrRequestID); saneRequestID(id) {
		c.id = append(c.idBuf[:0], id...)
	} else {
		c.id = s.ids.next(c.idBuf[:0])
	}
	ctx.SetUserValue(callKey, c)
	defer c.recovered()

	h := &ctx.Response.Header
	h.SetCanonical(hdrRequestID, c.id)
	h.SetCanonical(hdrContentOptions, valNoSniff)
	h.SetCanonical(hdrCacheControl, valNoStore)
	if s.cfg.TLS != nil {
		h.SetCanonical(hdrTransport, valTransport)
	}
	if s.draining.Load() {
		ctx.SetConnectionClose()
	}
	if len(s.cfg.CORS) > 0 {
		s.allowOrigin(ctx)
	}
	if p := refusedWire(&ctx.Request.Header); p != nil {
		c.refuseWire(p)
		return
	}
	if e := endpointOf(ctx); e != nil {
		c.transform(e)
	} else {
		c.other()
	}
}

// rawPath is the path as it was sent: what comes close to a path is another one,
// to a proxy in front that judges by paths as well.
func rawPath(ctx *fasthttp.RequestCtx) []byte {
	target := ctx.Request.Header.RequestURI()
	if len(target) == 0 || target[0] != '/' { // RFC 9112 §3.2.2: with scheme and host
		return ctx.URI().PathOriginal()
	}
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		target = target[:i]
	}
	return target
}

// expect judges a request that waits for leave to send its body (RFC 9110
// §10.1.1) by its header alone. It returns 100, or the status of the answer that
// it has made.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	c := s.calls.Get().(*call)
	c.expected = true
	s.serve(c, ctx)
	if !c.goOn {
		return ctx.Response.StatusCode()
	}
	ctx.RemoveUserValue(callKey)
	_ = c.Close()
	return fasthttp.StatusContinue
}

// callKey is the name of the call among the user values of a request.
const callKey = "velonym.call"

// recovered answers 500 after a panic. The log says where it came from, and shows
// nothing of what was being worked on.
func (c *call) recovered() {
	v := recover()
	if v == nil {
		return
	}
	c.s.log.Error("request failed", "request", string(c.id), "panic", panics.New(v).Error())
	c.dropInputs()
	c.refuse(fail(codeInternal, ""))
	c.ctx.SetConnectionClose()
	c.s.metrics.requests(routeOther, codeInternal)
	if e := endpointOf(c.ctx); e != nil && c.s.cfg.Audit != nil && !c.noted {
		c.noted = true
		if err := c.s.cfg.Audit.Append(c.record(time.Now(), e, nil, codeInternal)); err != nil {
			c.s.auditFailed(err) // the client is told of a failure either way
		}
	}
}

// endpointOf is the endpoint that a request is for, nil for any other page.
func endpointOf(ctx *fasthttp.RequestCtx) *endpoint {
	switch string(rawPath(ctx)) {
	case endpointForward.path:
		return &endpointForward
	case endpointReverse.path:
		return &endpointReverse
	}
	return nil
}

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
	if cap(c.long) > keepSmall {
		c.long = nil
	}
	if cap(c.batch.Bad) > keepSmall {
		c.batch.Bad = nil
	}
	m.give(c.charged)
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
	if !c.s.mem.take(n) {
		return false
	}
	c.charged += n
	return true
}

// transform serves one of the two endpoints.
func (c *call) transform(e *endpoint) {
	s, ctx := c.s, c.ctx
	if !ctx.IsPost() {
		if ctx.IsOptions() && len(s.cfg.CORS) > 0 {
			c.preflight("POST")
			return
		}
		ctx.Response.Header.Set("Allow", "POST")
		c.done(e, nil, fail(codeMethodNotAllowed, "use POST"), nil)
		return
	}
	auth := ctx.Request.Header.PeekAll("Authorization")
	if len(auth) > 1 {
		c.done(e, nil, fail(codeBadRequest, "more than one Authorization header"), nil)
		return
	}
	var raw []byte
	if len(auth) == 1 {
		raw = bearer(auth[0])
	}
	if len(raw) == 0 {
		c.done(e, nil, fail(codeMissingToken, "send the header Authorization: Bearer TOKEN"), nil)
		return
	}
	grant, err := c.verify(raw, e.ops)
	if err != nil {
		p, fault := ofToken(err)
		c.done(e, nil, p, fault)
		return
	}
	defer grant.Release()
	p, fault := c.work(grant)
	if c.goOn {
		return
	}
	c.done(e, grant, p, fault)
}

// verify asks the verifier, which looks at the connection's last token first.
func (c *call) verify(raw []byte, ops token.Ops) (*token.Grant, error) {
	s := c.s
	if s.again != nil {
		if conn, ok := c.ctx.Conn().(*conn); ok { // under TLS hashing is the least of it
			return s.again.VerifyAgain(s.base, raw, ops, &conn.token)
		}
	}
	return s.cfg.Verifier.Verify(s.base, raw, ops)
}

// work reads, transforms and makes the answer in c.out. A problem means that
// nothing is to be returned; fault is its cause where that is on our side, for
// the log alone.
func (c *call) work(grant *token.Grant) (p *problem, fault error) {
	h := &c.ctx.Request.Header
	shape := mediaType(h.ContentType())
	if shape == formUnknown {
		return fail(codeUnsupportedMediaType, "send application/json or text/csv"), nil
	}
	enc := contentCoding(h.ContentEncoding())
	if enc == codingUnknown {
		c.ctx.Response.Header.Set("Accept-Encoding", "gzip, zstd")
		return fail(codeUnsupportedMediaType, "send the body as it is, or with one coding of gzip and zstd"), nil
	}
	if c.expected {
		p := c.mayCome()
		c.goOn = p == nil
		if conn, ok := c.ctx.Conn().(*conn); ok {
			conn.interim = c.goOn
		}
		return p, nil
	}
	if p := c.readBody(enc); p != nil {
		return p, nil
	}
	var spans []uint32
	if shape == formJSON {
		spans, p = c.scanJSON()
	} else {
		spans, p = c.scanCSV()
	}
	if p != nil {
		return p, nil
	}
	c.values = int64(len(spans) / 2)
	c.empty = countEmpty(spans) + int64(grant.Plan.Blank(c.in, spans))
	if err := grant.Spend(c.s.base, int(c.values-c.empty)); err != nil {
		return ofToken(err)
	}
	if grant.Op == suite.Pseudonymise && grant.Observe(c.in, spans) {
		c.s.log.Warn("a token walks through consecutive numbers", "request", string(c.id), "jti", grant.Claims.ID)
	}
	if left, ok := grant.Left(); ok {
		c.s.metrics.budget(left, grant.Claims.PSN.Lim.Max)
	}
	a := answer{c: c, grant: grant, spans: spans, in: shape, out: formJSON}
	if wantsCSV(h.PeekCanonical(hdrAccept)) {
		a.out = formCSV
	}
	if p := a.make(); p != nil {
		return p, nil
	}
	c.dropInputs()
	return c.compress(acceptCoding(h.PeekCanonical(hdrAcceptEncoding)), a.grant.Op != suite.Reverse), nil
}

// countLarge is the body size from which values are counted before room for
// their positions is taken; below it the worst case is small enough.
const countLarge = 256 << 10

// spansRoom is the room, in words, that scanners may use beyond what they need.
const spansRoom = 64

// scanJSON finds the items of {"data": […]} and undoes escapes in place.
func (c *call) scanJSON() ([]uint32, *problem) {
	m := c.s.mem
	in := c.in
	most := len(in)/2 + 1 // the shortest items are numbers of one digit
	if len(in) > countLarge {
		most = min(most, bytes.Count(in, []byte{','})+1)
	}
	room, ok := small(&m.words, c.spansOwn[:], 2*most+spansRoom)
	if !ok {
		return nil, c.overloaded(8 * int64(most))
	}
	c.json.Spans = room
	err := c.json.Scan(in)
	if c.json.Spans, ok = m.words.swap(room, c.json.Spans); !ok {
		return nil, c.overloaded(8 * int64(most))
	}
	if err != nil {
		return nil, ofSyntax(err)
	}
	if extra := cap(c.json.Escaped) + cap(c.json.NotString); extra > keepSmall && !c.charge(4*int64(extra)) {
		return nil, c.overloaded(4 * int64(extra))
	}
	spans := c.json.Spans
	for _, i := range c.json.Escaped {
		raw := in[spans[2*i]:][:spans[2*i+1]]
		spans[2*i+1] = uint32(len(csvfast.UnescapeJSON(raw[:0], raw)))
	}
	return spans, nil
}

var byteOrderMark = []byte("\ufeff")

// scanCSV finds every field of every line and undoes doubled quotes in place.
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
	room, ok := m.words.get(2*most + spansRoom)
	if !ok {
		return nil, c.overloaded(8 * int64(most))
	}
	c.csv.Spans = room
	ends, ok := m.words.get(rows + spansRoom)
	if !ok {
		return nil, c.overloaded(12 * int64(most))
	}
	c.csv.RowEnds = ends
	err := c.csv.Scan(in)
	spansOK, endsOK := false, false
	c.csv.Spans, spansOK = m.words.swap(room, c.csv.Spans)
	c.csv.RowEnds, endsOK = m.words.swap(ends, c.csv.RowEnds)
	if !spansOK || !endsOK {
		return nil, c.overloaded(12 * int64(most))
	}
	if err != nil {
		return nil, ofSyntax(err)
	}
	if extra := 2 * cap(c.csv.Doubled); extra > keepSmall && !c.charge(4*int64(extra)) {
		return nil, c.overloaded(4 * int64(extra))
	}
	spans := c.csv.Spans
	c.long = c.long[:0]
	for _, i := range c.csv.Doubled {
		raw := in[spans[2*i]:][:spans[2*i+1]]
		c.long = append(c.long, spans[2*i+1])
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

const auditUnavailable = "calls cannot be recorded at the moment"

// done records and answers: what the client gets is decided before.
func (c *call) done(e *endpoint, grant *token.Grant, p *problem, fault error) {
	s := c.s
	outcome := codeOK
	if p != nil {
		outcome = p.code
	}
	now := time.Now()
	if fault != nil {
		s.log.Error("a request could not be served", "request", string(c.id), "code", outcome.String(), "error", fault.Error())
	}
	if s.cfg.Audit != nil {
		c.noted = true
		r := c.record(now, e, grant, outcome)
		if err := s.cfg.Audit.Append(r); err != nil {
			s.auditFailed(err)
			if !s.cfg.AuditContinue {
				p = busy(codeUnavailable, auditUnavailable)
				outcome = p.code
			}
		}
		if r.Sync {
			now = time.Now() // the disk took its time
		}
	}
	r := &c.ctx.Response
	if p != nil {
		c.dropInputs()
		c.refuse(p)
	} else {
		r.SetBodyRaw(c.out)
		s.paceAnswer(c.ctx, len(c.out))
		if conn, ok := c.ctx.Conn().(*conn); ok {
			conn.answer(now, len(c.out))
		}
	}
	c.settleBody()
	route := routeForward
	if e.rev {
		route = routeReverse
	}
	took := now.Sub(c.start)
	s.metrics.served(route, outcome, took, c.values)
	if p != nil && outcome != codeInternal || s.cfg.AccessLog {
		s.logRequest(c, e.path, outcome, took)
	}
}

// record is the audit record of the call. One that reverses, or is refused, is on
// disk before its answer leaves; calls that come at the same time share a write and
// a sync, so that many of them cost little more than one. Each connection waits for
// its own, which bounds what waits by MaxConns records. A call whose token did not
// verify is recorded without anything that the token says.
func (c *call) record(now time.Time, e *endpoint, grant *token.Grant, outcome code) audit.Record {
	// The record is written before the call's buffers are used again.
	id := unsafe.String(unsafe.SliceData(c.id), len(c.id))
	r := audit.Record{Time: now, Kind: "request", Request: id, Op: e.op, Outcome: outcome.String(),
		Values: c.values, Empty: c.empty, Bad: int64(c.errCount)}
	if grant != nil {
		psn := &grant.Claims.PSN
		r.JTI, r.Op, r.Project, r.Org = grant.Claims.ID, psn.Op, psn.Dom.Prj, psn.Dom.Org
		if psn.Src != nil {
			r.Source, r.SrcOrg = psn.Src.Prj, psn.Src.Org
		}
	}
	r.Sync = e.rev || outcome != codeOK
	return r
}

// refuse makes the answer of a problem.
func (c *call) refuse(p *problem) {
	r := &c.ctx.Response
	// What was said of an answer that is not sent.
	r.Header.Del("Content-Encoding")
	r.Header.Del("X-Error-Count")
	r.SetStatusCode(problems[p.code].status)
	r.Header.SetContentTypeBytes(mimeProblem)
	if w := p.challenge(); w != "" {
		r.Header.Set("WWW-Authenticate", w)
	}
	if p.retryAfter > 0 {
		seconds := int(math.Ceil(p.retryAfter.Seconds()))
		r.Header.SetCanonical(hdrRetryAfter, appendInt(nil, seconds))
	}
	r.Header.SetCanonical(hdrSecurityPolicy, valPolicy)
	r.SetBody(p.appendJSON(nil))
}

// keepUnread is how much of an unread body is waited for to keep a connection.
const keepUnread = 64 << 10

// settleBody sees to what was not read of the request: a small rest is left to
// fasthttp, which drops it and goes on; with a large one the connection ends,
// but only after the client could take the answer.
func (c *call) settleBody() {
	if c.expected { // some clients send it all the same
		c.ctx.SetConnectionClose()
		c.turned = c.ctx.Conn()
		return
	}
	if c.bodyRead || c.ctx.RequestBodyStream() == nil {
		return
	}
	if n := c.ctx.Request.Header.ContentLength(); n >= 0 && n <= keepUnread && !c.reading {
		return
	}
	c.ctx.SetConnectionClose()
	c.turned = c.ctx.Conn()
}

// paceAnswer gives a large answer the time that the least rate allows.
func (s *Server) paceAnswer(ctx *fasthttp.RequestCtx, n int) {
	if extra := int64(n) / s.cfg.MinRate; extra > 0 && n > 1<<20 {
		_ = ctx.SetWriteDeadline(time.Now().Add(s.cfg.StallTimeout + time.Duration(extra)*time.Second))
	}
}

func (s *Server) tooLarge() *problem {
	return fail(codeTooLarge, fmt.Sprintf("the body is over the limit of %d bytes; send it in parts", s.cfg.MaxBody))
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

// allowOrigin adds the CORS header when the caller's origin is configured.
func (s *Server) allowOrigin(ctx *fasthttp.RequestCtx) {
	origin := ctx.Request.Header.Peek("Origin")
	if len(origin) == 0 {
		return
	}
	h := &ctx.Response.Header
	for _, o := range s.cfg.CORS {
		if o == "*" || o == string(origin) {
			if o != "*" {
				h.Set("Vary", "Origin")
			}
			h.Set("Access-Control-Allow-Origin", o)
			h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After, X-Error-Count")
			return
		}
	}
}

// preflight answers the question of a browser.
func (c *call) preflight(methods string) {
	h := &c.ctx.Response.Header
	if len(h.Peek("Access-Control-Allow-Origin")) > 0 {
		h.Set("Access-Control-Allow-Methods", methods)
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Content-Encoding, X-Request-Id")
		h.Set("Access-Control-Max-Age", "600")
	}
	c.ctx.SetStatusCode(fasthttp.StatusNoContent)
	c.s.metrics.requests(routeOther, codeOK)
}

// other serves everything that is not an endpoint for tokens.
func (c *call) other() {
	s, ctx := c.s, c.ctx
	page := s.page(string(rawPath(ctx)))
	var p *problem
	switch {
	case page == nil:
		p = fail(codeNotFound, "there is nothing here; the endpoints are "+endpointForward.path+" and "+endpointReverse.path)
	case !ctx.IsGet() && !ctx.IsHead():
		ctx.Response.Header.Set("Allow", "GET, HEAD")
		p = fail(codeMethodNotAllowed, "use GET")
	default:
		ctx.Response.Header.SetCanonical(hdrSecurityPolicy, valPolicy) // a browser may show it
		status, mime, body := page()
		ctx.SetStatusCode(status)
		ctx.SetContentType(mime)
		ctx.Response.SetBody(body)
	}
	outcome := codeOK
	if p != nil {
		outcome = p.code
		c.refuse(p)
	}
	c.settleBody()
	s.metrics.requests(routeOther, outcome)
}

// broken answers a request that could not be read at all.
func (s *Server) broken(ctx *fasthttp.RequestCtx, err error) {
	c := s.calls.Get().(*call)
	c.s, c.ctx, c.start = s, ctx, time.Now()
	c.id = s.ids.next(c.idBuf[:0])
	ctx.SetUserValue(callKey, c)
	h := &ctx.Response.Header
	h.SetCanonical(hdrRequestID, c.id)
	h.SetCanonical(hdrContentOptions, valNoSniff)
	h.SetCanonical(hdrCacheControl, valNoStore)
	var small *fasthttp.ErrSmallBuffer
	var p *problem
	switch {
	case asError(err, &small):
		p = fail(codeHeaderTooLarge, fmt.Sprintf("the header is over the limit of %d bytes", readBuffer))
	case isTimeout(err):
		p = fail(codeTimeout, "the request came in too slowly")
	case tokenBroken(err):
		c.refuseBrokenToken()
		return
	case beganHTTP2(ctx.Conn()):
		p = fail(codeVersionNotSupported, versionNeeded)
	case strings.Contains(err.Error(), "unexpected EOF"):
		p = fail(codeBadRequest, "the request ended before all of it had come")
	default:
		p = fail(codeBadRequest, "the request is not HTTP/1.1 as RFC 9112 has it")
	}
	c.refuseWire(p)
}
