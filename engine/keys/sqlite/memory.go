package sqlite

import (
	"unsafe"

	"modernc.org/libc"
	"modernc.org/libc/sys/types"
	lib "modernc.org/sqlite/lib"
)

// SQLite copies the columns of a row, wrapped secrets among them, to memory of its
// statement and frees that without clearing it. The memory methods in this file overwrite
// whatever SQLite frees, on all connections. SQLite's lookaside, a pool of small allocations
// for each connection, is off, because freeing those does not call these methods.

// plainMemory holds SQLite's own memory methods. It does not change after registerMemory.
var plainMemory lib.Tsqlite3_mem_methods

// registerMemory makes SQLite overwrite what it frees. If the program has used SQLite
// before, SQLite keeps its methods.
func registerMemory(tls *libc.TLS) {
	mem := libc.Xcalloc(tls, 1, types.Size_t(unsafe.Sizeof(plainMemory)))
	if mem == 0 {
		return
	}
	defer libc.Xfree(tls, mem)
	args := tls.Alloc(16)
	defer tls.Free(16)
	methods := (*lib.Tsqlite3_mem_methods)(*(*unsafe.Pointer)(unsafe.Pointer(&mem))) // not a pointer into the Go heap
	if lib.Xsqlite3_config(tls, lib.SQLITE_CONFIG_GETMALLOC, libc.VaList(args, mem)) != lib.SQLITE_OK {
		return
	}
	plainMemory = *methods
	methods.FxFree = pointerTo(freeOverwritten)
	methods.FxRealloc = pointerTo(reallocOverwritten)
	lib.Xsqlite3_config(tls, lib.SQLITE_CONFIG_MALLOC, libc.VaList(args, mem))
	lib.Xsqlite3_config(tls, lib.SQLITE_CONFIG_LOOKASIDE, libc.VaList(args, int32(0), int32(0)))
}

// pointerTo returns a top-level function as a function pointer of the translated C code.
func pointerTo[F any](f F) uintptr {
	return *(*uintptr)(unsafe.Pointer(&struct{ f F }{f}))
}

// freeOverwritten is the method xFree. SQLite never calls it with p = 0.
func freeOverwritten(tls *libc.TLS, p uintptr) {
	clear(unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&p))), sizeOf(tls, p)))
	(*(*func(*libc.TLS, uintptr))(unsafe.Pointer(&struct{ uintptr }{plainMemory.FxFree})))(tls, p)
}

// reallocOverwritten is the method xRealloc. It returns memory of at least n bytes that begins
// with the content of p; if there is none, it returns 0 and leaves p unchanged.
func reallocOverwritten(tls *libc.TLS, p uintptr, n int32) uintptr {
	had := sizeOf(tls, p)
	if n <= had {
		return p
	}
	larger := (*(*func(*libc.TLS, int32) uintptr)(unsafe.Pointer(&struct{ uintptr }{plainMemory.FxMalloc})))(tls, n)
	if larger == 0 {
		return 0
	}
	libc.Xmemcpy(tls, larger, p, types.Size_t(had))
	freeOverwritten(tls, p)
	return larger
}

func sizeOf(tls *libc.TLS, p uintptr) int32 {
	return (*(*func(*libc.TLS, uintptr) int32)(unsafe.Pointer(&struct{ uintptr }{plainMemory.FxSize})))(tls, p)
}
