package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHarden checks that the program disables its own core dumps, even if the limits of
// its environment allow them.
func TestHarden(t *testing.T) {
	const child = "VELONYM_TEST_HARDEN"
	if os.Getenv(child) != "" {
		harden()
		var core unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_CORE, &core); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("dumps %s, core %t\n", dumps(), core.Max != 0)
		return
	}
	for allow, want := range map[string]string{"": "dumps off, core false", "1": "dumps allowed, core true"} {
		cmd := exec.Command("sh", "-c", `ulimit -H -c 1024; exec "$0" -test.run='^TestHarden$'`, os.Args[0])
		cmd.Env = append(os.Environ(), child+"=1", allowDumps+"="+allow)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s=%q: %v\n%s", allowDumps, allow, err, out)
		}
	}
}
