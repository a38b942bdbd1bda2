package server

import (
	"bytes"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/velonym/velonym/engine/token"
)

// conn wraps a net.Conn and avoids per-request deadline and poller work on busy
// keep-alive connections. One goroutine uses it at a time, except that hurry may be called
// concurrently with Read.
//
// conn tracks the phase of a request and derives its deadlines from it: see
// readDeadline and writeDeadline. A deadline set by a caller takes precedence until the
// next answer begins. The deadline of the net.Conn is changed only if it is earlier than
// wanted, or later by more than the server's deadlineTolerance.
//
// The first part of a large answer is held back and written with the rest in one call:
// see answer.
//
// After an answer, a connection yields before it reads: see readYield.
type conn struct {
	net.Conn
	s     *Server
	sock  *socket // nil: Conn reads and writes itself
	token token.LastToken

	phase       phase
	http2       bool      // it began with HTTP/2's preface
	interim     bool      // the next write is 100 Continue and no answer
	since       time.Time // when the answer was ready; zero: unknown
	wait        time.Time // read deadline of this phase; zero: not computed yet
	answerUntil time.Time // write deadline of the answer

	readBy, writeBy      time.Time // deadlines set by a caller; zero: none
	readUntil, writeLast time.Time // deadlines of Conn

	large int    // bytes of a large answer that is being written
	held  []byte // its first part, which is not written yet
	parts [2][]byte
	bufs  net.Buffers
}

// phase is the phase of a request that a connection is in.
type phase uint8

const (
	phaseNew      phase = iota // no byte was read yet
	phaseBegun                 // the first bytes of a request were read
	phaseReading               // the rest of a request is awaited
	phaseAnswered              // writing the answer has begun
)

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

// hurry sets both deadlines of Conn. It may be called concurrently with Read.
func (c *conn) hurry(t time.Time) { _ = c.Conn.SetDeadline(t) }

// due reports whether the deadline that is set must change for the one wanted, and
// to what.
func (c *conn) due(wanted time.Time, inPlace *time.Time) (t time.Time, change bool) {
	switch {
	case wanted.IsZero():
		change = !inPlace.IsZero()
	case inPlace.IsZero(), inPlace.Before(wanted), inPlace.Sub(wanted) > c.s.deadlineTolerance:
		wanted, change = wanted.Add(c.s.deadlineTolerance), true
	}
	if change {
		*inPlace = wanted
	}
	return wanted, change
}

// readDeadline is the deadline of the next read. A request begins within IdleTimeout
// of the answer before it, or within HeaderTimeout of the connection's start, and its
// header is complete within HeaderTimeout of its first byte.
func (c *conn) readDeadline() time.Time {
	switch {
	case c.phase == phaseAnswered && c.wait.IsZero():
		c.wait = c.from().Add(c.s.cfg.IdleTimeout)
	case c.phase == phaseBegun:
		c.phase, c.wait = phaseReading, time.Now().Add(c.s.cfg.HeaderTimeout)
	}
	if !c.readBy.IsZero() {
		return c.readBy
	}
	return c.wait
}

// writeDeadline is StallTimeout after the answer was ready.
func (c *conn) writeDeadline() time.Time {
	if !c.writeBy.IsZero() {
		return c.writeBy
	}
	return c.answerUntil
}

// from returns c.since, or now if that is unknown.
func (c *conn) from() time.Time {
	if c.since.IsZero() {
		return time.Now()
	}
	return c.since
}

// readYield lets goroutines that are ready run before a connection reads its next
// request. On a busy server the request has arrived by then, which spares a read that
// finds nothing and a wait in the poller. The runtime visits the poller only when no
// goroutine is ready, so after yieldsPerPoll rounds every connection reads at once:
// those without a request then wait in the poller.
//
// `velonym bench http` compares servers with and without it.
type readYield struct {
	waiting atomic.Int32 // connections that yield now
	yields  atomic.Int32 // since the last round that did not yield
	skips   atomic.Int32 // reads left of a round that does not yield
}

// yieldsPerPoll is the number of rounds that yield between two that do not.
const yieldsPerPoll = 15

func (p *readYield) wait() {
	if p.skips.Load() > 0 && p.skips.Add(-1) >= 0 {
		return
	}
	n := p.waiting.Add(1)
	if p.yields.Add(1) > yieldsPerPoll*n {
		p.yields.Store(0)
		p.skips.Store(n)
	}
	runtime.Gosched()
	p.waiting.Add(-1)
}

func (c *conn) Read(b []byte) (n int, err error) {
	before := c.phase
	t, change := c.due(c.readDeadline(), &c.readUntil)
	if before == phaseAnswered && !c.s.cfg.NoReadYield {
		c.s.readYield.wait()
	}
	if change {
		if err := c.Conn.SetReadDeadline(t); err != nil {
			return 0, err
		}
	}
	if c.sock != nil && len(b) > 0 && len(b) <= maxRawCall {
		c.s.paths.rawReads.Add(1)
		n, err = c.sock.read(b)
	} else {
		n, err = c.Conn.Read(b)
	}
	if before == phaseNew && bytes.HasPrefix(b[:max(n, 0)], []byte(http2Preface)) {
		c.http2 = true
	}
	if n > 0 && (before == phaseNew || before == phaseAnswered) {
		c.phase, c.since = phaseBegun, time.Time{}
	}
	return n, err
}

// answer announces an answer that was ready just now and whose body has n bytes.
func (c *conn) answer(now time.Time, n int) {
	c.since = now
	if n >= 4*writeBuffer {
		c.large = n
	}
}

func (c *conn) Write(b []byte) (int, error) {
	if c.interim {
		c.interim = false
	} else if c.phase != phaseAnswered {
		c.phase, c.wait, c.readBy = phaseAnswered, time.Time{}, time.Time{}
		c.since = c.from()
		c.answerUntil = c.since.Add(c.s.cfg.StallTimeout)
	}
	if c.large > 0 && len(c.held) == 0 && len(b) <= writeBuffer {
		c.held = append(c.held, b...)
		return len(b), nil
	}
	if t, change := c.due(c.writeDeadline(), &c.writeLast); change {
		if err := c.Conn.SetWriteDeadline(t); err != nil {
			return 0, err
		}
	}
	if len(b) > writeBuffer {
		c.since = time.Time{} // the write may take long
	}
	first := len(c.held)
	var n int64
	var err error
	switch {
	case c.sock != nil && len(b) > 0 && first+len(b) <= maxRawCall:
		var k int
		c.s.paths.rawWrites.Add(1)
		k, err = c.sock.write(c.held, b)
		n = int64(k)
	case first == 0:
		c.large = 0
		return c.Conn.Write(b)
	default:
		c.parts = [2][]byte{c.held, b}
		c.bufs = c.parts[:]
		n, err = c.bufs.WriteTo(c.Conn)
		c.parts, c.bufs = [2][]byte{}, nil
	}
	c.large, c.held = 0, c.held[:0]
	return max(0, int(n)-first), err
}

// CloseWrite ends the sending side.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
