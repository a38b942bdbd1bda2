//go:build linux || darwin

package secmem

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

var pageSize = os.Getpagesize()

// mapPages maps size zero bytes, a multiple of the page size, between two pages that fault. lockErr
// is why they could not be locked, or nil.
func mapPages(size int) (mem []byte, lockErr, err error) {
	total := size + 2*pageSize
	p, err := unix.MmapPtr(-1, 0, nil, uintptr(total), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, nil, err
	}
	mem = unsafe.Slice((*byte)(unsafe.Add(p, pageSize)), size)
	if err := unix.Mprotect(mem, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		unix.MunmapPtr(p, uintptr(total)) // nothing to save if this fails too
		return nil, nil, err
	}
	lockErr = unix.Mlock(mem)
	advise(mem)
	return mem, lockErr, nil
}

// unmapPages unmaps and unlocks the memory that mapPages returned.
func unmapPages(mem []byte) {
	p := unsafe.Add(unsafe.Pointer(unsafe.SliceData(mem)), -pageSize)
	if err := unix.MunmapPtr(p, uintptr(len(mem)+2*pageSize)); err != nil {
		panic("secmem: key memory does not unmap: " + err.Error())
	}
}
