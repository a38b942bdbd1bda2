package main

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/velonym/velonym/internal/simd"
)

// cmdKernels runs the program once for every tier that this CPU supports:
// kernels ARG …. KERNEL in an argument stands for the tier's name.
func cmdKernels(ts *testscript.TestScript, neg bool, args []string) {
	for _, tier := range simd.Kernels() {
		with := []string{"--kernel", tier}
		for _, a := range args {
			with = append(with, strings.ReplaceAll(a, "KERNEL", tier))
		}
		if err := ts.Exec("velonym", with...); (err != nil) != neg {
			ts.Fatalf("kernel %s: %v", tier, err)
		}
	}
}

// cmdCmpKernels compares the output of every tier with a file:
// cmp-kernels out-KERNEL.csv FILE.
func cmdCmpKernels(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cmp-kernels NAME FILE")
	}
	want := ts.ReadFile(args[1])
	for _, tier := range simd.Kernels() {
		if name := strings.ReplaceAll(args[0], "KERNEL", tier); ts.ReadFile(name) != want {
			ts.Fatalf("%s and %s differ", name, args[1])
		}
	}
}

// cmdRepeat writes a file of repeated lines: repeat FILE COUNT 'text\n' COUNT 'text\n' ….
func cmdRepeat(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args)%2 == 0 {
		ts.Fatalf("usage: repeat FILE COUNT 'escaped text' …")
	}
	var all []byte
	for i := 1; i < len(args); i += 2 {
		n, err := strconv.Atoi(args[i])
		ts.Check(err)
		text, err := strconv.Unquote(`"` + args[i+1] + `"`)
		ts.Check(err)
		all = append(all, bytes.Repeat([]byte(text), n)...)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), all, 0o600))
}
