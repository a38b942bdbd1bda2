package server

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/valyala/fasthttp"
)

// BenchmarkHandle is the request path without sockets: what the server adds to
// an echo.
func BenchmarkHandle(b *testing.B) {
	for _, values := range []int{1, 100, 400} {
		b.Run(fmt.Sprint(values), func(b *testing.B) {
			r := newRig(b, func(c *Config) { c.Workers = 1 })
			tok := r.token("pseudonymise", nil)
			body := []byte(jsonOf(slices.Repeat([]string{"1893120105732"}, values)...))
			var (
				ctx    fasthttp.RequestCtx
				stream bytes.Reader
			)
			ctx.Init(&fasthttp.Request{}, nil, nil)
			auth := []byte("Bearer " + tok)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				ctx.Request.Header.SetMethod("POST")
				ctx.Request.SetRequestURI(forwardPath)
				ctx.Request.Header.SetContentType(jsonType)
				ctx.Request.Header.SetCanonical([]byte("Authorization"), auth)
				stream.Reset(body)
				ctx.Request.SetBodyStream(&stream, len(body))
				r.srv.handle(&ctx)
				if ctx.Response.StatusCode() != 200 {
					b.Fatal(ctx.Response.String())
				}
				ctx.Request.Reset()
				ctx.Response.Reset()
			}
		})
	}
}
