package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// The client of the closed and the open loop never sleeps but polls its connections all
// the time. The kernel therefore does not charge the server for waking a sleeping client.
// The client does as little work as possible, so that the server is the bottleneck.

// polledConn is a non-blocking connection of this client.
type polledConn struct {
	fd    int
	out   []byte // rest of the request
	head  []byte // head of the answer, until it is complete
	left  int    // missing bytes of the answer's body; -1 while reading the head
	calls int64
	due   time.Duration // open loop: when the current call was due; 0: no call
}

// newPolledConn connects to a TCP address of this machine.
func newPolledConn(addr string) (*polledConn, error) {
	a, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(fd)
	to := &unix.SockaddrInet4{Port: a.Port}
	copy(to.Addr[:], a.IP.To4())
	if err = unix.Connect(fd, to); err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &polledConn{fd: fd, left: -1}, nil
}

// send starts a call.
func (s *polledConn) send(req []byte) error {
	s.out = req
	return s.flush()
}

func (s *polledConn) flush() error {
	for len(s.out) > 0 {
		n, err := unix.Write(s.fd, s.out)
		if err != nil {
			return ignoreAgain(err)
		}
		s.out = s.out[n:]
	}
	return nil
}

// step advances the call as far as possible without waiting, and reports whether the
// answer is complete.
func (s *polledConn) step(buf []byte) (answered bool, err error) {
	if err := s.flush(); err != nil {
		return false, err
	}
	for {
		n, err := unix.Read(s.fd, buf)
		if err != nil {
			return false, ignoreAgain(err)
		}
		if n == 0 {
			return false, io.ErrUnexpectedEOF
		}
		in := buf[:n]
		if s.left < 0 {
			s.head = append(s.head, in...)
			i := bytes.Index(s.head, []byte("\r\n\r\n"))
			if i < 0 {
				continue
			}
			if s.left, err = lengthOf(s.head[:i+2]); err != nil {
				return false, err
			}
			in = s.head[i+4:]
		}
		if s.left -= len(in); s.left == 0 {
			s.calls++
			s.head, s.left = s.head[:0], -1
			return true, nil
		}
		if n < len(buf) { // nothing more to read now
			return false, nil
		}
	}
}

// ignoreAgain returns nil for the error of a call that would have had to wait.
func ignoreAgain(err error) error {
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}

// lengthOf returns the body's length from an answer's head. It fails unless the status is
// 200.
func lengthOf(head []byte) (int, error) {
	if len(head) < 12 || string(head[9:12]) != "200" {
		return 0, fmt.Errorf("answer %.40q", head)
	}
	const name = "\r\nContent-Length: "
	i := bytes.Index(head, []byte(name))
	if i < 0 {
		return 0, errors.New("an answer without its length")
	}
	n := 0
	for _, d := range head[i+len(name):] {
		if d < '0' || d > '9' {
			break
		}
		n = 10*n + int(d-'0')
	}
	return n, nil
}

// polledConns opens the connections of a job.
func polledConns(j job) (all []*polledConn, r *poller, err error) {
	if r, err = newPoller(); err != nil {
		return nil, nil, err
	}
	for range j.Conns {
		s, err := newPolledConn(j.Addr)
		if err == nil {
			all = append(all, s)
			err = r.add(s)
		}
		if err != nil {
			closeAll(all, r)
			return nil, nil, err
		}
	}
	return all, r, nil
}

func closeAll(all []*polledConn, r *poller) {
	for _, s := range all {
		unix.Close(s.fd)
	}
	r.close()
}

// closedLoop makes calls on all connections for the duration of the job. On each, the
// next call follows the answer to the previous one.
func closedLoop(j job, req []byte) (res result, err error) {
	all, r, err := polledConns(j)
	if err != nil {
		return res, err
	}
	defer closeAll(all, r)
	for _, s := range all {
		if err := s.send(req); err != nil {
			return res, err
		}
	}
	buf := make([]byte, 1<<20)
	end := time.Now().Add(time.Duration(j.Millis) * time.Millisecond)
	for busy := len(all); busy > 0; {
		ready, err := r.ready()
		if err != nil {
			return res, err
		}
		over := time.Now().After(end)
		for _, s := range ready {
			answered, err := s.step(buf)
			switch {
			case err != nil:
				return res, err
			case answered && over:
				busy--
			case answered:
				if err := s.send(req); err != nil {
					return res, err
				}
			}
		}
	}
	for _, s := range all {
		res.Calls += s.calls
	}
	return res, nil
}

// openLoop makes calls at a constant rate and measures the latency of each from when it
// was due, so that a slow answer does not delay the calls after it.
func openLoop(j job, req []byte) (res result, err error) {
	all, r, err := polledConns(j)
	if err != nil {
		return res, err
	}
	defer closeAll(all, r)
	buf := make([]byte, 1<<20)
	hist := hdrhistogram.New(1, 60_000_000, 3) // in units of 100 ns
	gap := time.Duration(float64(time.Second) / j.Rate)
	idle := append([]*polledConn(nil), all...)
	begin, next, length := time.Now(), gap, time.Duration(j.Millis)*time.Millisecond
	for len(idle) < len(all) || next < length {
		for len(idle) > 0 && next < length && next <= time.Since(begin) {
			s := idle[len(idle)-1]
			idle = idle[:len(idle)-1]
			s.due = next
			next += gap
			if err := s.send(req); err != nil {
				return res, err
			}
		}
		ready, err := r.ready()
		if err != nil {
			return res, err
		}
		for _, s := range ready {
			if s.due == 0 {
				continue
			}
			answered, err := s.step(buf)
			if err != nil {
				return res, err
			}
			if answered {
				_ = hist.RecordValue(max(1, int64((time.Since(begin)-s.due)/100)))
				res.Calls++
				s.due = 0
				idle = append(idle, s)
			}
		}
	}
	res.P50, res.P99 = float64(hist.ValueAtQuantile(50))/10, float64(hist.ValueAtQuantile(99))/10
	return res, nil
}
