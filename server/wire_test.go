package server

import (
	"net"
	"strings"
	"testing"
	"time"
)

// TestHeaderSyntax sends good and malformed request headers, each over its own connection.
// A malformed one must be refused and its connection closed, so that its body cannot be
// read as another request. A refusal must not contain what was sent.
func TestHeaderSyntax(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.LingerTimeout = time.Second })
	tok := r.token("pseudonymise", nil)
	const first = "POST " + forwardPath + " HTTP/1.1\r\n"
	auth := "Authorization: Bearer " + tok + "\r\n"
	good := "Host: x\r\nContent-Type: text/csv\r\n"
	end := "Content-Length: 3\r\n\r\na,b"
	line := func(l string) string { return first + good + auth + l + "\r\n" + end }
	for _, c := range []struct {
		name, sent string
		status     int
		code       string
	}{
		{"as it should be", first + good + auth + end, 200, ""},
		{"HTTP/1.0", "POST " + forwardPath + " HTTP/1.0\r\n" + good + auth + end, 200, ""},
		{"all characters of a name", line("!#$%&'*+-.^_`|~09azAZ: 1"), 200, ""},
		{"spaces around a value", line("X-A: \t b \t "), 200, ""},
		{"a tab and other bytes within a value", line("X-A: a\tb \xc3\xa9\xff"), 200, ""},
		{"an empty value", line("X-A:"), 200, ""},
		{"a colon in a value", line("X-A: a b: c"), 200, ""},

		{"space before the colon", line("X-A : b"), 400, "BAD_REQUEST"},
		{"tab before the colon", line("X-A\t: b"), 400, "BAD_REQUEST"},
		{"space within a name", line("X A: b"), 400, "BAD_REQUEST"},
		{"spaces within the name of a length", line("Content Length: 30"), 400, "BAD_REQUEST"},
		{"space before the colon of a length", first + good + auth + "Content-Length : 3\r\n\r\na,b", 400, "BAD_REQUEST"},
		{"space before the first name", first + " X-A: b\r\n" + good + auth + end, 400, "BAD_REQUEST"},
		{"nothing before the colon", line(": b"), 400, "BAD_REQUEST"},
		{"no colon", line("X-A"), 400, "BAD_REQUEST"},
		{"control byte in a name", line("X-\x01A: b"), 400, "BAD_REQUEST"},
		{"NUL in a name", line("X-\x00A: b"), 400, "BAD_REQUEST"},
		{"byte beyond ASCII in a name", line("X-\xe9: b"), 400, "BAD_REQUEST"},
		{"bracket in a name", line("X[A]: b"), 400, "BAD_REQUEST"},
		{"control byte in a value", line("X-A: b\x01c"), 400, "BAD_REQUEST"},
		{"NUL in a value", line("X-A: b\x00c"), 400, "BAD_REQUEST"},
		{"DEL in a value", line("X-A: b\x7fc"), 400, "BAD_REQUEST"},
		{"bare CR in a value", line("X-A: b\rc"), 400, "BAD_REQUEST"},

		{"folded by a space", line("X-A: b\r\n c"), 400, "BAD_REQUEST"},
		{"folded by a tab", line("X-A: b\r\n\tc"), 400, "BAD_REQUEST"},
		{"folded with nothing behind", line("X-A: b\r\n "), 400, "BAD_REQUEST"},
		{"folded with a bare LF", line("X-A: b\n c"), 400, "BAD_REQUEST"},
		{"folded Transfer-Encoding", first + good + auth + "Transfer-Encoding:\r\n chunked\r\n\r\n3\r\na,b\r\n0\r\n\r\n", 400, "BAD_REQUEST"},
		{"folded Transfer-Encoding, second line", first + good + auth + "Transfer-Encoding: chunked\r\n ,gzip\r\n\r\n3\r\na,b\r\n0\r\n\r\n", 400, "BAD_REQUEST"},
		{"folded length", first + good + auth + "Content-Length:\r\n 3\r\n\r\na,b", 400, "BAD_REQUEST"},
		{"folded token", first + good + "Authorization: Bearer\r\n " + tok + "\r\n" + end, 400, "BAD_REQUEST"},
		{"folded last field", first + good + auth + "Content-Length: 3\r\nX-A: b\r\n c\r\n\r\na,b", 400, "BAD_REQUEST"},

		{"two lengths", line("Content-Length: 3"), 400, "BAD_REQUEST"},
		{"two lengths in one", first + good + auth + "Content-Length: 3, 3\r\n\r\na,b", 400, "BAD_REQUEST"},
		{"length with a sign", first + good + auth + "Content-Length: +3\r\n\r\na,b", 400, "BAD_REQUEST"},
		{"two codings", first + good + auth + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "BAD_REQUEST"},
		{"coding that is not known", first + good + auth + "Transfer-Encoding: gzip\r\n\r\n", 400, "BAD_REQUEST"},
		{"length and coding", line("Transfer-Encoding: chunked"), 400, "BAD_REQUEST"},
		{"length and coding, in chunks", first + good + auth + "Content-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na,b\r\n0\r\n\r\n", 400, "BAD_REQUEST"},
		{"coding and length, in chunks", first + good + auth + "transfer-encoding: Chunked\r\ncontent-length: 13\r\n\r\n3\r\na,b\r\n0\r\n\r\n", 400, "BAD_REQUEST"},
		{"the coding identity", first + good + auth + "Transfer-Encoding: identity\r\n\r\n", 400, "BAD_REQUEST"},
		{"the coding identity and a length", line("Transfer-Encoding: identity"), 400, "BAD_REQUEST"},
		{"an empty coding", line("Transfer-Encoding:"), 400, "BAD_REQUEST"},
		{"chunks", first + good + auth + "Transfer-Encoding: \t chunked\r\n\r\n3\r\na,b\r\n0\r\n\r\n", 200, ""},
		{"no Host", first + "Content-Type: text/csv\r\n" + auth + end, 400, "BAD_REQUEST"},
		{"two Hosts", line("Host: y"), 400, "BAD_REQUEST"},
		{"two Authorizations", line(strings.TrimSuffix(auth, "\r\n")), 400, "BAD_REQUEST"},

		{"HTTP/2.0", "POST " + forwardPath + " HTTP/2.0\r\n" + good + auth + end, 505, "HTTP_VERSION_NOT_SUPPORTED"},
		{"HTTP/3.0", "POST " + forwardPath + " HTTP/3.0\r\n" + good + auth + end, 505, "HTTP_VERSION_NOT_SUPPORTED"},
		{"HTTP/1.2", "POST " + forwardPath + " HTTP/1.2\r\n" + good + auth + end, 505, "HTTP_VERSION_NOT_SUPPORTED"},
		{"HTTP/0.9", "GET /healthz HTTP/0.9\r\nHost: x\r\n\r\n", 505, "HTTP_VERSION_NOT_SUPPORTED"},
		{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP_VERSION_NOT_SUPPORTED"},
		{"no version", "POST " + forwardPath + "\r\n" + good + auth + end, 400, "BAD_REQUEST"},
		{"no version of HTTP", "POST " + forwardPath + " HTTQ/1.1\r\n" + good + auth + end, 400, "BAD_REQUEST"},
		{"two spaces before the version", "POST " + forwardPath + "  HTTP/1.1\r\n" + good + auth + end, 400, "BAD_REQUEST"},
		{"control byte in the target", "POST " + forwardPath + "\x01 HTTP/1.1\r\n" + good + auth + end, 400, "BAD_REQUEST"},

		{"control byte in the token", first + good + "Authorization: Bearer " + tok[:20] + "\x01" + tok[20:] + "\r\n" + end, 401, "INVALID_TOKEN"},
		{"control byte behind the token", first + good + "Authorization: bearer " + tok + "\x1b[0m\r\n" + end, 401, "INVALID_TOKEN"},
		{"NUL in the token", first + good + "Authorization: Bearer \x00" + tok + "\r\n" + end, 401, "INVALID_TOKEN"},
		{"bare CR in the token", first + good + "Authorization: Bearer " + tok[:20] + "\r" + tok[20:] + "\r\n" + end, 401, "INVALID_TOKEN"},
		{"tab in the token", first + good + "Authorization: Bearer " + tok[:20] + "\t" + tok[20:] + "\r\n" + end, 401, "INVALID_TOKEN"},
		{"space in the token", first + good + "Authorization: Bearer " + tok[:20] + " " + tok[20:] + "\r\n" + end, 401, "INVALID_TOKEN"},
		{"bytes beyond ASCII in the token", first + good + "Authorization: Bearer " + tok[:20] + "\xc3\xa9" + tok[20:] + "\r\n" + end, 401, "INVALID_TOKEN"},
		{"control byte in the token's own header", first + good + "Authorization: Bearer eyJhbGciOiJFZERTQSIsInR5cCI6IkoBV1QifQ.e30.AA\r\n" + end, 401, "INVALID_TOKEN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := r.raw()
			w.write(c.sent)
			a := w.read()
			if c.status == 200 {
				if got := a.strings(t); len(got) != 2 {
					t.Errorf("%d values, want 2", len(got))
				}
				return
			}
			a.problem(t, c.status, c.code)
			if strings.Contains(string(a.body), tok[:20]) || strings.Contains(string(a.body), "X-A") {
				t.Errorf("the refusal contains what was sent: %s", a.body)
			}
			challenge := a.header.Get("WWW-Authenticate")
			if c.status == 401 != strings.Contains(challenge, `error="invalid_token"`) {
				t.Errorf("WWW-Authenticate of a %d: %q; only a 401 has error=\"invalid_token\"", c.status, challenge)
			}
			if c.status != 401 {
				_ = w.conn.(*net.TCPConn).CloseWrite()
				w.wantClosed()
			}
		})
	}
	if n := strings.Count(r.records(), `"outcome":"INVALID_TOKEN"`); n != 8 {
		t.Errorf("%d records of calls with a broken token, want 8", n)
	}
	for _, text := range []string{tok[:20], tok[20:40], "X-A"} {
		if strings.Contains(r.log.String(), text) {
			t.Error("the log contains what was sent")
		}
	}
	r.hangUp()
	r.waitMemoryReleased()
}
