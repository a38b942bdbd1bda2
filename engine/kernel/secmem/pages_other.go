//go:build !(linux || darwin)

package secmem

import (
	"errors"
	"os"
	"unsafe"
)

var pageSize = os.Getpagesize()

var errNoLock = errors.New("locking memory is not supported on this system")

// mapPages allocates the bytes on the Go heap, which does not move objects, and reports them as not
// locked.
func mapPages(size int) (mem []byte, lockErr, err error) {
	b := make([]byte, size+slotMin)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (slotMin - 1)
	return b[skip : skip+size : skip+size], errNoLock, nil
}

// unmapPages leaves mem, wiped slot by slot, to the collector.
func unmapPages([]byte) {}
