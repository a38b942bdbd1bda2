package secmem

import "golang.org/x/sys/unix"

// advise excludes mem from core dumps and from forked children. An old kernel that does not support
// this returns an error, which is ignored.
func advise(mem []byte) {
	unix.Madvise(mem, unix.MADV_DONTDUMP)
	unix.Madvise(mem, unix.MADV_DONTFORK)
}
