package kernel

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestNamedKernelsRun fails if a tier that VELONYM_TEST_KERNELS names is not
// among those that the other tests of this package run on.
func TestNamedKernelsRun(t *testing.T) {
	for _, name := range strings.FieldsFunc(os.Getenv("VELONYM_TEST_KERNELS"), func(r rune) bool { return r == ',' }) {
		if !slices.Contains(Kernels(), name) {
			t.Errorf("kernel %q must be tested and does not run here: %v", name, Kernels())
		}
	}
}

// TestSetKernel chooses every tier, and refuses what is none.
func TestSetKernel(t *testing.T) {
	defer SetKernel("auto")
	names := Kernels()
	if names[len(names)-1] != "generic" {
		t.Fatalf("last of %v is not generic", names)
	}
	for _, name := range names {
		if err := SetKernel(name); err != nil {
			t.Fatal(err)
		}
		if Kernel() != name {
			t.Fatalf("chose %q, runs %q", name, Kernel())
		}
		if (name == "generic") != (len(Features()) == 0) {
			t.Fatalf("%s relies on %v", name, Features())
		}
	}
	if err := SetKernel("auto"); err != nil || Kernel() != names[0] {
		t.Fatalf("auto chose %q of %v: %v", Kernel(), names, err)
	}
	if err := SetKernel("avx1024"); err == nil || !strings.Contains(err.Error(), "generic") {
		t.Fatalf("unknown kernel: %v", err)
	}
	if Kernel() != names[0] {
		t.Fatal("a refused name changed the kernel")
	}
}

// eachKernel runs f on every tier of this CPU as a subtest named after it.
func eachKernel(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	t.Logf("%s: %v", runtime.GOARCH, Kernels())
	for _, name := range Kernels() {
		t.Run(name, func(t *testing.T) {
			if err := SetKernel(name); err != nil {
				t.Fatal(err)
			}
			defer SetKernel("auto")
			f(t)
		})
	}
}
