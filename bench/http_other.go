//go:build !linux

package bench

import (
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// canPin says whether startOn really pins.
const canPin = false

// startOn starts a command; there is no pinning here.
func startOn(cmd *exec.Cmd, _ int) error { return cmd.Start() }

// cpuTime is the CPU time of this process so far, in nanoseconds.
func cpuTime() int64 {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return r.Utime.Nano() + r.Stime.Nano()
}

// resident is the memory of this process in bytes, as far as the runtime knows.
func resident() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}

// readiness takes every spinner for ready: one more look costs the client alone.
type readiness struct{ list []*spinner }

func newReadiness() (*readiness, error) { return &readiness{}, nil }

func (r *readiness) add(s *spinner) error {
	r.list = append(r.list, s)
	return nil
}

func (r *readiness) ready() ([]*spinner, error) { return r.list, nil }

func (r *readiness) close() {}
