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
	if id := ctx.Request.Header.PeekCanonical(hdrRequestID); validRequestID(id) {
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
	if p := wireProblem(&ctx.Request.Header); p != nil {
		c.refuseWire(p)
		return
	}
	if e := endpointOf(ctx); e != nil {
		c.serveEndpoint(e)
	} else {
		c.servePage()
	}
}

// expect checks a request with Expect: 100-continue (RFC 9110 §10.1.1) by its header
// alone. It returns 100, or the status of the response that it has prepared.
func (s *Server) expect(ctx *fasthttp.RequestCtx) int {
	c := s.calls.Get().(*call)
	c.expectsContinue = true
	s.serve(c, ctx)
	if !c.sendContinue {
		return ctx.Response.StatusCode()
	}
	ctx.RemoveUserValue(callKey)
	_ = c.Close()
	return fasthttp.StatusContinue
}

// serveEndpoint serves one of the endpoints for tokens.
func (c *call) serveEndpoint(e *endpoint) {
	s, ctx := c.s, c.ctx
	if !ctx.IsPost() {
		if ctx.IsOptions() && len(s.cfg.CORS) > 0 {
			c.preflight("POST")
			return
		}
		ctx.Response.Header.Set("Allow", "POST")
		c.finish(e, nil, newProblem(codeMethodNotAllowed, "use POST"), nil)
		return
	}
	if s.auditDown() {
		// Nothing is computed, and no budget spent, for an answer that would not be sent.
		// The record of the refusal is attempted all the same.
		c.finish(e, nil, retryLater(codeUnavailable, auditUnavailable), nil)
		return
	}
	auth := ctx.Request.Header.PeekAll("Authorization")
	if len(auth) > 1 {
		c.finish(e, nil, newProblem(codeBadRequest, "more than one Authorization header"), nil)
		return
	}
	var raw []byte
	if len(auth) == 1 {
		raw = bearer(auth[0])
	}
	if len(raw) == 0 {
		c.finish(e, nil, newProblem(codeMissingToken, "send the header Authorization: Bearer TOKEN"), nil)
		return
	}
	grant, err := c.verify(raw, e.ops)
	if err != nil {
		p, fault := tokenProblem(err)
		c.finish(e, nil, p, fault)
		return
	}
	defer grant.Release()
	p, fault := c.process(e, grant)
	if c.sendContinue {
		return
	}
	c.finish(e, grant, p, fault)
}

// verify verifies the token, which is compared with the connection's last one first.
func (c *call) verify(raw []byte, ops token.Ops) (*token.Grant, error) {
	s := c.s
	if s.remembering != nil {
		if conn, ok := c.ctx.Conn().(*conn); ok { // under TLS the hash of a token costs little in comparison
			return s.remembering.VerifyAgain(s.base, raw, ops, &conn.token)
		}
	}
	return s.cfg.Verifier.Verify(s.base, raw, ops)
}

// process reads the body, transforms its values and writes the answer to c.out. If p is
// not nil, p is returned instead; fault is its cause if that is on our side, for the log
// alone.
func (c *call) process(e *endpoint, grant *token.Grant) (p *problem, fault error) {
	h := &c.ctx.Request.Header
	format := mediaType(h.ContentType())
	if format == formatUnknown {
		return newProblem(codeUnsupportedMediaType, "send application/json, text/csv or application/vnd.apache.arrow.stream"), nil
	}
	if format == formatArrow && e == &endpointValidate {
		return newProblem(codeUnsupportedMediaType, "send application/json or text/csv"), nil
	}
	columns, p := c.columnQuery(format)
	if p == nil && columns != nil && e == &endpointValidate {
		p = newProblem(codeBadRequest, "columns are for the endpoints that transform")
	}
	if p != nil {
		return p, nil
	}
	enc := contentCoding(h.ContentEncoding())
	if enc == codingUnknown {
		c.ctx.Response.Header.Set("Accept-Encoding", "gzip, zstd")
		return newProblem(codeUnsupportedMediaType, "send the body as it is, or with one coding of gzip and zstd"), nil
	}
	if c.expectsContinue {
		p := c.admitBody()
		c.sendContinue = p == nil
		if conn, ok := c.ctx.Conn().(*conn); ok {
			conn.interim = c.sendContinue
		}
		return p, nil
	}
	if p := c.readBody(enc); p != nil {
		return p, nil
	}
	if format == formatArrow {
		return c.processArrow(grant, columns)
	}
	if columns != nil {
		return c.processColumns(grant, columns)
	}
	var spans []uint32
	if format == formatJSON {
		spans, p = c.scanJSON()
	} else {
		spans, p = c.scanCSV()
	}
	if p != nil {
		return p, nil
	}
	c.values = int64(len(spans) / 2)
	c.empty = countEmpty(spans) + int64(grant.Plan.Blank(c.in, spans))
	if p, fault := c.spend(grant); p != nil {
		return p, fault
	}
	if e != &endpointValidate && grant.Op == spec.Pseudonymise {
		c.observe(grant, c.in, spans)
	}
	if e == &endpointValidate {
		if p, fault := c.writeFindings(grant, spans); p != nil {
			return p, fault
		}
		c.dropInputs()
		return c.compress(acceptCoding(h.PeekCanonical(hdrAcceptEncoding)), false), nil
	}
	a := answer{c: c, grant: grant, spans: spans, in: format, out: formatJSON}
	if wantsCSV(h.PeekCanonical(hdrAccept)) {
		a.out = formatCSV
	}
	if p := a.build(); p != nil {
		return p, nil
	}
	c.dropInputs()
	return c.compress(acceptCoding(h.PeekCanonical(hdrAcceptEncoding)), a.grant.Op != spec.Reverse), nil
}

// spend takes the call's values from the token's budget and says in the answer's header
// what is left.
func (c *call) spend(grant *token.Grant) (p *problem, fault error) {
	spent := grant.Spend(c.s.base, int(c.values-c.empty))
	left, limited := grant.Left()
	if limited {
		c.ctx.Response.Header.SetCanonical(hdrValuesLeft, appendInt(nil, int(left)))
	}
	if spent != nil {
		return tokenProblem(spent)
	}
	if limited {
		c.s.metrics.budget(left, grant.Claims.PSN.Lim.Max)
	}
	return nil, nil
}

// observe shows values to the token's enumeration guard and logs what it finds.
func (c *call) observe(grant *token.Grant, arena []byte, spans []uint32) {
	if grant.Observe(arena, spans) {
		c.s.log.Warn("a token walks through consecutive numbers", "request", string(c.id), "jti", grant.Claims.ID)
	}
}

// servePage serves everything that is not an endpoint for tokens.
func (c *call) servePage() {
	s, ctx := c.s, c.ctx
	page := s.page(string(rawPath(ctx)))
	var p *problem
	switch {
	case page == nil:
		p = newProblem(codeNotFound, "there is nothing here; the endpoints are "+endpointForward.path+", "+endpointReverse.path+" and "+endpointValidate.path)
	case !ctx.IsGet() && !ctx.IsHead():
		ctx.Response.Header.Set("Allow", "GET, HEAD")
		p = newProblem(codeMethodNotAllowed, "use GET")
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
