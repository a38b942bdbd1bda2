package secmem

import "golang.org/x/sys/unix"

// advise keeps mem out of core dumps and out of forked children. A kernel
// that does not know an advice ignores the wish; nothing depends on it.
func advise(mem []byte) {
	unix.Madvise(mem, unix.MADV_DONTDUMP)
	unix.Madvise(mem, unix.MADV_DONTFORK)
}
