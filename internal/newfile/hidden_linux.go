package newfile

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openNameless opens a file in dir that has no name: nothing of it is left when the
// process is killed. nil where the file system has no such files.
func openNameless(dir string) *os.File {
	if _, err := os.Lstat("/proc/self/fd"); err != nil {
		return nil // name works by it
	}
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), dir)
}

// name gives a nameless file a name, which must be free.
func name(f *os.File, path string) error {
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}
