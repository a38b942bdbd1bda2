package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// allowDumps is the environment variable that disables harden if it is 1, for debuggers
// and profilers.
const allowDumps = "VELONYM_ALLOW_DUMPS"

// harden disables core dumps of this process and prevents other processes of the same
// user from attaching to it or reading its memory (root still can). Key memory is
// excluded from dumps in any case; this protects the values in buffers.
func harden() {
	if os.Getenv(allowDumps) == "1" {
		return
	}
	// Neither call can fail on Linux: lowering a limit needs no privilege.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}

// dumps reports whether the system may write core dumps of this process.
func dumps() string {
	if n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err == nil && n == 0 {
		return "off"
	}
	return "allowed"
}
