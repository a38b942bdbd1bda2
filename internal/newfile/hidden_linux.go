package newfile

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openNameless opens a file in dir that has no name, so that nothing is left of it if the
// process is killed. It returns nil if the file system has no such files.
func openNameless(dir string) *os.File {
	if _, err := os.Lstat("/proc/self/fd"); err != nil {
		return nil // name needs it
	}
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), dir)
}

// name gives a nameless file a name. It fails if the name exists.
func name(f *os.File, path string) error {
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}
