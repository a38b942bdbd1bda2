// Package simdtest holds what tests of kernels share: a runner that feeds every tier
// of this CPU, and memory that ends where a page faults.
package simdtest

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/velonym/velonym/internal/simd"
)

// EachKernel runs f on every tier of this CPU as a subtest named after it, and
// restores the tier that was in use. It fails if a tier that the environment variable
// VELONYM_TEST_KERNELS names (separated by commas) does not run here.
func EachKernel(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	names := simd.Kernels()
	t.Logf("%s: %v", runtime.GOARCH, names)
	for _, name := range strings.FieldsFunc(os.Getenv("VELONYM_TEST_KERNELS"), func(r rune) bool { return r == ',' }) {
		if !slices.Contains(names, name) {
			t.Errorf("kernel %q must be tested and does not run here: %v", name, names)
		}
	}
	was := simd.Kernel()
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			if err := simd.Force(name); err != nil {
				t.Fatal(err)
			}
			defer simd.Force(was)
			f(t)
		})
	}
}

// PageEnd returns n bytes, without spare capacity, that end at a page which faults.
// The test frees them when it ends. Where memory protection is not supported, nothing
// faults.
func PageEnd(t testing.TB, n int) []byte {
	t.Helper()
	page := Pages(t, n)
	return page[len(page)-n:]
}

// PageEnds returns n bytes directly before a page that faults, and another n directly after such a
// page. The test frees them when it ends.
func PageEnds(t testing.TB, n int) (end, begin []byte) {
	t.Helper()
	mem := Pages(t, n)
	return mem[len(mem)-n : len(mem) : len(mem)], mem[:n:n]
}

// EachKernelB runs a benchmark on every tier of this CPU.
func EachKernelB(b *testing.B, f func(b *testing.B)) {
	for _, name := range simd.Kernels() {
		b.Run(name, func(b *testing.B) {
			if err := simd.Force(name); err != nil {
				b.Fatal(err)
			}
			defer simd.Force("auto")
			f(b)
		})
	}
}
