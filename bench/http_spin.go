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

// The client of the closed and the open loop never sleeps: it asks again and
// again which connections have something, so that the server need not wake
// anybody and is charged for its own work alone. And it does as little as it can,
// so that the server is the one that is waited for.

// spinner is a connection of this client.
type spinner struct {
	fd    int
	out   []byte // of the request, not sent yet
	head  []byte // of the answer, until it is whole
	left  int    // bytes of the answer's body to come; -1: in its head
	calls int64
	due   time.Duration // of the call that it is busy with, in the open loop; 0: none
}

// newSpinner connects to a TCP address of this machine.
func newSpinner(addr string) (*spinner, error) {
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
	return &spinner{fd: fd, left: -1}, nil
}

// send begins a call.
func (s *spinner) send(req []byte) error {
	s.out = req
	return s.flush()
}

func (s *spinner) flush() error {
	for len(s.out) > 0 {
		n, err := unix.Write(s.fd, s.out)
		if err != nil {
			return waitless(err)
		}
		s.out = s.out[n:]
	}
	return nil
}

// step moves the call on as far as it goes without waiting, and says whether it
// is answered.
func (s *spinner) step(buf []byte) (answered bool, err error) {
	if err := s.flush(); err != nil {
		return false, err
	}
	for {
		n, err := unix.Read(s.fd, buf)
		if err != nil {
			return false, waitless(err)
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
		if n < len(buf) { // that was all for now
			return false, nil
		}
	}
}

// waitless takes the error of a call that would have had to wait for none.
func waitless(err error) error {
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}

// lengthOf reads the status and the length of an answer's head.
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

// spinners opens the connections of a job.
func spinners(j job) (all []*spinner, r *readiness, err error) {
	if r, err = newReadiness(); err != nil {
		return nil, nil, err
	}
	for range j.Conns {
		s, err := newSpinner(j.Addr)
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

func closeAll(all []*spinner, r *readiness) {
	for _, s := range all {
		unix.Close(s.fd)
	}
	r.close()
}

// spin calls as fast as answers come, on all connections at once.
func spin(j job, req []byte) (res result, err error) {
	all, r, err := spinners(j)
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

// openLoop makes calls at a constant rate and measures each from the moment it
// was due, whatever became of those before it.
func openLoop(j job, req []byte) (res result, err error) {
	all, r, err := spinners(j)
	if err != nil {
		return res, err
	}
	defer closeAll(all, r)
	buf := make([]byte, 1<<20)
	hist := hdrhistogram.New(1, 60_000_000, 3) // in units of 100 ns
	gap := time.Duration(float64(time.Second) / j.Rate)
	idle := append([]*spinner(nil), all...)
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
