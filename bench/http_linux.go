package bench

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// canPin says whether startOn really pins.
const canPin = true

// startOn starts a command on one core: a process inherits the affinity of the
// thread that makes it.
func startOn(cmd *exec.Cmd, core int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var was, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &was); err != nil {
		return cmd.Start()
	}
	n := 0
	for cpu := range 1024 { // the core-th of those that we may use
		if was.IsSet(cpu) {
			if n == core%was.Count() {
				one.Set(cpu)
				break
			}
			n++
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return cmd.Start()
	}
	defer func() { _ = unix.SchedSetaffinity(0, &was) }()
	return cmd.Start()
}

// cpuTime is the CPU time of this process so far, in nanoseconds.
func cpuTime() int64 {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return r.Utime.Nano() + r.Stime.Nano()
}

// resident is the memory of this process in bytes.
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

// readiness says which spinners have something to read or room to write.
type readiness struct {
	fd     int
	all    map[int32]*spinner
	events []unix.EpollEvent
	list   []*spinner
}

func newReadiness() (*readiness, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &readiness{fd: fd, all: map[int32]*spinner{}}, err
}

func (r *readiness) add(s *spinner) error {
	r.all[int32(s.fd)] = s
	r.events = append(r.events, unix.EpollEvent{})
	return unix.EpollCtl(r.fd, unix.EPOLL_CTL_ADD, s.fd,
		&unix.EpollEvent{Fd: int32(s.fd), Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET | unix.EPOLLRDHUP})
}

// ready does not wait.
func (r *readiness) ready() ([]*spinner, error) {
	n, err := unix.EpollWait(r.fd, r.events, 0)
	if err != nil {
		return nil, waitless(err)
	}
	r.list = r.list[:0]
	for _, e := range r.events[:n] {
		r.list = append(r.list, r.all[e.Fd])
	}
	return r.list, nil
}

func (r *readiness) close() { unix.Close(r.fd) }
