package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// longForm has tests try all that make soak has time for.
var longForm = os.Getenv("VELONYM_SOAK") != ""

// builtProgram returns the path of the program as it is built for users, to be run as a
// process of its own. It is built once for all tests; TestMain removes it.
func builtProgram(t *testing.T) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// programDir is the folder of the built program, once there is one.
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
