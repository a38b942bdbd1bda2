//go:build !linux

package bench

import (
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// canPin reports whether startOn pins processes to cores.
const canPin = false

// startOn starts a command without pinning it.
func startOn(cmd *exec.Cmd, _ int) error { return cmd.Start() }

// cpuTime returns the CPU time of this process so far, in nanoseconds.
func cpuTime() int64 {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return r.Utime.Nano() + r.Stime.Nano()
}

// resident returns the memory of this process in bytes, as the Go runtime counts it.
func resident() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}

// poller reports every connection as ready. The additional attempts cost CPU time of the
// client only.
type poller struct{ list []*polledConn }

func newPoller() (*poller, error) { return &poller{}, nil }

func (r *poller) add(s *polledConn) error {
	r.list = append(r.list, s)
	return nil
}

func (r *poller) ready() ([]*polledConn, error) { return r.list, nil }

func (r *poller) close() {}
