package csvfast

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// eachKernel runs test once for every kernel of this CPU, as a subtest named
// after it. The environment variable VELONYM_TEST_KERNELS lists kernels that must
// be among them.
func eachKernel(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	defer func(was tier) { active = was }(active)
	for _, name := range Kernels() {
		if err := SetKernel(name); err != nil {
			t.Fatal(err)
		}
		t.Run(name, test)
	}
}

func TestKernels(t *testing.T) {
	defer func(was tier) { active = was }(active)
	names := Kernels()
	if names[len(names)-1] != "generic" {
		t.Errorf("kernels are %v; the last must be generic", names)
	}
	if Kernel() != names[0] {
		t.Errorf("kernel is %s, want the best of %v", Kernel(), names)
	}
	if must := os.Getenv("VELONYM_TEST_KERNELS"); must != "" {
		for _, name := range strings.Split(must, ",") {
			if !slices.Contains(names, name) {
				t.Errorf("kernel %s must be tested, but this CPU has %v", name, names)
			}
		}
	}
	for _, name := range names {
		if err := SetKernel(name); err != nil || Kernel() != name {
			t.Errorf("SetKernel(%s): %v, then kernel %s", name, err, Kernel())
		}
	}
	if err := SetKernel("auto"); err != nil || Kernel() != names[0] {
		t.Errorf("SetKernel(auto): %v, then kernel %s", err, Kernel())
	}
	if err := SetKernel("sse9"); err == nil || Kernel() != names[0] {
		t.Errorf("SetKernel(sse9): %v, then kernel %s", err, Kernel())
	}
}
