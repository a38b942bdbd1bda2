package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// BenchmarkHandle measures the request path without sockets.
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

// BenchmarkRefused measures refused calls over keep-alive connections, in calls per second
// and as the 99th percentile of latency. The record of each is on disk before its answer.
func BenchmarkRefused(b *testing.B) {
	for _, conns := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(conns), func(b *testing.B) {
			r := newRig(b, nil)
			r.client.Transport = &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: conns}
			took := make([][]time.Duration, conns)
			var wg sync.WaitGroup
			b.ResetTimer()
			for i := range conns {
				wg.Go(func() {
					for n := i; n < b.N; n += conns {
						start := time.Now()
						res, err := r.client.Post(r.url+reversePath, csvType, strings.NewReader("x"))
						if err != nil {
							b.Error(err)
							return
						}
						_, _ = io.Copy(io.Discard, res.Body)
						res.Body.Close()
						if res.StatusCode != http.StatusUnauthorized {
							b.Errorf("status %d", res.StatusCode)
							return
						}
						took[i] = append(took[i], time.Since(start))
					}
				})
			}
			wg.Wait()
			all := slices.Concat(took...)
			slices.Sort(all)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
		})
	}
}
