package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/velonym/velonym/engine/audit"
	"github.com/velonym/velonym/engine/audit/timestamp/tsatest"
)

// cmdKillAfterAnswers makes N calls of each kind concurrently, and kills the background
// process, a server, with SIGKILL as soon as it has the last answer:
// kill-after-answers SOCK N PATH:TOKENFILE:BODY ….
func cmdKillAfterAnswers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(ts.BackgroundCmds()) != 1 {
		ts.Fatalf("usage: kill-after-answers SOCK N PATH:TOKENFILE:BODY …, with one process in the background")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	errs := make(chan error)
	for _, kind := range args[2:] {
		part := strings.Split(kind, ":")
		if len(part) != 3 {
			ts.Fatalf("kill-after-answers: %s is not PATH:TOKENFILE:BODY", kind)
		}
		go func() {
			var all error
			for range n {
				answer, err := call(ts, []string{args[0], part[0], part[1], "text/csv", part[2]})
				if err == nil && strings.HasPrefix(answer, "5") {
					err = fmt.Errorf("answered %s", answer)
				}
				all = errors.Join(all, err)
			}
			errs <- all
		}()
	}
	var all error
	for range args[2:] {
		all = errors.Join(all, <-errs)
	}
	ts.Check(errors.Join(ts.BackgroundCmds()[0].Process.Signal(syscall.SIGKILL), all))
}

// cmdHeadKey sets a variable to the public key of a heads file: head-key FILE NAME.
func cmdHeadKey(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: head-key FILE NAME")
	}
	heads, _, err := audit.ReadHeads(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(heads) == 0 {
		ts.Fatalf("no heads in %s", args[0])
	}
	ts.Setenv(args[1], base64.StdEncoding.EncodeToString(heads[0].Key))
}

// cmdTSA starts a time-stamping authority, which runs until the script ends:
// tsa URLVARIABLE CAFILE.
func cmdTSA(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tsa URLVARIABLE CAFILE")
	}
	s, err := tsatest.Start()
	ts.Check(err)
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.URL)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), s.CA, 0o600))
}

// cmdTmpfs mounts a tmpfs of the given size at DIR until the script ends: tmpfs DIR SIZE.
// The condition [tmpfs] is true if that is permitted.
func cmdTmpfs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: tmpfs DIR SIZE")
	}
	dir := ts.MkAbs(args[0])
	ts.Check(mountTmpfs(dir, args[1]))
	ts.Defer(func() { _ = unmount(dir) }) // a server may still use it
}

func mountTmpfs(dir, size string) error {
	return exec.Command("mount", "-t", "tmpfs", "-o", "mode=700,size="+size, "velonym-test", dir).Run()
}

func unmount(dir string) error { return exec.Command("umount", "-l", dir).Run() }

// conditions evaluates the conditions of scripts that testscript does not have.
func conditions(cond string) (bool, error) {
	if cond != "tmpfs" {
		return false, fmt.Errorf("unknown condition %q", cond)
	}
	dir, err := os.MkdirTemp("", "velonym-tmpfs-")
	if err != nil {
		return false, err
	}
	defer os.Remove(dir)
	if mountTmpfs(dir, "64k") != nil {
		return false, nil
	}
	return true, unmount(dir)
}
