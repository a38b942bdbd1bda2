package server

import (
	"bytes"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/velonym/velonym/engine/token"
)

// conn is a connection that spares system and runtime work which a busy
// keep-alive connection does not need. One goroutine at a time, hurry apart.
//
// It knows where in a request it is, and so by when it has to hear of its peer:
// see readDeadline and writeDeadline. What is set from outside goes before that,
// until the next answer begins. Deadlines are set where something really waits,
// and only anew when the one in place is too early, or too late by more than the
// server's slack.
//
// The first part of a large answer is held back until the rest comes, and both
// leave in one call: see answer.
//
// After an answer, others that are ready to run go first: see patience.
type conn struct {
	net.Conn
	s     *Server
	sock  *socket // nil: Conn alone
	token token.LastToken

	phase   phase
	http2   bool      // it began with HTTP/2's preface
	interim bool      // what is written next is no answer yet
	since   time.Time // when the answer was ready; zero: not known
	wait    time.Time // until when a read may wait in this phase
	take    time.Time // until when the answer is to be taken

	readBy, writeBy      time.Time // asked for from outside; zero: nothing was
	readUntil, writeLast time.Time // in place

	large int    // bytes of an answer on its way
	held  []byte // its first part
	parts [2][]byte
	bufs  net.Buffers
}

// phase is where in a request a connection is.
type phase uint8

const (
	phaseNew      phase = iota // nothing came yet
	phaseBegun                 // the first bytes of a request are here
	phaseReading               // and the rest is waited for
	phaseAnswered              // an answer has begun to leave
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

// hurry sets both deadlines at once. It may be called beside a Read.
func (c *conn) hurry(t time.Time) { _ = c.Conn.SetDeadline(t) }

// due says whether the deadline in place has to be changed for the one wanted,
// and to what.
func (c *conn) due(wanted time.Time, inPlace *time.Time) (t time.Time, change bool) {
	switch {
	case wanted.IsZero():
		change = !inPlace.IsZero()
	case inPlace.IsZero(), inPlace.Before(wanted), inPlace.Sub(wanted) > c.s.slack:
		wanted, change = wanted.Add(c.s.slack), true
	}
	if change {
		*inPlace = wanted
	}
	return wanted, change
}

// readDeadline is when the next read has waited long enough: a request must begin
// within IdleTimeout of the answer before, or HeaderTimeout of the connection's
// start, and be here within HeaderTimeout of its beginning.
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
	return c.take
}

// from is c.since, or now where that is not known.
func (c *conn) from() time.Time {
	if c.since.IsZero() {
		return time.Now()
	}
	return c.since
}

// patience tells connections when to wait for their turn before they look for
// the next request. On a busy server the request is there by then, and a read
// that finds nothing and a wait in the poller are spared. But the runtime looks
// at the poller only when nobody is ready to run; so after every patientTurns
// rounds there is one in which nobody waits for a turn, and all who have no
// request go to the poller.
type patience struct {
	waiting atomic.Int32 // for their turn
	turns   atomic.Int32 // given since the last such round
	hasty   atomic.Int32 // turns that are left of such a round
}

// patientTurns is how many turns a connection waits for between two at which it
// does not.
const patientTurns = 15

func (p *patience) wait() {
	if p.hasty.Load() > 0 && p.hasty.Add(-1) >= 0 {
		return
	}
	n := p.waiting.Add(1)
	if p.turns.Add(1) > patientTurns*n {
		p.turns.Store(0)
		p.hasty.Store(n)
	}
	runtime.Gosched()
	p.waiting.Add(-1)
}

func (c *conn) Read(b []byte) (n int, err error) {
	before := c.phase
	t, change := c.due(c.readDeadline(), &c.readUntil)
	if before == phaseAnswered {
		c.s.patience.wait()
	}
	if change {
		if err := c.Conn.SetReadDeadline(t); err != nil {
			return 0, err
		}
	}
	if c.sock != nil && len(b) > 0 && len(b) <= maxQuiet {
		c.s.ways.quietReads.Add(1)
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
		c.take = c.since.Add(c.s.cfg.StallTimeout)
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
		c.since = time.Time{} // to take it may take long
	}
	first := len(c.held)
	var n int64
	var err error
	switch {
	case c.sock != nil && len(b) > 0 && first+len(b) <= maxQuiet:
		var k int
		c.s.ways.quietWrites.Add(1)
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
