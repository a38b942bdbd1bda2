// Command velonym replaces identifiers by pseudonyms, in bulk, under the rules
// that a signed token carries. Run `velonym help` for its verbs.
//
// It writes data to standard output and everything else to standard error. The exit
// status is 0 on success, 1 on failure and 2 on wrong usage.
package main

import (
	"os"

	"github.com/velonym/velonym/bench"
)

func main() {
	if bench.Child() { // this process is a server or client of `velonym bench http`
		return
	}
	if len(os.Args) < 2 || os.Args[1] != "bench" { // bench uses test keys and must stay open to profilers
		harden()
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
