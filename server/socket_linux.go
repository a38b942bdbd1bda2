package server

import (
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"
)

// socket reads and writes the descriptor of a connection by raw system calls, of which
// the scheduler does not know. They never wait and end within microseconds. For a call
// that the scheduler knows of, the runtime's monitor wakes every 20 µs and may move the
// processor to another thread: 'velonym bench http' shows a median answer at half load
// half as long again. Waiting is left to the poller. One goroutine may read and one may
// write at a time.
type socket struct {
	raw      syscall.RawConn
	in, out  transfer
	tryRead  func(fd uintptr) bool
	tryWrite func(fd uintptr) bool
}

// transfer is the state of one read or write.
type transfer struct {
	parts [2][]byte // what is left of the buffers
	n     int
	errno syscall.Errno
}

// maxRawCall is the most bytes that a raw call moves. The scheduler cannot use the
// thread meanwhile; 512 KiB take about 100 µs.
const maxRawCall = 512 << 10

// newSocket returns the socket of c, or nil if c has no descriptor.
func newSocket(c net.Conn) *socket {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{raw: raw}
	s.tryRead = func(fd uintptr) bool {
		t := &s.in
		b := t.parts[0]
		for {
			n, _, errno := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
			switch errno {
			case 0:
				t.n = int(n)
			case syscall.EINTR:
				continue
			case syscall.EAGAIN:
				return false
			default:
				t.errno = errno
			}
			return true
		}
	}
	s.tryWrite = func(fd uintptr) bool {
		t := &s.out
		for {
			n, errno := t.write(fd)
			switch errno {
			case 0:
				if t.sent(n) {
					return true
				}
			case syscall.EINTR:
			case syscall.EAGAIN:
				return false
			default:
				t.errno = errno
				return true
			}
		}
	}
	return s
}

// read reads into b, which is not empty.
func (s *socket) read(b []byte) (int, error) {
	s.in = transfer{parts: [2][]byte{b}}
	err := s.raw.Read(s.tryRead)
	n, errno := s.in.n, s.in.errno
	s.in = transfer{}
	switch {
	case err != nil:
		return 0, err
	case errno != 0:
		return 0, os.NewSyscallError("read", errno)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// write writes a and then b, and returns how many bytes of both left.
func (s *socket) write(a, b []byte) (int, error) {
	s.out = transfer{parts: [2][]byte{a, b}}
	err := s.raw.Write(s.tryWrite)
	n, errno := s.out.n, s.out.errno
	s.out = transfer{}
	if err == nil && errno != 0 {
		err = os.NewSyscallError("write", errno)
	}
	return n, err
}

// write makes one system call for what is left.
func (t *transfer) write(fd uintptr) (uintptr, syscall.Errno) {
	a, b := t.parts[0], t.parts[1]
	if len(a) == 0 {
		a, b = b, nil
	}
	if len(b) == 0 {
		n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(a))), uintptr(len(a)))
		return n, errno
	}
	vec := [2]syscall.Iovec{{Base: unsafe.SliceData(a)}, {Base: unsafe.SliceData(b)}}
	vec[0].SetLen(len(a))
	vec[1].SetLen(len(b))
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&vec)), uintptr(len(vec)))
	return n, errno
}

// sent removes n bytes from what is left and reports whether nothing is left.
func (t *transfer) sent(n uintptr) bool {
	t.n += int(n)
	for i, p := range t.parts {
		k := min(int(n), len(p))
		t.parts[i] = p[k:]
		n -= uintptr(k)
	}
	return len(t.parts[0])+len(t.parts[1]) == 0
}
