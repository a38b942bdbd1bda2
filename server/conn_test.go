package server

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestPhaseDeadlines checks that each phase of a connection has its own time limit. The
// other limits are so long that a connection that is held to one of them stays open.
func TestPhaseDeadlines(t *testing.T) {
	const short, long = time.Second, time.Hour
	for _, c := range []struct {
		name                string
		header, idle, stall time.Duration
		run                 func(t *testing.T, r *rig, tok string)
	}{
		{"a connection without a request", short, long, long, func(t *testing.T, r *rig, _ string) {
			w := r.raw()
			w.read().problem(t, 408, "TIMEOUT")
			w.wantClosed()
		}},
		{"a header that does not end", short, long, long, func(t *testing.T, r *rig, _ string) {
			w := r.raw()
			w.write("POST " + forwardPath + " HTTP/1.1\r\nHost: x\r\n")
			w.read().problem(t, 408, "TIMEOUT")
			w.wantClosed()
		}},
		{"a header that trickles in after a good request", short, long, long, func(t *testing.T, r *rig, tok string) {
			w := r.raw()
			w.write(requestHead(tok, contentLength(1)) + "a")
			w.read().strings(t)
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				for _, b := range []byte(strings.Repeat("GET /x HTTP/1.1\r\nX-A: b", 1000)) {
					select {
					case <-stop:
						return
					case <-time.After(20 * time.Millisecond):
						_, _ = w.conn.Write([]byte{b})
					}
				}
			}()
			w.read().problem(t, 408, "TIMEOUT")
			close(stop)
			<-done
		}},
		{"a small body that is not sent", short, long, long, func(t *testing.T, r *rig, tok string) {
			w := r.raw()
			w.write(requestHead(tok, contentLength(3)) + "a")
			w.read().problem(t, 408, "TIMEOUT")
			w.wantClosed()
		}},
		{"a body that is not sent after 100 Continue", short, long, long, func(t *testing.T, r *rig, tok string) {
			w := r.raw()
			w.write(requestHead(tok, contentLength(3), "Expect: 100-continue"))
			if line, err := w.br.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
				t.Fatalf("%q, %v", line, err)
			}
			if line, err := w.br.ReadString('\n'); err != nil || line != "\r\n" {
				t.Fatalf("%q, %v", line, err)
			}
			w.read().problem(t, 408, "TIMEOUT")
			w.wantClosed()
		}},
		{"a large body that stops", long, long, short, func(t *testing.T, r *rig, tok string) {
			w := r.raw()
			w.write(requestHead(tok, contentLength(1<<20)) + strings.Repeat("a,", 20<<10))
			w.read().problem(t, 408, "TIMEOUT")
			w.wantClosed()
		}},
		{"no other request", long, short, long, func(t *testing.T, r *rig, tok string) {
			w := r.raw()
			for range 3 {
				w.write(requestHead(tok, contentLength(1)) + "a")
				w.read().strings(t)
			}
			w.wantClosed()
		}},
		{"no other request after a large answer", long, short, long, func(t *testing.T, r *rig, tok string) {
			w := r.raw()
			body := strings.Repeat("12345678,", 20<<10) + "1"
			w.write(requestHead(tok, contentLength(len(body))) + body)
			w.read().strings(t)
			w.wantClosed()
		}},
		{"an answer that the client does not read", long, long, short, func(t *testing.T, r *rig, tok string) {
			w := r.raw()
			body := strings.Repeat("12345678,", 1<<20)
			go func() { _, _ = io.WriteString(w.conn, requestHead(tok, contentLength(len(body)))+body) }()
			r.await("the request", func() bool { return r.srv.mem.used.Load() > 0 })
			r.waitMemoryReleased()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(f *Config) {
				f.HeaderTimeout, f.IdleTimeout, f.StallTimeout = c.header, c.idle, c.stall
				f.MinRate = 1 << 30 // the time that a body or an answer has does not grow with its size
			})
			c.run(t, r, r.token("pseudonymise", nil))
		})
	}
}

// socketPair returns the two ends of a connection; ours is wrapped as in the server.
func socketPair(t *testing.T, network, address string) (ours *conn, peer net.Conn) {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if peer, err = net.Dial(network, ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := &Server{cfg: Config{HeaderTimeout: time.Minute, IdleTimeout: time.Minute, StallTimeout: time.Minute}, deadlineTolerance: time.Millisecond}
	return &conn{Conn: c, s: s, sock: newSocket(c), wait: time.Now().Add(time.Minute)}, peer
}

// TestConnTransfersEveryByte reads and writes more than one system call transfers, over
// TCP and Unix sockets, and checks the errors of every kind of end.
func TestConnTransfersEveryByte(t *testing.T) {
	for _, k := range []struct{ network, address string }{{"tcp", "127.0.0.1:0"}, {"unix", filepath.Join(t.TempDir(), "s")}} {
		t.Run(k.network, func(t *testing.T) {
			text := make([]byte, 5<<20)
			for i := range text {
				text[i] = byte(i * 7 >> 3)
			}
			t.Run("write", func(t *testing.T) {
				for _, n := range []int{1, writeBuffer, writeBuffer + 1, maxRawCall, maxRawCall + 1, 4 << 20} {
					for _, held := range []int{0, 1, 200, writeBuffer} {
						ours, peer := socketPair(t, k.network, k.address)
						var got bytes.Buffer
						var wg sync.WaitGroup
						wg.Go(func() { _, _ = io.Copy(&got, peer) })
						if held > 0 {
							ours.answer(time.Now(), 4*writeBuffer)
							if m, err := ours.Write(text[:held]); m != held || err != nil {
								t.Fatalf("first part of %d: %d, %v", held, m, err)
							}
						}
						if m, err := ours.Write(text[held:][:n]); m != n || err != nil {
							t.Fatalf("%d after %d: %d, %v", n, held, m, err)
						}
						ours.Close()
						wg.Wait()
						if !bytes.Equal(got.Bytes(), text[:held+n]) {
							t.Fatalf("%d after %d: the peer read %d bytes, or other bytes", n, held, got.Len())
						}
					}
				}
			})
			t.Run("read", func(t *testing.T) {
				for _, room := range []int{1, 1000, maxRawCall + 1} {
					ours, peer := socketPair(t, k.network, k.address)
					sent := text[:min(len(text), 2000*room)]
					go func() {
						_, _ = peer.Write(sent)
						peer.Close()
					}()
					got, err := io.ReadAll(&shortReader{ours, room})
					if err != nil || !bytes.Equal(got, sent) {
						t.Fatalf("buffer of %d: read %d bytes, want %d; %v", room, len(got), len(sent), err)
					}
					if n, err := ours.Read(make([]byte, 10)); n != 0 || err != io.EOF {
						t.Errorf("after the end: %d, %v, want 0, EOF", n, err)
					}
				}
			})
			t.Run("deadlines", func(t *testing.T) {
				ours, _ := socketPair(t, k.network, k.address)
				if err := ours.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				if _, err := ours.Read(make([]byte, 10)); !isTimeout(err) || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("read: %v, want a timeout", err)
				}
				if err := ours.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				var err error
				for i := 0; i < 1000 && err == nil; i++ { // until the socket's buffer is full
					_, err = ours.Write(text[:maxRawCall])
				}
				if !isTimeout(err) {
					t.Errorf("write: %v, want a timeout", err)
				}
			})
			t.Run("closed during a read", func(t *testing.T) {
				ours, _ := socketPair(t, k.network, k.address)
				go func() {
					time.Sleep(20 * time.Millisecond)
					ours.Close()
				}()
				if _, err := ours.Read(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
					t.Errorf("%v, want net.ErrClosed", err)
				}
			})
			t.Run("the peer is gone", func(t *testing.T) {
				ours, peer := socketPair(t, k.network, k.address)
				if tcp, ok := peer.(*net.TCPConn); ok {
					_ = tcp.SetLinger(0)
				}
				peer.Close()
				var err error
				for i := 0; i < 1000 && err == nil; i++ {
					_, err = ours.Write(text[:100])
				}
				if err == nil || isTimeout(err) {
					t.Errorf("write: %v, want an error that is no timeout", err)
				}
			})
		})
	}
}

// shortReader reads at most room bytes per call.
type shortReader struct {
	r    io.Reader
	room int
}

func (s *shortReader) Read(b []byte) (int, error) {
	own := make([]byte, s.room)
	n, err := s.r.Read(own[:min(s.room, len(b))])
	return copy(b, own[:n]), err
}

// TestConnectionCap opens one connection more than MaxConns. It must be refused until
// another one ends.
func TestConnectionCap(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(c *Config) { c.MaxConns = 3 })
	tok := r.token("pseudonymise", nil)
	var held []*rawConn
	for range 3 {
		w := r.raw()
		w.write(requestHead(tok, contentLength(1)) + "a")
		w.read().strings(t)
		held = append(held, w)
	}
	w := r.raw()
	w.write(requestHead(tok, contentLength(1)) + "a")
	a := w.read()
	a.problem(t, 503, "OVERLOADED")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.wantClosed()
	held[0].conn.Close()
	r.await("the end of the closed connection", func() bool { return r.srv.conns.Load() < 3 })
	w = r.raw()
	w.write(requestHead(tok, contentLength(1)) + "a")
	w.read().strings(t)
}
