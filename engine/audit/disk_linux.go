package audit

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// syncData is fdatasync, which omits only metadata that is not needed to read the content.
func syncData(f *os.File) error { return retry(func() error { return unix.Fdatasync(int(f.Fd())) }) }

// allocate reserves n bytes from offset off on, beyond the file's end.
func allocate(f *os.File, off, n int64) error {
	err := retry(func() error { return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, off, n) })
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return errNoReserve
	}
	return err
}

// retry repeats a system call that a signal interrupts.
func retry(call func() error) error {
	for {
		if err := call(); err != syscall.EINTR {
			return err
		}
	}
}
