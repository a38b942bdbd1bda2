package server

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/velonym/velonym/engine/spec"
	"github.com/velonym/velonym/engine/token"
)

// endpoint is a path that takes tokens.
type endpoint struct {
	path string
	op   spec.Op // for the audit record of a call without a verified token
	ops  token.Ops
	rev  bool // reverses: its record is on disk before its answer is sent
	route
}

var (
	endpointForward = endpoint{"/api/request-psn", spec.Pseudonymise, token.OpsForward, false, routeForward}
	endpointReverse = endpoint{"/api/request-psn-rev", spec.Reverse, token.OpsReverse, true, routeReverse}
)

// rawPath returns the path as it was sent. It is not normalised, so that a proxy in front
// that filters by path sees the same path.
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

// endpointOf returns the endpoint of a request, nil for any other path.
func endpointOf(ctx *fasthttp.RequestCtx) *endpoint {
	switch string(rawPath(ctx)) {
	case endpointForward.path:
		return &endpointForward
	case endpointReverse.path:
		return &endpointReverse
	case endpointValidate.path:
		return &endpointValidate
	}
	return nil
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
			h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After, X-Error-Count, X-Values-Left")
			return
		}
	}
}

// preflight answers a CORS preflight request.
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
