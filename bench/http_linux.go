package bench

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// canPin reports whether startOn pins processes to cores.
const canPin = true

// startOn starts a command on one core. It sets the affinity of the current thread, which
// the new process inherits.
func startOn(cmd *exec.Cmd, core int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var allowed, single unix.CPUSet
	if err := unix.SchedGetaffinity(0, &allowed); err != nil {
		return cmd.Start()
	}
	n := 0
	for cpu := range 1024 { // find the allowed CPU with index core
		if allowed.IsSet(cpu) {
			if n == core%allowed.Count() {
				single.Set(cpu)
				break
			}
			n++
		}
	}
	if err := unix.SchedSetaffinity(0, &single); err != nil {
		return cmd.Start()
	}
	defer func() { _ = unix.SchedSetaffinity(0, &allowed) }()
	return cmd.Start()
}

// cpuTime returns the CPU time of this process so far, in nanoseconds.
func cpuTime() int64 {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return r.Utime.Nano() + r.Stime.Nano()
}

// resident returns the resident memory of this process in bytes, or 0 if it is unknown.
func resident() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(b), &size, &pages); err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// poller reports which connections are readable or writable, through epoll.
type poller struct {
	fd     int
	all    map[int32]*polledConn
	events []unix.EpollEvent
	list   []*polledConn
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &poller{fd: fd, all: map[int32]*polledConn{}}, err
}

func (r *poller) add(s *polledConn) error {
	r.all[int32(s.fd)] = s
	r.events = append(r.events, unix.EpollEvent{})
	return unix.EpollCtl(r.fd, unix.EPOLL_CTL_ADD, s.fd,
		&unix.EpollEvent{Fd: int32(s.fd), Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET | unix.EPOLLRDHUP})
}

// ready returns the connections with new events. It does not wait.
func (r *poller) ready() ([]*polledConn, error) {
	n, err := unix.EpollWait(r.fd, r.events, 0)
	if err != nil {
		return nil, ignoreAgain(err)
	}
	r.list = r.list[:0]
	for _, e := range r.events[:n] {
		r.list = append(r.list, r.all[e.Fd])
	}
	return r.list, nil
}

func (r *poller) close() { unix.Close(r.fd) }
