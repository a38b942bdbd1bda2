package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// waitMemoryReleased waits until no request holds memory. It fails the test after 15 s.
func (r *rig) waitMemoryReleased() {
	r.t.Helper()
	r.await("the memory of all requests", func() bool { return r.srv.mem.used.Load() == 0 })
}

// TestShutdownUnderLoad stops the server while clients call it. Every request that was
// accepted must get a complete answer.
func TestShutdownUnderLoad(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.DrainDelay = 200 * time.Millisecond })
	tok := r.token("pseudonymise", nil)
	var answered, lost atomic.Int64
	var wg sync.WaitGroup
	begun := make(chan struct{})
	var once sync.Once
	for i := range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			values := slices.Repeat([]string{"12345678"}, 1+i*100)
			body := jsonOf(values...)
			for {
				req, _ := http.NewRequest("POST", r.url+forwardPath, strings.NewReader(body))
				req.Header.Set("Content-Type", jsonType)
				req.Header.Set("Authorization", "Bearer "+tok)
				res, err := r.client.Do(req)
				if err != nil {
					// No listener is left, so the request was not accepted.
					var op *net.OpError
					if errors.As(err, &op) && op.Op == "dial" {
						return
					}
					lost.Add(1)
					t.Error("lost: ", err)
					return
				}
				b, err := io.ReadAll(res.Body)
				res.Body.Close()
				var v struct{ Data []string }
				if err != nil || res.StatusCode != 200 || json.Unmarshal(b, &v) != nil || len(v.Data) != len(values) {
					lost.Add(1)
					t.Errorf("an incomplete answer: %v, status %d, %d bytes", err, res.StatusCode, len(b))
					return
				}
				if answered.Add(1) > 200 {
					once.Do(func() { close(begun) })
				}
			}
		}()
	}
	<-begun
	ctx, cancel := context.WithTimeout(context.Background(), awaitLimit)
	defer cancel()
	if err := r.srv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if lost.Load() > 0 {
		t.Errorf("%d requests were lost, %d answered", lost.Load(), answered.Load())
	}
	for _, step := range []string{"not ready any more", "closing the listeners", "every request is answered"} {
		if !strings.Contains(r.log.String(), step) {
			t.Errorf("the log lacks the step %q", step)
		}
	}
	r.waitMemoryReleased()
}

// TestDraining: a server that shuts down is not ready any more at once, and answers until
// its delay is over.
func TestDraining(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.DrainDelay = time.Hour })
	tok := r.token("pseudonymise", nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r.post(forwardPath, tok, csvType, "a").strings(t) // the listener is served
	ended := make(chan error, 1)
	go func() { ended <- r.srv.Shutdown(ctx) }()
	r.await("the shutdown", r.srv.draining.Load)
	if a := r.send("GET", "/readyz", nil); a.status != 503 {
		t.Errorf("ready while draining: %d", a.status)
	}
	r.client.CloseIdleConnections()
	r.post(forwardPath, tok, csvType, "a").strings(t)
	select {
	case err := <-ended:
		t.Errorf("the delay is not kept: %v", err)
	default:
	}
	r.client.CloseIdleConnections()
	cancel()
	<-ended
	if _, err := r.client.Get(r.url + "/healthz"); err == nil {
		t.Error("answered after the end")
	}
}

// TestShutdownGivesUp cuts off a client that will not end.
func TestShutdownGivesUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	w := r.raw()
	w.write(requestHead(r.token("pseudonymise", nil), contentLength(100_000)) + strings.Repeat("a,", 8<<10))
	r.await("the request", func() bool { return r.srv.mem.used.Load() > 0 })
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := r.srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v, want context.DeadlineExceeded", err)
	}
	w.conn.Close()
	r.waitMemoryReleased()
}

// TestNoGoroutineLeaks runs good and bad clients several times. Afterwards no memory may
// be held, and there may be no more goroutines than after the first time.
func TestNoGoroutineLeaks(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxBody = 1 << 20 })
	tok := r.token("pseudonymise", nil)
	mixed := func() {
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for k := range 10 {
					switch (i + k) % 5 {
					case 0:
						r.post(forwardPath, tok, csvType, strings.Repeat("12345678,", 1000))
					case 1:
						r.post(forwardPath, tok, csvType, strings.Repeat("a", 2<<20))
					case 2:
						r.post(forwardPath, "junk", jsonType, jsonOf("a"))
					case 3:
						c, err := net.Dial("tcp", r.addr)
						if err == nil {
							io.WriteString(c, requestHead(tok, contentLength(50_000))+"a,b")
							c.Close()
						}
					case 4:
						r.post(forwardPath, tok, jsonType, `{"data":[`)
					}
				}
			}()
		}
		wg.Wait()
		r.client.CloseIdleConnections()
		r.waitMemoryReleased()
	}
	closed := func() bool { return r.srv.conns.Load() == 0 }
	mixed()
	r.await("the end of the connections", closed)
	before := runtime.NumGoroutine()
	for range 4 {
		mixed()
	}
	r.await("the end of the connections", closed)
	// Workers of the pool end when they have been idle for ten seconds.
	r.await("the end of the goroutines", func() bool { return runtime.NumGoroutine() <= before+16 })
}
