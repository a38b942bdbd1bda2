package server

import (
	"bytes"
	"net"
	"strings"

	"github.com/valyala/fasthttp"
)

// fieldNameByte holds the bytes that a field name may have (RFC 9110 §5.6.2).
var fieldNameByte = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c != 0 && strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0
	}
	return t
}()

// wellFormed reports whether the lines of a header, as they were sent, are fields with
// valid names and values on one line (RFC 9112 §5). fasthttp is more lenient: it accepts
// spaces in a name and joins folded lines. A proxy in front may do otherwise, and the two
// would see different requests.
//
// framed reports whether at most one field says where the body ends (RFC 9112 §6.1), as a
// length or as chunks alone.
func wellFormed(lines []byte) (well, framed bool) {
	lengths, codings := 0, 0
	framed = true
	for len(lines) > 0 {
		n := 0
		for n < len(lines) && fieldNameByte[lines[n]] {
			n++
		}
		if n == 0 && (lines[0] == '\r' || lines[0] == '\n') {
			break // the line that ends the header
		}
		if n == 0 || n == len(lines) || lines[n] != ':' {
			return false, false
		}
		end := bytes.IndexByte(lines[n:], '\n')
		if end < 0 {
			return false, false
		}
		switch {
		case n == len("Content-Length") && bytes.EqualFold(lines[:n], []byte("Content-Length")):
			lengths++
		case n == len("Transfer-Encoding") && bytes.EqualFold(lines[:n], []byte("Transfer-Encoding")):
			codings++
			framed = framed && bytes.EqualFold(bytes.TrimSpace(lines[n+1:n+end]), []byte("chunked"))
		}
		lines = lines[n+end+1:]
	}
	return true, framed && lengths+codings < 2
}

// wireProblem returns why a header is refused for its syntax, nil if it is not.
func wireProblem(h *fasthttp.RequestHeader) *problem {
	if !h.IsHTTP11() && string(h.Protocol()) != "HTTP/1.0" {
		return newProblem(codeVersionNotSupported, versionNeeded)
	}
	switch well, framed := wellFormed(h.RawHeaders()); {
	case !well:
		return newProblem(codeBadRequest, "the request's header has a space or a control character in a field's name, or a field that is folded over several lines")
	case !framed:
		return newProblem(codeBadRequest, "send either one Content-Length or Transfer-Encoding: chunked, and nothing else that says where the body ends")
	}
	return nil
}

const versionNeeded = "send HTTP/1.1 or HTTP/1.0"

// refuseWire answers a request that violates HTTP and ends the connection, since the start
// of the next request on it is uncertain.
func (c *call) refuseWire(p *problem) {
	c.refuse(p)
	c.ctx.SetConnectionClose()
	c.lingerConn = c.ctx.Conn()
	c.s.metrics.requests(routeOther, p.code)
}

// refuseBadAuthorization answers a call whose Authorization header has characters that no
// header may have. fasthttp stops reading there, so the path of the call is unknown.
func (c *call) refuseBadAuthorization() {
	if c.s.cfg.Audit != nil {
		if err := c.s.appendRecord(c.record(c.start, &endpointUnread, nil, codeInvalidToken)); err != nil && !c.s.cfg.AuditContinue {
			c.refuseWire(retryLater(codeUnavailable, auditUnavailable))
			return
		}
	}
	c.refuseWire(&problem{code: codeInvalidToken, bearer: "invalid_token",
		detail: "the token has control characters in it: send it as it was made, on one line"})
	c.s.logRequest(c, endpointUnread.path, codeInvalidToken, 0)
}

// endpointUnread is the endpoint in the record of a call that could not be read.
var endpointUnread = endpoint{path: "unread", op: "unread"}

// http2Preface is what a client with prior knowledge of HTTP/2 sends first (RFC 9113 §3.4).
const http2Preface = "PRI * HTTP/2.0\r\n"

// isHTTP2 reports whether a connection began with http2Preface. Under TLS, where the
// version is negotiated, it returns false.
func isHTTP2(c net.Conn) bool {
	ours, ok := c.(*conn)
	return ok && ours.http2
}

// isBadAuthorization reports whether err of fasthttp's parser is about the value of an
// Authorization header. The text of err quotes the value and must not be shown.
func isBadAuthorization(err error) bool {
	_, value, ok := strings.Cut(err.Error(), `invalid header value "`)
	if !ok {
		return false
	}
	return len(value) >= len("bearer") && strings.EqualFold(value[:len("bearer")], "bearer")
}
