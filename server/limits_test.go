package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/token"
)

// only hides every method but Read, so that a client cannot know the length.
type only struct{ io.Reader }

// raw opens a connection, sends what it is given, and reads answers.
type raw struct {
	t    testing.TB
	conn net.Conn
	br   *bufio.Reader
}

func (r *rig) raw() *raw {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return &raw{r.t, c, bufio.NewReader(c)}
}

func (w *raw) write(s string) {
	w.t.Helper()
	if _, err := io.WriteString(w.conn, s); err != nil {
		w.t.Fatal("write: ", err)
	}
}

// read reads one answer. A reset connection is a failure.
func (w *raw) read() answerOf {
	w.t.Helper()
	res, err := http.ReadResponse(w.br, nil)
	if err != nil {
		w.t.Fatal("no answer: ", err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal("half an answer: ", err)
	}
	return answerOf{res.StatusCode, res.Header, b}
}

// closed checks that the server ends the connection, and how.
func (w *raw) closed() {
	w.t.Helper()
	if b, err := io.ReadAll(w.br); err != nil || len(b) > 0 {
		w.t.Errorf("after the last answer: %d bytes, %v", len(b), err)
	}
}

// head is the beginning of a request with the given extra header lines.
func head(tok string, lines ...string) string {
	return "POST " + forwardPath + " HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nAuthorization: Bearer " + tok + "\r\n" +
		strings.Join(append(lines, "", ""), "\r\n")
}

func length(n int) string { return fmt.Sprintf("Content-Length: %d", n) }

// TestTooLarge sends bodies over the limit in every way. Each client must see
// the 413, and none a reset connection.
func TestTooLarge(t *testing.T) {
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
		{"one byte over, chunked", func() io.Reader { return only{bytes.NewReader(body(limit + 1))} }, ""},
		{"far over, chunked", func() io.Reader { return only{bytes.NewReader(body(20 << 20))} }, ""},
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
					t.Errorf("the limit is not named: %q", p.Detail)
				}
			}
		})
	}
	t.Run("just within", func(t *testing.T) {
		for _, b := range []io.Reader{bytes.NewReader(body(limit)), only{bytes.NewReader(body(limit))}} {
			if a := r.send("POST", forwardPath, b, "Content-Type", csvType, "Authorization", "Bearer "+tok); a.status != 200 {
				t.Errorf("status %d: %.200s", a.status, a.body)
			}
		}
	})
	// A client that writes everything before it looks for an answer.
	for _, chunked := range []bool{false, true} {
		for _, n := range []int{limit + 1, 8 << 20} {
			t.Run(fmt.Sprintf("deaf client, chunked %v, %d", chunked, n), func(t *testing.T) {
				w := r.raw()
				if chunked {
					w.write(head(tok, "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", n, body(n)))
				} else {
					w.write(head(tok, length(n)) + string(body(n)))
				}
				time.Sleep(50 * time.Millisecond)
				w.read().problem(t, 413, "TOO_LARGE")
				w.closed()
			})
		}
	}
	// The same for refusals that do not even look at the body.
	t.Run("deaf client, no token", func(t *testing.T) {
		w := r.raw()
		w.write("POST " + forwardPath + " HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n" + string(body(8<<20)))
		w.read().problem(t, 401, "MISSING_TOKEN")
		w.closed()
	})
	// Only the documented spelling of a path is an endpoint.
	for _, path := range []string{"/" + forwardPath, "/api/.." + forwardPath, "/api%2frequest-psn", "/nowhere/../healthz", "//healthz"} {
		t.Run(path, func(t *testing.T) {
			w := r.raw()
			w.write(strings.Replace(head(tok, length(1)), forwardPath, path, 1) + "a")
			w.read().problem(t, 404, "NOT_FOUND")
			w.write(head(tok, length(1)) + "a")
			w.read().strings(t)
		})
	}
	t.Run("a small unread body keeps the connection", func(t *testing.T) {
		w := r.raw()
		w.write("POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + string(body(20000)))
		w.read().problem(t, 404, "NOT_FOUND")
		w.write(head(tok, length(1)) + "a")
		w.read().strings(t)
	})
}

func TestCompression(t *testing.T) {
	r := newRig(t, nil)
	fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
	values := make([]string, 3000)
	for i := range values {
		values[i] = fmt.Sprint("value ", i)
	}
	plain := jsonOf(values...)
	pack := map[string]func(string) string{
		"gzip": func(s string) string {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			io.WriteString(z, s)
			z.Close()
			return b.String()
		},
		"zstd": func(s string) string {
			var b bytes.Buffer
			z, _ := zstd.NewWriter(&b)
			io.WriteString(z, s)
			z.Close()
			return b.String()
		},
	}
	unpack := map[string]func([]byte) []byte{
		"gzip": func(b []byte) []byte {
			z, err := gzip.NewReader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			out, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			return out
		},
		"zstd": func(b []byte) []byte {
			z, _ := zstd.NewReader(nil)
			defer z.Close()
			out, err := z.DecodeAll(b, nil)
			if err != nil {
				t.Fatal(err)
			}
			return out
		},
		"": func(b []byte) []byte { return b },
	}
	want := r.post(forwardPath, fwd, jsonType, plain)
	for enc := range pack {
		a := r.post(forwardPath, fwd, jsonType, pack[enc](plain), "Content-Encoding", enc, "Accept-Encoding", enc)
		if a.status != 200 || a.header.Get("Content-Encoding") != enc || len(a.body) >= len(want.body) {
			t.Fatalf("%s: status %d, coding %q, %d bytes: %.100q", enc, a.status, a.header.Get("Content-Encoding"), len(a.body), a.body)
		}
		if !bytes.Equal(unpack[enc](a.body), want.body) {
			t.Errorf("%s: another answer", enc)
		}
		psn := answerOf{200, nil, want.body}.strings(t)
		if back := r.post(reversePath, rev, jsonType, pack[enc](jsonOf(psn...)), "Content-Encoding", enc).strings(t); !slices.Equal(back, values) {
			t.Errorf("%s: not reversed", enc)
		}
		whole := pack[enc](plain)
		for name, broken := range map[string]string{"cut": whole[:len(whole)-9], "damaged": whole[:len(whole)/2] + "????????" + whole[len(whole)/2+8:], "nothing": "", "foreign": "not compressed at all"} {
			a := r.post(forwardPath, fwd, jsonType, broken, "Content-Encoding", enc)
			if a.status != 400 {
				t.Errorf("%s, %s: status %d: %.200s", enc, name, a.status, a.body)
			}
		}
	}
	// As the tools of the formats read them: padding and members, and skippable frames.
	skip := "\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
	for enc, packed := range map[string][]string{
		"gzip": {pack["gzip"](plain) + strings.Repeat("\x00", 9000), pack["gzip"](plain[:5000]) + pack["gzip"](plain[5000:])},
		"zstd": {skip + pack["zstd"](plain), pack["zstd"](plain[:5000]) + skip + pack["zstd"](plain[5000:]) + skip},
	} {
		for i, body := range packed {
			if a := r.post(forwardPath, fwd, jsonType, body, "Content-Encoding", enc); a.status != 200 || !bytes.Equal(a.body, want.body) {
				t.Errorf("%s, way %d: status %d: %.200s", enc, i, a.status, a.body)
			}
		}
	}
	if a := r.post(forwardPath, fwd, jsonType, pack["gzip"](plain)+"behind", "Content-Encoding", "gzip"); a.status != 400 {
		t.Errorf("text behind gzip: status %d: %.200s", a.status, a.body)
	}
	for accept, want := range map[string]string{"": "", "identity": "", "gzip": "gzip", "gzip, zstd": "zstd", "gzip;q=1, zstd;q=0.5": "gzip",
		"zstd;q=0, gzip;q=0": "", "*": "gzip", "br": "", "gzip;q=0.1, identity": "", "GZIP": "gzip"} {
		a := r.post(forwardPath, fwd, jsonType, plain, "Accept-Encoding", accept)
		if got := a.header.Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q: coding %q, want %q", accept, got, want)
		}
		unpack[want](a.body)
	}
	if a := r.post(forwardPath, fwd, jsonType, jsonOf("a"), "Accept-Encoding", "gzip"); a.header.Get("Content-Encoding") != "" {
		t.Error("a small answer is compressed")
	}
	for _, enc := range []string{"br", "gzip, gzip", "deflate"} {
		a := r.post(forwardPath, fwd, jsonType, plain, "Content-Encoding", enc)
		a.problem(t, 415, "UNSUPPORTED_MEDIA_TYPE")
		if a.header.Get("Accept-Encoding") != "gzip, zstd" {
			t.Error("not told which codings are understood")
		}
	}
}

// TestLyingClients breaks the framing of HTTP in every way we could think of.
func TestLyingClients(t *testing.T) {
	r := newRig(t, func(c *Config) { c.StallTimeout = time.Second; c.HeaderTimeout = time.Second })
	tok := r.token("pseudonymise", nil)
	big := strings.Repeat("12345678,", 3000) + "1"
	t.Run("less body than announced, small", func(t *testing.T) {
		w := r.raw()
		w.write(head(tok, length(10)) + "a,b")
		w.conn.(*net.TCPConn).CloseWrite()
		w.read().problem(t, 400, "BAD_REQUEST")
		w.closed()
	})
	t.Run("less body than announced, large", func(t *testing.T) {
		w := r.raw()
		w.write(head(tok, length(len(big)+1)) + big)
		w.conn.(*net.TCPConn).CloseWrite()
		w.read().problem(t, 400, "BAD_REQUEST")
		w.closed()
	})
	t.Run("a gigabyte announced, nothing sent", func(t *testing.T) {
		w := r.raw()
		w.write(head(tok, length(200<<20)) + big)
		time.Sleep(100 * time.Millisecond)
		if used := r.srv.mem.used.Load(); used > 8<<20 {
			t.Errorf("%d bytes are held for a promise", used)
		}
		w.read().problem(t, 408, "TIMEOUT")
		w.closed()
	})
	t.Run("more body than announced", func(t *testing.T) {
		w := r.raw()
		w.write(head(tok, length(3)) + "a,b and much more that is no request\r\n\r\n")
		if got := w.read().strings(t); len(got) != 2 {
			t.Errorf("%d values", len(got))
		}
		w.read().problem(t, 400, "BAD_REQUEST")
		w.closed()
	})
	t.Run("chunked", func(t *testing.T) {
		w := r.raw()
		w.write(head(tok, "Transfer-Encoding: chunked") + "1\r\na\r\n1;ext=1\r\n,\r\n1\r\nb\r\n0\r\nX-Sum: 1\r\n\r\n")
		if got := w.read().strings(t); len(got) != 2 {
			t.Errorf("%d values", len(got))
		}
		w.write(head(tok, length(1)) + "a")
		w.read().strings(t)
	})
	for name, chunks := range map[string]string{"no size": "\r\na\r\n", "not hex": "g\r\na\r\n0\r\n\r\n", "negative": "-1\r\na\r\n0\r\n\r\n",
		"huge": "fffffffffffffffff\r\n", "missing line end": "1\r\nab\r\n0\r\n\r\n", "cut": "5\r\nab"} {
		t.Run("broken chunks, "+name, func(t *testing.T) {
			w := r.raw()
			w.write(head(tok, "Transfer-Encoding: chunked") + chunks)
			w.conn.(*net.TCPConn).CloseWrite()
			w.read().problem(t, 400, "BAD_REQUEST")
			w.closed()
		})
	}
	for name, lines := range map[string][]string{
		"length and chunks":  {length(3), "Transfer-Encoding: chunked"},
		"two lengths":        {length(3), length(4)},
		"no number":          {"Content-Length: three"},
		"negative":           {"Content-Length: -3"},
		"space before colon": {"X-A : b", length(3)},
	} {
		t.Run("ambiguous, "+name, func(t *testing.T) {
			w := r.raw()
			w.write(head(tok, lines...) + "a,b")
			a := w.read()
			if a.status != 400 {
				t.Errorf("status %d: %s", a.status, a.body)
			}
			w.closed()
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
			all.WriteString(head(tok, length(len(body)), fmt.Sprint("X-Request-Id: nr-", i)) + body)
		}
		go w.write(all.String())
		for i := range n {
			a := w.read()
			switch {
			case i%11 == 5:
				if string(a.body) != "ok\n" {
					t.Fatalf("answer %d: %s", i, a.body)
				}
			case a.header.Get("X-Request-Id") != fmt.Sprint("nr-", i):
				t.Fatalf("answer %d is to %s", i, a.header.Get("X-Request-Id"))
			case len(a.strings(t)) != map[bool]int{false: 1, true: 3002}[i%7 == 3]:
				t.Fatalf("answer %d has %d values", i, len(a.strings(t)))
			}
		}
	})
	t.Run("a header that never ends", func(t *testing.T) {
		w := r.raw()
		w.write("POST " + forwardPath + " HTTP/1.1\r\nHost: x\r\n")
		w.read().problem(t, 408, "TIMEOUT")
		w.closed()
	})
	t.Run("a header too large", func(t *testing.T) {
		w := r.raw()
		w.write(head(tok, "X-Junk: "+strings.Repeat("j", 100_000), length(1)) + "a")
		w.read().problem(t, 431, "HEADER_TOO_LARGE")
		w.closed()
	})
	t.Run("no HTTP", func(t *testing.T) {
		w := r.raw()
		w.write("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n")
		w.read().problem(t, 400, "BAD_REQUEST")
		w.closed()
	})
	t.Run("expecting to continue", func(t *testing.T) {
		w := r.raw()
		w.write(head(tok, length(3), "Expect: 100-continue"))
		line, err := w.br.ReadString('\n')
		if err != nil || !strings.Contains(line, "100") {
			t.Fatalf("%q, %v", line, err)
		}
		w.br.ReadString('\n')
		w.write("a,b")
		w.read().strings(t)
	})
	r.settled()
}

// TestSlowBody trickles a body: no single pause is too long, but the rate is.
func TestSlowBody(t *testing.T) {
	r := newRig(t, func(c *Config) { c.StallTimeout = 400 * time.Millisecond; c.MinRate = 100 << 10 })
	w := r.raw()
	w.write(head(r.token("pseudonymise", nil), length(1<<20)) + strings.Repeat("a,", 5<<10))
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
	r.settled()
}

// TestDeafReader never takes a large answer. Its memory must come back.
func TestDeafReader(t *testing.T) {
	r := newRig(t, func(c *Config) { c.StallTimeout = 200 * time.Millisecond; c.MinRate = 1 << 30 })
	w := r.raw()
	body := strings.Repeat("12345678,", 1<<20)
	if _, err := io.WriteString(w.conn, head(r.token("pseudonymise", nil), length(len(body)))+body); err != nil {
		t.Fatal(err)
	}
	r.settled()
}

// settled waits until no request holds memory.
func (r *rig) settled() {
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

func TestConnectionCap(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxConns = 3 })
	tok := r.token("pseudonymise", nil)
	var kept []*raw
	for range 3 {
		w := r.raw()
		w.write(head(tok, length(1)) + "a")
		w.read().strings(t)
		kept = append(kept, w)
	}
	w := r.raw()
	w.write(head(tok, length(1)) + "a")
	a := w.read()
	a.problem(t, 503, "OVERLOADED")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.closed()
	kept[0].conn.Close()
	for end := time.Now().Add(10 * time.Second); r.srv.conns.Load() >= 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the closed connection still counts")
		}
	}
	w = r.raw()
	w.write(head(tok, length(1)) + "a")
	w.read().strings(t)
}

// TestMemoryBound overloads a small server with large requests. Some are
// refused; the bound holds throughout; a request that can never be served is
// told so.
func TestMemoryBound(t *testing.T) {
	const limit = 24 << 20
	r := newRig(t, func(c *Config) { c.MaxInFlight = limit })
	tok := r.token("pseudonymise", nil)
	body := strings.Repeat("12345678,", 100_000) + "1"
	var over atomic.Int64
	stop := make(chan struct{})
	var watch sync.WaitGroup
	watch.Add(1)
	go func() {
		defer watch.Done()
		for {
			select {
			case <-stop:
				return
			default:
				if n := r.srv.mem.used.Load(); n > limit {
					over.Store(n)
				}
				runtime.Gosched()
			}
		}
	}()
	var ok, refused atomic.Int64
	var wg sync.WaitGroup
	for range 12 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 4 {
				a := r.post(forwardPath, tok, csvType, body)
				switch {
				case a.status == 200 && len(a.data(t)) == 100_001:
					ok.Add(1)
				case a.status == 503 && a.header.Get("Retry-After") != "":
					refused.Add(1)
				default:
					t.Errorf("status %d: %.200s", a.status, a.body)
				}
			}
		}()
	}
	wg.Wait()
	close(stop)
	watch.Wait()
	if over.Load() > 0 {
		t.Errorf("%d bytes in flight, over the limit", over.Load())
	}
	if ok.Load() == 0 {
		t.Error("nobody was served")
	}
	r.settled()
	if idle := r.srv.mem.idle.Load(); idle > limit {
		t.Errorf("%d idle bytes", idle)
	}
	a := r.post(forwardPath, tok, csvType, strings.Repeat("1,", 2<<20))
	a.problem(t, 413, "TOO_LARGE")
}

// TestShutdownUnderLoad stops the server while clients call it. Every request
// that was sent is answered, whole.
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
					// Nobody listens any more: the request was never taken.
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
					t.Errorf("half an answer: %v, status %d, %d bytes", err, res.StatusCode, len(b))
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
			t.Errorf("ready while draining: %d", a.status)
		}
	}()
	if err := r.srv.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if lost.Load() > 0 {
		t.Errorf("%d answers lost, %d given", lost.Load(), answered.Load())
	}
	for _, step := range []string{"not ready any more", "closing the listeners", "every request is answered"} {
		if !strings.Contains(r.log.String(), step) {
			t.Errorf("the log does not say: %s", step)
		}
	}
	r.settled()
}

// TestShutdownGivesUp cuts off a client that will not end.
func TestShutdownGivesUp(t *testing.T) {
	r := newRig(t, nil)
	w := r.raw()
	w.write(head(r.token("pseudonymise", nil), length(100_000)) + strings.Repeat("a,", 8<<10))
	for end := time.Now().Add(5 * time.Second); r.srv.mem.used.Load() == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := r.srv.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	w.conn.Close()
	r.settled()
}

// TestNoLeaks runs every kind of client and then counts goroutines and memory.
func TestNoLeaks(t *testing.T) {
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
							io.WriteString(c, head(tok, length(50_000))+"a,b")
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
		r.settled()
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
		if after <= before+16 { // idle workers of the pool
			break
		}
		if i > 100 {
			t.Fatalf("%d goroutines, then %d", before, after)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// failing is an audit log on a full disk.
type failing struct{ full atomic.Bool }

func (f *failing) Append(audit.Record) error { return f.Check() }
func (f *failing) Check() error {
	if f.full.Load() {
		return errors.New("audit: no space left on device")
	}
	return nil
}

func TestAuditFull(t *testing.T) {
	for _, goOn := range []bool{false, true} {
		disk := &failing{}
		r := newRig(t, func(c *Config) { c.Audit, c.AuditContinue = disk, goOn })
		fwd, rev := r.token("pseudonymise", nil), r.token("reverse", nil)
		psn := r.post(forwardPath, fwd, csvType, "a").strings(t)
		disk.full.Store(true)
		for _, c := range []struct{ path, tok, body string }{{forwardPath, fwd, "a"}, {reversePath, rev, psn[0]}} {
			a := r.post(c.path, c.tok, csvType, c.body)
			if goOn {
				a.strings(t)
				continue
			}
			a.problem(t, 503, "UNAVAILABLE")
			if a.header.Get("Retry-After") == "" || strings.Contains(string(a.body), "space") {
				t.Errorf("%v %s", a.header, a.body)
			}
		}
		ready := map[bool]int{true: 200, false: 503}
		if a := r.send("GET", "/readyz", nil); a.status != ready[goOn] {
			t.Errorf("ready: %d with continue %v", a.status, goOn)
		}
		if !strings.Contains(r.log.String(), "audit log cannot be written") {
			t.Error("the log does not say so")
		}
		disk.full.Store(false)
		r.srv.look(context.Background())
		if a := r.send("GET", "/readyz", nil); a.status != 200 {
			t.Errorf("not ready after the disk was freed: %s", a.body)
		}
		r.post(forwardPath, fwd, csvType, "a").strings(t)
	}
}

// brokenStore is a keystore that cannot be read.
type brokenStore struct{ broken atomic.Bool }

func (b *brokenStore) Change(context.Context) (uint64, error) {
	if b.broken.Load() {
		return 0, errors.New("keys: disk on fire")
	}
	return 1, nil
}

func TestReadyNeedsKeys(t *testing.T) {
	b := &brokenStore{}
	r := newRig(t, func(c *Config) { c.Keystore = b })
	if a := r.send("GET", "/readyz", nil); a.status != 200 {
		t.Fatalf("not ready: %s", a.body)
	}
	b.broken.Store(true)
	r.srv.look(context.Background())
	if a := r.send("GET", "/readyz", nil); a.status != 503 || !strings.Contains(string(a.body), "keystore") {
		t.Errorf("ready without keys: %d %s", a.status, a.body)
	}
	if a := r.send("GET", "/healthz", nil); a.status != 200 {
		t.Errorf("dead: %d", a.status)
	}
}

// outage is a verifier whose store cannot be read.
type outage struct{}

func (outage) Verify(context.Context, []byte, token.Ops) (*token.Grant, error) {
	return nil, fmt.Errorf("%w: %s", token.ErrUnavailable, canary)
}

func TestVerifierDown(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Verifier = outage{} })
	a := r.post(forwardPath, "x", csvType, "a")
	a.problem(t, 503, "UNAVAILABLE")
	if strings.Contains(string(a.body), canary) || a.header.Get("Retry-After") == "" {
		t.Errorf("%v %s", a.header, a.body)
	}
}

// exploding panics with a value.
type exploding struct{}

func (exploding) Verify(_ context.Context, raw []byte, _ token.Ops) (*token.Grant, error) {
	panic(fmt.Errorf("at %s", raw))
}

func TestPanicIsAnswered(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Verifier = exploding{} })
	r.post(forwardPath, canary, csvType, canary).problem(t, 500, "INTERNAL")
	if l := r.log.String(); strings.Contains(l, canary) || !strings.Contains(l, "server.exploding.Verify (limits_test.go:") {
		t.Errorf("log: %s", l)
	}
	if a := r.send("GET", "/healthz", nil); a.status != 200 {
		t.Error("the server is gone")
	}
}
