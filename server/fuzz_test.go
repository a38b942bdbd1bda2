package server

import (
	"bytes"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/valyala/fasthttp"

	"github.com/velonym/velonym/engine/token"
)

// FuzzHeaders parses header values, and checks what a result says about its input.
func FuzzHeaders(f *testing.F) {
	f.Add([]byte("Bearer abc"), []byte("application/json; charset=utf-8"), []byte("text/csv;q=0.5, */*"), []byte("gzip, zstd;q=0"), []byte("id-1"))
	f.Add([]byte("bearer"), []byte(";"), []byte(",,;q=;"), []byte("*;q=2"), []byte(""))
	f.Fuzz(func(t *testing.T, auth, ct, accept, enc, id []byte) {
		if tok := bearer(auth); tok != nil {
			if len(auth) < 7 || !strings.EqualFold(string(auth[:6]), "bearer") || !bytes.HasSuffix(bytes.TrimRight(auth, " \t"), tok) {
				t.Errorf("bearer(%q) = %q, which is not its end, or the scheme is not Bearer", auth, tok)
			}
		}
		if m := mediaType(ct); m != formatUnknown {
			want := map[bodyFormat]string{formatJSON: "application/json", formatCSV: "text/csv", formatArrow: "application/vnd.apache.arrow.stream"}[m]
			if !strings.Contains(strings.ToLower(string(ct)), want) {
				t.Errorf("mediaType(%q) = %v, want a type that does not contain %q to be unknown", ct, m, want)
			}
		}
		if wantsCSV(accept) && !strings.Contains(strings.ToLower(string(accept)), "text/csv") {
			t.Errorf("wantsCSV(%q) is true without text/csv", accept)
		}
		if c := acceptCoding(enc); c == codingZstd && !strings.Contains(strings.ToLower(string(enc)), "zstd") {
			t.Errorf("acceptCoding(%q) = %v without zstd", enc, c)
		}
		if contentCoding(enc) == codingGzip && !strings.Contains(strings.ToLower(string(enc)), "gzip") {
			t.Errorf("contentCoding(%q) is gzip", enc)
		}
		if validRequestID(id) && (len(id) > maxRequestID || bytes.ContainsAny(id, "\r\n\"<> \x00")) {
			t.Errorf("validRequestID(%q) is true", id)
		}
	})
}

// FuzzRequest sends bodies through the request path, in all formats and codings.
func FuzzRequest(f *testing.F) {
	r := newRig(f, func(c *Config) { c.Audit, c.Keystore = nil, nil })
	tok := r.token("pseudonymise", func(q *token.Request) { q.Err = "item" })
	strict := r.token("pseudonymise", nil)
	f.Add([]byte(`{"data":["a","b\"",1,null,""]}`), byte(0))
	f.Add([]byte("a,\"b\"\"c\"\r\n\r\n,d"), byte(1))
	f.Add([]byte("\ufeff\"\"\n\"x\ny\",z\n"), byte(3))
	nobody, _ := net.Pipe()
	nobody.Close() // deadlines and lingering end at once
	f.Fuzz(func(t *testing.T, body []byte, how byte) {
		var ctx fasthttp.RequestCtx
		ctx.Init2(nobody, nil, false)
		q := &ctx.Request
		q.Header.SetMethod("POST")
		q.SetRequestURI(forwardPath)
		q.Header.SetContentType([]string{jsonType, csvType}[how&1])
		if how&2 != 0 {
			q.Header.Set("Accept", csvType)
		}
		q.Header.Set("Authorization", "Bearer "+[]string{tok, strict}[how>>2&1])
		if how&8 != 0 {
			q.Header.Set("Content-Encoding", []string{"gzip", "zstd"}[how>>4&1])
		}
		q.SetBodyStream(bytes.NewReader(body), len(body))
		r.srv.handle(&ctx)
		a := clientAnswer{ctx.Response.StatusCode(), http.Header{}, bytes.Clone(ctx.Response.Body())}
		switch a.status {
		case 200:
			if !bytes.HasPrefix(ctx.Response.Header.ContentType(), []byte("text/csv")) {
				a.data(t)
			}
		case 400, 413, 422:
		default:
			t.Errorf("status %d, want 200, 400, 413 or 422: %s", a.status, a.body)
		}
		ctx.Request.Reset()
		if used := r.srv.mem.used.Load(); used != 0 {
			t.Fatalf("%d bytes are not released", used)
		}
	})
}

// FuzzArrowRequest sends Arrow streams, with bytes changed, through the whole of the request
// path. The answer is a stream or a problem, and all memory is released.
func FuzzArrowRequest(f *testing.F) {
	r := newRig(f, func(c *Config) { c.Audit, c.Keystore, c.MaxBody, c.MaxInFlight = nil, nil, 1<<20, 64<<20 })
	tok := r.token("pseudonymise", func(q *token.Request) { q.Err = "item" })
	strict := r.token("pseudonymise", nil)
	whole := []arrow.RecordBatch{registerBatch(0, 30), registerBatch(30, 3)}
	for i, o := range [][]ipc.Option{nil, {ipc.WithLZ4()}, {ipc.WithZstd()}} {
		f.Add([]byte(streamOf(f, whole, append(o, ipc.WithDictionaryDeltas(true))...)), byte(i), uint16(0), byte(0))
	}
	f.Add([]byte(stringsStream(f, []string{"id"}, []string{"a", "\x01", "", "\x00"})), byte(8), uint16(0), byte(0))
	nobody, _ := net.Pipe()
	nobody.Close()
	f.Fuzz(func(t *testing.T, body []byte, how byte, at uint16, flip byte) {
		if int(at) < len(body) {
			body = bytes.Clone(body)
			body[at] ^= flip
		}
		var ctx fasthttp.RequestCtx
		ctx.Init2(nobody, nil, false)
		q := &ctx.Request
		q.Header.SetMethod("POST")
		q.SetRequestURI(forwardPath + []string{"?column=id", "?column=large&column=view&column=%231", "?column=town&column=person.name", "?column=codes&column=raw&column=id", ""}[how%5])
		q.Header.SetContentType(arrowType)
		q.Header.Set("Authorization", "Bearer "+[]string{tok, strict}[how>>7])
		q.SetBodyStream(bytes.NewReader(body), len(body))
		r.srv.handle(&ctx)
		switch ctx.Response.StatusCode() {
		case 200:
			if !bytes.Equal(ctx.Response.Header.ContentType(), []byte(arrowType)) || !bytes.HasPrefix(ctx.Response.Body(), []byte{0xff, 0xff, 0xff, 0xff}) {
				t.Error("the answer is no Arrow stream")
			}
		case 400, 413, 422, 503:
		default:
			t.Errorf("status %d: %s", ctx.Response.StatusCode(), ctx.Response.Body())
		}
		ctx.Request.Reset()
		if used := r.srv.mem.used.Load(); used != 0 {
			t.Fatalf("%d bytes are not given back", used)
		}
	})
}
