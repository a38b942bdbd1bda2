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

// recovered answers 500 after a panic. The log says where the panic came from and shows
// no data.
func (c *call) recovered() {
	v := recover()
	if v == nil {
		return
	}
	c.s.log.Error("request failed", "request", string(c.id), "panic", panics.New(v).Error())
	c.dropInputs()
	c.refuse(newProblem(codeInternal, ""))
	c.ctx.SetConnectionClose()
	c.s.metrics.requests(routeOther, codeInternal)
	if e := endpointOf(c.ctx); e != nil && c.s.cfg.Audit != nil && !c.recorded {
		c.recorded = true
		_ = c.s.appendRecord(c.record(time.Now(), e, nil, codeInternal)) // the client gets a 500 in any case
	}
}

// finish writes the audit record and prepares the response. A problem p is the response;
// without one it is c.out. fault is the cause of a problem on our side, for the log alone.
func (c *call) finish(e *endpoint, grant *token.Grant, p *problem, fault error) {
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
		c.recorded = true
		r := c.record(now, e, grant, outcome)
		if err := s.appendRecord(r); err != nil && !s.cfg.AuditContinue {
			p = retryLater(codeUnavailable, auditUnavailable)
			outcome = p.code
		}
		if r.Sync {
			now = time.Now() // the sync may have taken long
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

// record returns the audit record of the call. The record of a call that reverses or is
// refused is on disk before its answer is sent; concurrent calls share a write and a sync,
// so many of them cost little more than one. Each connection waits for its own record, so
// at most MaxConns records wait. The record of a call whose token did not verify holds
// nothing that the token says.
func (c *call) record(now time.Time, e *endpoint, grant *token.Grant, outcome code) audit.Record {
	// The record is written before the call's buffers are reused.
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

// refuse makes p the response.
func (c *call) refuse(p *problem) {
	r := &c.ctx.Response
	// Headers of the answer that the problem replaces.
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

// keepUnread is the most bytes of an unread body that are read to keep a connection.
const keepUnread = 64 << 10

// settleBody decides what happens to the unread rest of a request: fasthttp drops a small
// one and keeps the connection; with a large one the connection ends after it has lingered
// for the client to receive the answer.
func (c *call) settleBody() {
	if c.expectsContinue { // some clients send the body without 100 Continue
		c.ctx.SetConnectionClose()
		c.lingerConn = c.ctx.Conn()
		return
	}
	if c.bodyRead || c.ctx.RequestBodyStream() == nil {
		return
	}
	if n := c.ctx.Request.Header.ContentLength(); n >= 0 && n <= keepUnread && !c.bodyStarted {
		return
	}
	c.ctx.SetConnectionClose()
	c.lingerConn = c.ctx.Conn()
}

// paceAnswer extends the write deadline of a large answer as far as MinRate allows.
func (s *Server) paceAnswer(ctx *fasthttp.RequestCtx, n int) {
	if extra := int64(n) / s.cfg.MinRate; extra > 0 && n > 1<<20 {
		_ = ctx.SetWriteDeadline(time.Now().Add(s.cfg.StallTimeout + time.Duration(extra)*time.Second))
	}
}

func (s *Server) tooLarge() *problem {
	return newProblem(codeTooLarge, fmt.Sprintf("the body is over the limit of %d bytes; send it in parts", s.cfg.MaxBody))
}

// answerUnreadable answers a request that fasthttp could not parse.
func (s *Server) answerUnreadable(ctx *fasthttp.RequestCtx, err error) {
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
		p = newProblem(codeHeaderTooLarge, fmt.Sprintf("the header is over the limit of %d bytes", readBuffer))
	case isTimeout(err):
		p = newProblem(codeTimeout, "the request came in too slowly")
	case isBadAuthorization(err):
		c.refuseBadAuthorization()
		return
	case isHTTP2(ctx.Conn()):
		p = newProblem(codeVersionNotSupported, versionNeeded)
	case strings.Contains(err.Error(), "unexpected EOF"):
		p = newProblem(codeBadRequest, "the request ended before all of it had come")
	default:
		p = newProblem(codeBadRequest, "the request is not HTTP/1.1 as RFC 9112 has it")
	}
	c.refuseWire(p)
}
