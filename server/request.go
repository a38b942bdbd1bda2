package server

import (
	"time"

	"github.com/valyala/fasthttp"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/token"
)

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

// transform serves one of the endpoints for tokens.
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
	if s.auditDown() {
		// Nothing is computed, and no budget spent, for an answer that would be kept
		// back. The record of the refusal is tried all the same.
		c.done(e, nil, busy(codeUnavailable, auditUnavailable), nil)
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
	p, fault := c.work(e, grant)
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
func (c *call) work(e *endpoint, grant *token.Grant) (p *problem, fault error) {
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
	spent := grant.Spend(c.s.base, int(c.values-c.empty))
	left, limited := grant.Left()
	if limited {
		c.ctx.Response.Header.SetCanonical(hdrValuesLeft, appendInt(nil, int(left)))
	}
	if spent != nil {
		return ofToken(spent)
	}
	if e != &endpointValidate && grant.Op == spec.Pseudonymise && grant.Observe(c.in, spans) {
		c.s.log.Warn("a token walks through consecutive numbers", "request", string(c.id), "jti", grant.Claims.ID)
	}
	if limited {
		c.s.metrics.budget(left, grant.Claims.PSN.Lim.Max)
	}
	if e == &endpointValidate {
		if p, fault := c.findings(grant, spans); p != nil {
			return p, fault
		}
		c.dropInputs()
		return c.compress(acceptCoding(h.PeekCanonical(hdrAcceptEncoding)), false), nil
	}
	a := answer{c: c, grant: grant, spans: spans, in: shape, out: formJSON}
	if wantsCSV(h.PeekCanonical(hdrAccept)) {
		a.out = formCSV
	}
	if p := a.make(); p != nil {
		return p, nil
	}
	c.dropInputs()
	return c.compress(acceptCoding(h.PeekCanonical(hdrAcceptEncoding)), a.grant.Op != spec.Reverse), nil
}

// other serves everything that is not an endpoint for tokens.
func (c *call) other() {
	s, ctx := c.s, c.ctx
	page := s.page(string(rawPath(ctx)))
	var p *problem
	switch {
	case page == nil:
		p = fail(codeNotFound, "there is nothing here; the endpoints are "+endpointForward.path+", "+endpointReverse.path+" and "+endpointValidate.path)
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
