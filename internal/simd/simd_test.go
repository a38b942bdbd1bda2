package simd

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestNamedKernelsRun fails if a tier that VELONYM_TEST_KERNELS names is not one of those on which
// tests run.
func TestNamedKernelsRun(t *testing.T) {
	for _, name := range strings.FieldsFunc(os.Getenv("VELONYM_TEST_KERNELS"), func(r rune) bool { return r == ',' }) {
		if !slices.Contains(Kernels(), name) {
			t.Errorf("kernel %q must be tested and does not run here: %v", name, Kernels())
		}
	}
}

// TestForce checks that Force chooses every tier and refuses unknown names.
func TestForce(t *testing.T) {
	defer Force("auto")
	names := Kernels()
	if names[len(names)-1] != "generic" {
		t.Fatalf("last of %v is not generic", names)
	}
	for _, name := range names {
		if err := Force(name); err != nil {
			t.Fatal(err)
		}
		if Kernel() != name || Active().String() != name {
			t.Fatalf("chose %q, runs %q, want %q", Kernel(), Active(), name)
		}
		if (name == "generic") != (len(Features()) == 0) {
			t.Fatalf("%s relies on %v", name, Features())
		}
	}
	if err := Force("auto"); err != nil || Kernel() != names[0] {
		t.Fatalf("auto chose %q of %v: %v", Kernel(), names, err)
	}
	if err := Force("avx1024"); err == nil || !strings.Contains(err.Error(), "generic") {
		t.Fatalf("unknown kernel: %v", err)
	}
	if Kernel() != names[0] {
		t.Fatal("a refused name changed the kernel")
	}
}
