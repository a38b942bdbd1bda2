package server

import (
	"fmt"
	"strings"
	"testing"
)

// TestExpectContinue sends requests with Expect: 100-continue. If the header alone decides
// about a request, it is answered at once and its body is not asked for.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxBody = 1 << 20; c.MaxInFlight = 64 << 20 })
	tok, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
	const expect = "Expect: 100-continue"
	swap := strings.NewReplacer
	for _, c := range []struct {
		name, head string
		status     int
		code       string
	}{
		{"no token", swap("Authorization", "X-Other").Replace(requestHead(tok, contentLength(3), expect)), 401, "MISSING_TOKEN"},
		{"a broken token", requestHead(tok+"x", contentLength(3), expect), 401, "INVALID_TOKEN"},
		{"for the other endpoint", requestHead(rev, contentLength(3), expect), 403, "FORBIDDEN_OPERATION"},
		{"too large", requestHead(tok, contentLength(1<<20+1), expect), 413, "TOO_LARGE"},
		{"another type", swap("text/csv", "text/html").Replace(requestHead(tok, contentLength(3), expect)), 415, "UNSUPPORTED_MEDIA_TYPE"},
		{"another coding", requestHead(tok, contentLength(3), "Content-Encoding: br", expect), 415, "UNSUPPORTED_MEDIA_TYPE"},
		{"no such path", swap(forwardPath, "/api/x").Replace(requestHead(tok, contentLength(3), expect)), 404, "NOT_FOUND"},
		{"another method", swap("POST", "PUT").Replace(requestHead(tok, contentLength(3), expect)), 405, "METHOD_NOT_ALLOWED"},
	} {
		for _, eager := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, eager %v", c.name, eager), func(t *testing.T) {
				w := r.raw()
				w.write(c.head)
				if eager { // some clients do not wait for 100 Continue
					w.write("a,b")
				}
				w.read().problem(t, c.status, c.code)
				w.wantClosed()
			})
		}
	}
	t.Run("overloaded", func(t *testing.T) {
		r.hangUp()
		r.waitMemoryReleased()
		all := r.srv.mem.limit - callMemory
		if !r.srv.mem.reserve(all) {
			t.Fatal("the memory cannot be filled")
		}
		defer r.srv.mem.release(all)
		w := r.raw()
		w.write(requestHead(tok, contentLength(3), expect))
		w.read().problem(t, 503, "OVERLOADED")
		w.wantClosed()
	})
	t.Run("granted", func(t *testing.T) {
		w := r.raw()
		for range 3 {
			w.write(requestHead(tok, contentLength(3), expect))
			line, err := w.br.ReadString('\n')
			if err != nil || line != "HTTP/1.1 100 Continue\r\n" {
				t.Fatalf("%q, %v, want 100 Continue and an empty line", line, err)
			}
			if line, err = w.br.ReadString('\n'); err != nil || line != "\r\n" {
				t.Fatalf("%q, %v, want 100 Continue and an empty line", line, err)
			}
			w.write("a,b")
			if n := len(w.read().strings(t)); n != 2 {
				t.Fatalf("%d values, want 2", n)
			}
		}
	})
	r.hangUp()
	r.waitMemoryReleased()
}

// TestOnlyExactPathsAreServed checks that other spellings of a path are not found.
func TestOnlyExactPathsAreServed(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tok := r.token("pseudonymise", nil)
	for _, c := range []struct {
		target string
		status int
	}{
		{"/api/request-psn", 200},
		{"/api/request-psn?x=/../y", 200},
		{"http://localhost/api/request-psn", 200},
		{"//api/request-psn", 404},
		{"//x/api/request-psn", 404},
		{"/api//request-psn", 404},
		{"/api/./request-psn", 404},
		{"/api/../api/request-psn", 404},
		{"/x/../api/request-psn", 404},
		{"/api%2frequest-psn", 404},
		{"/api/request%2Dpsn", 404},
		{"/%61pi/request-psn", 404},
		{"/api/request-psn/", 404},
		{"/api/request-psn/.", 404},
		{"/api/request-psn#x", 404},
		{"/API/request-psn", 404},
		{"/./healthz", 404},
		{"http://localhost/x/../api/request-psn", 404},
	} {
		w := r.raw()
		w.write(strings.Replace(requestHead(tok, contentLength(3)), forwardPath, c.target, 1) + "a,b")
		a := w.read()
		if c.status == 404 {
			a.problem(t, 404, "NOT_FOUND")
		} else if n := len(a.strings(t)); n != 2 {
			t.Errorf("%s: %d values, want 2", c.target, n)
		}
	}
}
