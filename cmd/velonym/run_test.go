package main

import (
	"regexp"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdUsage runs `velonym run` with wrong arguments. It fails unless the exit status is 2
// and the message matches: usage REGEXP ARGUMENT ….
func cmdUsage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: usage REGEXP ARGUMENT …")
	}
	line := append([]string{"-c", `velonym run "$@"; test $? = 2`, "sh"}, args[1:]...)
	if err := ts.Exec("sh", line...); err != nil {
		ts.Fatalf("run %v: no usage error", args[1:])
	}
	message := ts.ReadFile("stderr")
	if !regexp.MustCompile(args[0]).MatchString(message) {
		ts.Fatalf("run %v: %q does not match %q", args[1:], message, args[0])
	}
}
