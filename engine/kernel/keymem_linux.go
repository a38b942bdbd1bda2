package kernel

import "golang.org/x/sys/unix"

// adviseKeys keeps mem out of core dumps and out of forked children. A kernel
// that does not know an advice ignores the wish; nothing depends on it.
func adviseKeys(mem []byte) {
	unix.Madvise(mem, unix.MADV_DONTDUMP)
	unix.Madvise(mem, unix.MADV_DONTFORK)
}
