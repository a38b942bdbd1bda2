package server

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"

	"github.com/velonym/velonym/engine"
	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/token"
	"github.com/velonym/velonym/internal/panics"
)

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
		_ = c.s.note(c.record(time.Now(), e, nil, codeInternal)) // the client is told of a failure either way
	}
}

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
		if err := s.note(r); err != nil && !s.cfg.AuditContinue {
			p = busy(codeUnavailable, auditUnavailable)
			outcome = p.code
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
	took := now.Sub(c.start)
	s.metrics.served(e.route, outcome, took, c.values)
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
	r := audit.Record{Op: string(e.op)}
	if grant != nil {
		r = engine.Record(grant.Claims)
	}
	if e == &endpointValidate {
		r.Op = string(e.op)
	}
	r.Time, r.Kind, r.Request, r.Outcome = now, "request", id, outcome.String()
	r.Values, r.Empty, r.Bad = c.values, c.empty, int64(c.errCount)
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
