package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// allowDumps names the variable that, set to 1, leaves the process as the system
// made it, so that debuggers and profilers can look into it.
const allowDumps = "VELONYM_ALLOW_DUMPS"

// harden keeps this process's memory to itself: no core dump is written, whatever
// the system's limits are, and no process of the same user can attach to it or
// read its memory (root can). Memory that holds keys is left out of dumps in any
// case; this is for the values on their way.
func harden() {
	if os.Getenv(allowDumps) == "1" {
		return
	}
	// Neither is refused by a system that has them: lowering needs no right.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}

// dumps says whether the system may dump this process.
func dumps() string {
	if n, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0); err == nil && n == 0 {
		return "off"
	}
	return "allowed"
}
