// Command velonym replaces identifiers by pseudonyms, in bulk, under the rules
// that a signed token carries. Run `velonym help` for its verbs.
//
// Data goes to standard output, everything else to standard error. Exit status:
// 0 done, 1 failed, 2 wrong usage.
package main

import (
	"os"

	"github.com/velonym/velonym/bench"
)

func main() {
	if bench.Child() { // a server or client of `velonym bench http`
		return
	}
	if len(os.Args) < 2 || os.Args[1] != "bench" { // which measures itself, with keys of its own
		harden()
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
