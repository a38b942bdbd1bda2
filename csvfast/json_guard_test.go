//go:build linux || darwin

package csvfast

import (
	"syscall"
	"testing"
)

// guarded returns n bytes, a multiple of the page size, before and behind which
// memory cannot be touched.
func guarded(t *testing.T, n int) (page []byte, free func()) {
	t.Helper()
	size := syscall.Getpagesize()
	n = (n + size - 1) / size * size
	m, err := syscall.Mmap(-1, 0, n+2*size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range [][]byte{m[:size], m[size+n:]} {
		if err := syscall.Mprotect(p, syscall.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return m[size : size+n : size+n], func() { syscall.Munmap(m) }
}
