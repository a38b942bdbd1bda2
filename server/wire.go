package server

import (
	"bytes"
	"net"
	"strings"

	"github.com/valyala/fasthttp"
)

// fieldNameByte says which bytes a field name may have (RFC 9110 §5.6.2).
var fieldNameByte = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c != 0 && strings.IndexByte("!#$%&'*+-.^_`|~", byte(c)) >= 0
	}
	return t
}()

// wellFormed reports whether the lines of a header, as they were sent, are fields
// whose names are names and whose values stand on one line (RFC 9112 §5). The
// reader of fasthttp is more lenient: it takes spaces into a name and joins folded
// lines, a proxy in front may do otherwise, and the two would see two requests.
//
// framed says whether no more than one field tells where the body ends (RFC 9112
// §6.1), and in a way that all understand: a length, or chunks alone.
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

// refusedWire returns what is against a request as it was sent, whatever it asks for.
func refusedWire(h *fasthttp.RequestHeader) *problem {
	if !h.IsHTTP11() && string(h.Protocol()) != "HTTP/1.0" {
		return fail(codeVersionNotSupported, versionNeeded)
	}
	switch well, framed := wellFormed(h.RawHeaders()); {
	case !well:
		return fail(codeBadRequest, "the request's header has a space or a control character in a field's name, or a field that is folded over several lines")
	case !framed:
		return fail(codeBadRequest, "send either one Content-Length or Transfer-Encoding: chunked, and nothing else that says where the body ends")
	}
	return nil
}

const versionNeeded = "send HTTP/1.1 or HTTP/1.0"

// refuseWire answers a request that is not as the protocol wants it, and ends the
// connection: where the next request begins on it is anybody's guess.
func (c *call) refuseWire(p *problem) {
	c.refuse(p)
	c.ctx.SetConnectionClose()
	c.turned = c.ctx.Conn()
	c.s.metrics.requests(routeOther, p.code)
}

// refuseBrokenToken answers a call whose token has characters that no header may
// have, so that the reader has gone no further and nobody knows where it was to go.
func (c *call) refuseBrokenToken() {
	if c.s.cfg.Audit != nil {
		if err := c.s.note(c.record(c.start, &endpointUnread, nil, codeInvalidToken)); err != nil && !c.s.cfg.AuditContinue {
			c.refuseWire(busy(codeUnavailable, auditUnavailable))
			return
		}
	}
	c.refuseWire(&problem{code: codeInvalidToken, bearer: "invalid_token",
		detail: "the token has control characters in it: send it as it was made, on one line"})
	c.s.logRequest(c, endpointUnread.path, codeInvalidToken, 0)
}

// endpointUnread stands in records for the endpoint of a call that could not be read.
var endpointUnread = endpoint{path: "unread", op: "unread"}

// http2Preface is how a client begins that takes HTTP/2 for granted (RFC 9113 §3.4).
const http2Preface = "PRI * HTTP/2.0\r\n"

// beganHTTP2 says whether a connection began so; through TLS, where a version is
// negotiated, it is not looked at.
func beganHTTP2(c net.Conn) bool {
	ours, ok := c.(*conn)
	return ok && ours.http2
}

// tokenBroken says whether err of fasthttp's reader is about the value of an
// Authorization header: its text quotes the value, and goes nowhere.
func tokenBroken(err error) bool {
	_, value, ok := strings.Cut(err.Error(), `invalid header value "`)
	if !ok {
		return false
	}
	return len(value) >= len("bearer") && strings.EqualFold(value[:len("bearer")], "bearer")
}
