package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// await waits for a condition that other goroutines bring about.
func (r *rig) await(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(awaitLimit); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatal("never came: ", what)
		}
	}
}

// hangUp closes every raw connection.
func (r *rig) hangUp() {
	r.rawMu.Lock()
	defer r.rawMu.Unlock()
	for _, c := range r.rawConns {
		c.Close()
	}
}

// readerOnly hides every method but Read, so that a client cannot know the length.
type readerOnly struct{ io.Reader }

// rawConn is a connection on which a test writes requests byte by byte.
type rawConn struct {
	t    testing.TB
	conn net.Conn
	br   *bufio.Reader
}

// raw opens a connection to the server.
func (r *rig) raw() *rawConn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	r.rawMu.Lock()
	r.rawConns = append(r.rawConns, c)
	r.rawMu.Unlock()
	_ = c.SetDeadline(time.Now().Add(awaitLimit))
	return &rawConn{r.t, c, bufio.NewReader(c)}
}

func (w *rawConn) write(s string) {
	w.t.Helper()
	if _, err := io.WriteString(w.conn, s); err != nil {
		w.t.Fatal("write: ", err)
	}
}

// read reads one answer. It fails the test if the connection is reset.
func (w *rawConn) read() clientAnswer {
	w.t.Helper()
	res, err := http.ReadResponse(w.br, nil)
	if err != nil {
		w.t.Fatal("no answer: ", err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal("half an answer: ", err)
	}
	return clientAnswer{res.StatusCode, res.Header, b}
}

// wantClosed checks that the server closes the connection without sending more.
func (w *rawConn) wantClosed() {
	w.t.Helper()
	if b, err := io.ReadAll(w.br); err != nil || len(b) > 0 {
		w.t.Errorf("after the last answer: %d bytes, %v, want the end of the connection", len(b), err)
	}
}

// requestHead returns request line and header of a call, with the given extra header lines.
func requestHead(tok string, lines ...string) string {
	return "POST " + forwardPath + " HTTP/1.1\r\nHost: x\r\nContent-Type: text/csv\r\nAuthorization: Bearer " + tok + "\r\n" +
		strings.Join(append(lines, "", ""), "\r\n")
}

func contentLength(n int) string { return fmt.Sprintf("Content-Length: %d", n) }
