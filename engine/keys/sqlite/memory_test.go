package sqlite

import (
	"testing"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// TestFreedMemory checks that SQLite overwrites what it frees and what it moves.
func TestFreedMemory(t *testing.T) {
	create(t)
	tls := libc.NewTLS()
	defer tls.Close()
	const size = 1000
	allocate := func() (uintptr, []byte) {
		p := lib.Xsqlite3_malloc(tls, size)
		if p == 0 {
			t.Fatal("no memory")
		}
		b := unsafe.Slice((*byte)(pointer(p)), size)
		for i := range b {
			b[i] = 0xa5
		}
		return p, b
	}
	neighbour, _ := allocate() // keeps the memory mapped
	defer lib.Xsqlite3_free(tls, neighbour)
	check := func(what string, b []byte) {
		for i, c := range b[64:] { // the allocator itself writes to the beginning
			if c != 0 {
				t.Fatalf("%s memory still holds byte %d", what, 64+i)
			}
		}
	}
	p, b := allocate()
	lib.Xsqlite3_free(tls, p)
	check("freed", b)
	p, b = allocate()
	p = lib.Xsqlite3_realloc(tls, p, 100*size)
	check("moved", b)
	if moved := unsafe.Slice((*byte)(pointer(p)), size); moved[0] != 0xa5 || moved[size-1] != 0xa5 {
		t.Error("moving lost the content")
	}
	lib.Xsqlite3_free(tls, p)
}
