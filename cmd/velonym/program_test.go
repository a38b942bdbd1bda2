package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// longForm is true in make soak, which has the time for exhaustive tests.
var longForm = os.Getenv("VELONYM_SOAK") != ""

// builtProgram returns the path of the program, built as for users and without the flags
// of the test's build. All tests share it; TestMain removes it.
func builtProgram(t *testing.T) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// programDir is the folder of the built program; empty until it is built.
var programDir string

var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "velonym-test-")
	if err != nil {
		return "", err
	}
	programDir = dir
	path := filepath.Join(dir, "velonym")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})
