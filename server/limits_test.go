package server

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// TestTooLargeBodies sends bodies over the limit in every framing and coding. Each client
// must read the 413; none may see a reset connection.
func TestTooLargeBodies(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	r := newRig(t, func(c *Config) { c.MaxBody = limit })
	tok := r.token("pseudonymise", nil)
	body := func(n int) []byte { return bytes.Repeat([]byte("12345678,\n"), n/10+1)[:n] }
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(body(40 << 20))
	z.Close()
	var packedZ bytes.Buffer
	zz, _ := zstd.NewWriter(&packedZ)
	zz.Write(body(40 << 20))
	zz.Close()
	for _, c := range []struct {
		name string
		body func() io.Reader
		enc  string
	}{
		{"one byte over", func() io.Reader { return bytes.NewReader(body(limit + 1)) }, ""},
		{"far over", func() io.Reader { return bytes.NewReader(body(20 << 20)) }, ""},
		{"one byte over, chunked", func() io.Reader { return readerOnly{bytes.NewReader(body(limit + 1))} }, ""},
		{"far over, chunked", func() io.Reader { return readerOnly{bytes.NewReader(body(20 << 20))} }, ""},
		{"gzip bomb", func() io.Reader { return bytes.NewReader(packed.Bytes()) }, "gzip"},
		{"zstd bomb", func() io.Reader { return bytes.NewReader(packedZ.Bytes()) }, "zstd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 5 {
				h := []string{"Content-Type", csvType, "Authorization", "Bearer " + tok}
				if c.enc != "" {
					h = append(h, "Content-Encoding", c.enc)
				}
				p := r.send("POST", forwardPath, c.body(), h...).problem(t, 413, "TOO_LARGE")
				if !strings.Contains(p.Detail, "1048576") {
					t.Errorf("the detail %q does not contain the limit", p.Detail)
				}
			}
		})
	}
	t.Run("just within", func(t *testing.T) {
		for _, b := range []io.Reader{bytes.NewReader(body(limit)), readerOnly{bytes.NewReader(body(limit))}} {
			if a := r.send("POST", forwardPath, b, "Content-Type", csvType, "Authorization", "Bearer "+tok); a.status != 200 {
				t.Errorf("status %d, want 200: %.200s", a.status, a.body)
			}
		}
	})
	// A client that sends its whole request before it reads the answer.
	for _, chunked := range []bool{false, true} {
		for _, n := range []int{limit + 1, 8 << 20} {
			t.Run(fmt.Sprintf("read after sending all, chunked %v, %d", chunked, n), func(t *testing.T) {
				w := r.raw()
				if chunked {
					w.write(requestHead(tok, "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", n, body(n)))
				} else {
					w.write(requestHead(tok, contentLength(n)) + string(body(n)))
				}
				w.read().problem(t, 413, "TOO_LARGE")
				w.wantClosed()
			})
		}
	}
	// The same for a refusal that does not depend on the body.
	t.Run("read after sending all, no token", func(t *testing.T) {
		w := r.raw()
		w.write("POST " + forwardPath + " HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n" + string(body(8<<20)))
		w.read().problem(t, 401, "MISSING_TOKEN")
		w.wantClosed()
	})
	// Only the documented spelling of a path is an endpoint.
	for _, path := range []string{"/" + forwardPath, "/api/.." + forwardPath, "/api%2frequest-psn", "/nowhere/../healthz", "//healthz"} {
		t.Run(path, func(t *testing.T) {
			w := r.raw()
			w.write(strings.Replace(requestHead(tok, contentLength(1)), forwardPath, path, 1) + "a")
			w.read().problem(t, 404, "NOT_FOUND")
			w.write(requestHead(tok, contentLength(1)) + "a")
			w.read().strings(t)
		})
	}
	t.Run("a small unread body keeps the connection", func(t *testing.T) {
		w := r.raw()
		w.write("POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + string(body(20000)))
		w.read().problem(t, 404, "NOT_FOUND")
		w.write(requestHead(tok, contentLength(1)) + "a")
		w.read().strings(t)
	})
}

// TestBrokenFraming sends requests whose framing is broken or ambiguous. Each must be
// refused, and its connection closed where the next request could be misread.
func TestBrokenFraming(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	tok := r.token("pseudonymise", nil)
	hasty := newRig(t, func(c *Config) { c.StallTimeout = time.Second; c.HeaderTimeout = time.Second })
	hastyTok := hasty.token("pseudonymise", nil)
	big := strings.Repeat("12345678,", 3000) + "1"
	t.Run("less body than announced, small", func(t *testing.T) {
		w := r.raw()
		w.write(requestHead(tok, contentLength(10)) + "a,b")
		w.conn.(*net.TCPConn).CloseWrite()
		w.read().problem(t, 400, "BAD_REQUEST")
		w.wantClosed()
	})
	t.Run("less body than announced, large", func(t *testing.T) {
		w := r.raw()
		w.write(requestHead(tok, contentLength(len(big)+1)) + big)
		w.conn.(*net.TCPConn).CloseWrite()
		w.read().problem(t, 400, "BAD_REQUEST")
		w.wantClosed()
	})
	t.Run("a gigabyte announced, nothing sent", func(t *testing.T) {
		w := hasty.raw()
		w.write(requestHead(hastyTok, contentLength(200<<20)) + big)
		hasty.await("the request", func() bool { return hasty.srv.mem.used.Load() > 0 })
		answer, most := make(chan clientAnswer), int64(0)
		go func() { answer <- w.read() }()
		hasty.await("the answer", func() bool {
			most = max(most, hasty.srv.mem.used.Load())
			select {
			case a := <-answer:
				a.problem(t, 408, "TIMEOUT")
				return true
			default:
				return false
			}
		})
		if most > 8<<20 {
			t.Errorf("%d bytes are held for a promise", most)
		}
		w.wantClosed()
	})
	t.Run("more body than announced", func(t *testing.T) {
		w := r.raw()
		w.write(requestHead(tok, contentLength(3)) + "a,b and more, which is not a request\r\n\r\n")
		if got := w.read().strings(t); len(got) != 2 {
			t.Errorf("%d values, want 2", len(got))
		}
		w.read().problem(t, 400, "BAD_REQUEST")
		w.wantClosed()
	})
	t.Run("chunked", func(t *testing.T) {
		w := r.raw()
		w.write(requestHead(tok, "Transfer-Encoding: chunked") + "1\r\na\r\n1;ext=1\r\n,\r\n1\r\nb\r\n0\r\nX-Sum: 1\r\n\r\n")
		if got := w.read().strings(t); len(got) != 2 {
			t.Errorf("%d values, want 2", len(got))
		}
		w.write(requestHead(tok, contentLength(1)) + "a")
		w.read().strings(t)
	})
	for name, chunks := range map[string]string{"no size": "\r\na\r\n", "not hex": "g\r\na\r\n0\r\n\r\n", "negative": "-1\r\na\r\n0\r\n\r\n",
		"huge": "fffffffffffffffff\r\n", "missing line end": "1\r\nab\r\n0\r\n\r\n", "cut": "5\r\nab"} {
		t.Run("broken chunks, "+name, func(t *testing.T) {
			w := r.raw()
			w.write(requestHead(tok, "Transfer-Encoding: chunked") + chunks)
			w.conn.(*net.TCPConn).CloseWrite()
			w.read().problem(t, 400, "BAD_REQUEST")
			w.wantClosed()
		})
	}
	for name, lines := range map[string][]string{
		"length and chunks":  {contentLength(3), "Transfer-Encoding: chunked"},
		"two lengths":        {contentLength(3), contentLength(4)},
		"no number":          {"Content-Length: three"},
		"negative":           {"Content-Length: -3"},
		"space before colon": {"X-A : b", contentLength(3)},
	} {
		t.Run("ambiguous, "+name, func(t *testing.T) {
			w := r.raw()
			w.write(requestHead(tok, lines...) + "a,b")
			a := w.read()
			if a.status != 400 {
				t.Errorf("status %d: %s", a.status, a.body)
			}
			w.wantClosed()
		})
	}
	t.Run("pipelined", func(t *testing.T) {
		w := r.raw()
		var all strings.Builder
		const n = 40
		for i := range n {
			body := fmt.Sprint(i)
			if i%7 == 3 {
				body += "," + big
			}
			if i%11 == 5 {
				all.WriteString("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
				continue
			}
			all.WriteString(requestHead(tok, contentLength(len(body)), fmt.Sprint("X-Request-Id: nr-", i)) + body)
		}
		go w.write(all.String())
		for i := range n {
			a := w.read()
			switch {
			case i%11 == 5:
				if string(a.body) != "ok\n" {
					t.Fatalf("answer %d: %s, want that of /healthz", i, a.body)
				}
			case a.header.Get("X-Request-Id") != fmt.Sprint("nr-", i):
				t.Fatalf("answer %d belongs to request %s", i, a.header.Get("X-Request-Id"))
			case len(a.strings(t)) != map[bool]int{false: 1, true: 3002}[i%7 == 3]:
				t.Fatalf("answer %d has %d values", i, len(a.strings(t)))
			}
		}
	})
	t.Run("a header that never ends", func(t *testing.T) {
		w := hasty.raw()
		w.write("POST " + forwardPath + " HTTP/1.1\r\nHost: x\r\n")
		w.read().problem(t, 408, "TIMEOUT")
		w.wantClosed()
	})
	t.Run("a header too large", func(t *testing.T) {
		w := r.raw()
		w.write(requestHead(tok, "X-Junk: "+strings.Repeat("j", 100_000), contentLength(1)) + "a")
		w.read().problem(t, 431, "HEADER_TOO_LARGE")
		w.wantClosed()
	})
	t.Run("no HTTP", func(t *testing.T) {
		w := r.raw()
		w.write("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n")
		w.read().problem(t, 400, "BAD_REQUEST")
		w.wantClosed()
	})
	t.Run("100 Continue", func(t *testing.T) {
		w := r.raw()
		w.write(requestHead(tok, contentLength(3), "Expect: 100-continue"))
		line, err := w.br.ReadString('\n')
		if err != nil || !strings.Contains(line, "100") {
			t.Fatalf("%q, %v, want 100 Continue", line, err)
		}
		w.br.ReadString('\n')
		w.write("a,b")
		w.read().strings(t)
	})
	for _, r := range []*rig{r, hasty} {
		r.hangUp()
		r.waitMemoryReleased()
	}
}

// TestSlowBody sends a body without a pause longer than StallTimeout but below MinRate.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.StallTimeout = 400 * time.Millisecond; c.MinRate = 100 << 10 })
	w := r.raw()
	w.write(requestHead(r.token("pseudonymise", nil), contentLength(1<<20)) + strings.Repeat("a,", 5<<10))
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				_, _ = io.WriteString(w.conn, "a,")
			}
		}
	}()
	w.read().problem(t, 408, "TIMEOUT")
	close(stop)
	r.waitMemoryReleased()
}

// TestUnreadAnswerReleasesMemory does not read a large answer. Its memory must be released.
func TestUnreadAnswerReleasesMemory(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.StallTimeout = time.Second; c.MinRate = 1 << 30 })
	w := r.raw()
	body := strings.Repeat("12345678,", 1<<20)
	if _, err := io.WriteString(w.conn, requestHead(r.token("pseudonymise", nil), contentLength(len(body)))+body); err != nil {
		t.Fatal(err)
	}
	r.waitMemoryReleased()
}
