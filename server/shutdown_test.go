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
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		used := r.srv.mem.used.Load()
		if used == 0 {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("%d bytes are still held", used)
		}
	}
}

// TestShutdownUnderLoad stops the server while clients call it. Every request that was
// accepted must get a complete answer.
func TestShutdownUnderLoad(t *testing.T) {
	r := newRig(t, func(c *Config) { c.DrainDelay = 300 * time.Millisecond })
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
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	go func() {
		time.Sleep(100 * time.Millisecond)
		if a := r.send("GET", "/readyz", nil); a.status != 503 {
			t.Errorf("readyz while draining: status %d, want 503", a.status)
		}
	}()
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

// TestShutdownGivesUp checks that Shutdown cuts off a client that does not finish its
// request before the context ends.
func TestShutdownGivesUp(t *testing.T) {
	r := newRig(t, nil)
	w := r.raw()
	w.write(requestHead(r.token("pseudonymise", nil), contentLength(100_000)) + strings.Repeat("a,", 8<<10))
	for end := time.Now().Add(5 * time.Second); r.srv.mem.used.Load() == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
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
	r := newRig(t, func(c *Config) { c.MaxBody = 1 << 20; c.StallTimeout = 300 * time.Millisecond })
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
	count := func() int {
		n := 0
		for range 100 { // goroutines of closed connections end soon, not at once
			if n = runtime.NumGoroutine(); r.srv.conns.Load() == 0 {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		return n
	}
	mixed()
	before := count()
	for range 4 {
		mixed()
	}
	for i := 0; ; i++ {
		after := count()
		if after <= before+16 { // fasthttp keeps idle workers
			break
		}
		if i > 100 {
			t.Fatalf("%d goroutines at first, %d later", before, after)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
