package server

import (
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/velonym/velonym/engine/token"
)

// capped is a listener that answers connections beyond the cap itself.
type capped struct {
	net.Listener
	s      *Server
	secure bool // TLS on top: no answer can be given before a handshake
}

// conn is a connection that spares system and runtime work which a busy
// keep-alive connection does not need. One goroutine at a time, hurry apart.
//
// Deadlines are set where something really waits, and only anew when the one in
// place is too early, or too late by more than slack.
//
// The first part of a large answer is held back until the rest comes, and both
// leave in one call: see expect.
//
// After an answer, others that are ready to run go first: see patience.
type conn struct {
	net.Conn
	slack                time.Duration
	patience             *patience
	answered             bool // since the last Read
	token                token.Seen
	readBy, writeBy      time.Time // wanted
	readUntil, writeLast time.Time // in place

	large int    // bytes of an answer on its way
	held  []byte // its first part
	parts [2][]byte
	bufs  net.Buffers
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.readBy = t
	return nil
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writeBy = t
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	c.readBy, c.writeBy, c.readUntil, c.writeLast = t, t, t, t
	return c.Conn.SetDeadline(t)
}

// hurry sets both deadlines at once. It may be called beside a Read.
func (c *conn) hurry(t time.Time) { _ = c.Conn.SetDeadline(t) }

// due says whether the deadline in place has to be changed for the one wanted,
// and to what.
func (c *conn) due(wanted time.Time, inPlace *time.Time) (t time.Time, change bool) {
	switch {
	case wanted.IsZero():
		change = !inPlace.IsZero()
	case inPlace.IsZero(), inPlace.Before(wanted), inPlace.Sub(wanted) > c.slack:
		wanted, change = wanted.Add(c.slack), true
	}
	if change {
		*inPlace = wanted
	}
	return wanted, change
}

// patience tells connections when to wait for their turn before they look for
// the next request. On a busy server the request is there by then, and a read
// that finds nothing and a wait in the poller are spared. But the runtime looks
// at the poller only when nobody is ready to run; so that those who wait there
// are not kept waiting, a quarter of all turns is not given away.
type patience struct{ turns atomic.Uint32 }

func (p *patience) wait() {
	if p.turns.Add(1)%256 < 192 {
		runtime.Gosched()
	}
}

func (c *conn) Read(b []byte) (int, error) {
	if c.answered {
		c.answered = false
		c.patience.wait()
	}
	if t, change := c.due(c.readBy, &c.readUntil); change {
		if err := c.Conn.SetReadDeadline(t); err != nil {
			return 0, err
		}
	}
	return c.Conn.Read(b)
}

// expect announces an answer whose body has n bytes.
func (c *conn) expect(n int) {
	if n >= 4*writeBuffer {
		c.large = n
	}
}

func (c *conn) Write(b []byte) (int, error) {
	c.answered = true
	if c.large > 0 && len(c.held) == 0 && len(b) <= writeBuffer {
		c.held = append(c.held, b...)
		return len(b), nil
	}
	if t, change := c.due(c.writeBy, &c.writeLast); change {
		if err := c.Conn.SetWriteDeadline(t); err != nil {
			return 0, err
		}
	}
	if len(c.held) == 0 {
		c.large = 0
		return c.Conn.Write(b)
	}
	c.parts = [2][]byte{c.held, b}
	c.bufs = c.parts[:]
	n, err := c.bufs.WriteTo(c.Conn)
	first := len(c.held)
	c.large, c.held, c.parts, c.bufs = 0, c.held[:0], [2][]byte{}, nil
	return max(0, int(n)-first), err
}

// CloseWrite ends the sending side.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// maxTurnedAway bounds the goroutines that tell connections to come back.
const maxTurnedAway = 64

func (l *capped) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if int(l.s.conns.Add(1)) <= l.s.cfg.MaxConns {
			return &conn{Conn: c, slack: l.s.slack, patience: &l.s.patience}, nil
		}
		l.s.conns.Add(-1)
		l.s.metrics.connsRefused.Inc()
		if l.secure || l.s.turnedAway.Add(1) > maxTurnedAway {
			if !l.secure {
				l.s.turnedAway.Add(-1)
			}
			c.Close()
			continue
		}
		go func() {
			defer l.s.turnedAway.Add(-1)
			l.s.turnAway(c)
		}()
	}
}

// turnAway answers a connection over the cap.
func (s *Server) turnAway(c net.Conn) {
	defer c.Close()
	p := busy(codeOverloaded, "too many connections")
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

// connSet is a set of connections whose end can be hurried.
type connSet struct {
	mu      sync.Mutex
	m       map[net.Conn]struct{}
	hurried bool
}

// hurryIn is how long a lingering connection gets once the server is closing.
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
	_ = c.SetDeadline(t) // TLS: its deadlines may be set at any time
}

// requestIDs makes identifiers that no other process makes: 64 random bits and
// a counter.
type requestIDs struct {
	prefix [8]byte
	n      atomic.Uint64
}

const lowerHex = "0123456789abcdef"

// next appends an identifier of 24 to 32 hexadecimal digits.
func (r *requestIDs) next(b []byte) []byte {
	for _, c := range r.prefix {
		b = append(b, lowerHex[c>>4], lowerHex[c&15])
	}
	n := r.n.Add(1)
	shift := 28
	for shift < 60 && n>>(shift+4) != 0 {
		shift += 4
	}
	for ; shift >= 0; shift -= 4 {
		b = append(b, lowerHex[n>>shift&15])
	}
	return b
}
