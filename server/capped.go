package server

import (
	"net"
	"sync"
	"time"
)

// cappedListener accepts up to Config.MaxConns connections and answers those beyond with
// 503 itself.
type cappedListener struct {
	net.Listener
	s      *Server
	secure bool // TLS runs on top: nothing can be answered before the handshake
}

// maxRefusing bounds the goroutines that answer connections beyond the cap.
const maxRefusing = 64

func (l *cappedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if int(l.s.conns.Add(1)) <= l.s.cfg.MaxConns {
			return &conn{Conn: c, s: l.s, sock: newSocket(c), wait: time.Now().Add(l.s.cfg.HeaderTimeout)}, nil
		}
		l.s.conns.Add(-1)
		l.s.metrics.connsRefused.Inc()
		if l.secure || l.s.refusing.Add(1) > maxRefusing {
			if !l.secure {
				l.s.refusing.Add(-1)
			}
			c.Close()
			continue
		}
		go func() {
			defer l.s.refusing.Add(-1)
			l.s.refuseConn(c)
		}()
	}
}

// refuseConn answers a connection over the cap with 503 and closes it.
func (s *Server) refuseConn(c net.Conn) {
	defer c.Close()
	p := retryLater(codeOverloaded, "too many connections")
	body := p.appendJSON(nil)
	id := s.ids.next(nil)
	b := []byte("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Type: application/problem+json\r\nX-Request-Id: ")
	b = append(b, id...)
	b = append(b, "\r\nContent-Length: "...)
	b = appendInt(b, len(body))
	b = append(b, "\r\n\r\n"...)
	b = append(b, body...)
	end := time.Now().Add(time.Second)
	if c.SetDeadline(end) != nil {
		return
	}
	if _, err := c.Write(b); err != nil {
		return
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() != nil {
		return
	}
	var drop [4096]byte
	for left := 1 << 20; left > 0; {
		n, err := c.Read(drop[:])
		if err != nil {
			return
		}
		left -= n
	}
}

// connSet is a set of lingering connections whose deadlines Shutdown can bring forward.
type connSet struct {
	mu      sync.Mutex
	m       map[net.Conn]struct{}
	hurried bool
}

// hurryIn is how long a lingering connection is kept once the server is closing.
const hurryIn = 500 * time.Millisecond

func (c *connSet) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil {
		c.m = map[net.Conn]struct{}{}
	}
	c.m[conn] = struct{}{}
	if c.hurried {
		hurry(conn)
	}
}

func (c *connSet) remove(conn net.Conn) {
	c.mu.Lock()
	delete(c.m, conn)
	c.mu.Unlock()
}

func (c *connSet) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hurried = true
	for conn := range c.m {
		hurry(conn)
	}
}

func hurry(c net.Conn) {
	t := time.Now().Add(hurryIn)
	if ours, ok := c.(*conn); ok {
		ours.hurry(t)
		return
	}
	_ = c.SetDeadline(t) // a TLS connection's deadlines may be set at any time
}
