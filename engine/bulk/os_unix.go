//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package bulk

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// nofollow makes opening fail if another user placed a symbolic link at a hidden name.
const nofollow = syscall.O_NOFOLLOW

// nonblock keeps opening from blocking if another user placed a pipe at a hidden name.
const nonblock = syscall.O_NONBLOCK

// isPrivate reports whether a file belongs to this user, has one link and grants no access
// to others.
func isPrivate(st os.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Geteuid() && sys.Nlink == 1 && st.Mode().Perm()&0o077 == 0
}

// lockFile locks the file for this process until its last handle is closed. A file system
// without locks is not an error.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return err
	}
	return nil
}

// restrictAccess sets the mode of f to 0600 and its group to that of the input, if the
// system allows that. It returns the mode for the complete file, which excludes the group
// if the group could not be set: its members may have had no access to the input.
func restrictAccess(f *os.File, mode os.FileMode, input os.FileInfo) (os.FileMode, error) {
	if err := f.Chmod(0o600); err != nil {
		return 0, err
	}
	if input == nil {
		return mode, nil
	}
	in, ok := input.Sys().(*syscall.Stat_t)
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	out, ok2 := st.Sys().(*syscall.Stat_t)
	if ok && ok2 && out.Gid != in.Gid && f.Chown(-1, int(in.Gid)) != nil {
		mode &^= 0o070
	}
	return mode, nil
}

var umaskMu sync.Mutex

// umask returns the process's umask. Reading it requires setting it; meanwhile new files are
// private to their owner.
func umask() os.FileMode {
	umaskMu.Lock()
	defer umaskMu.Unlock()
	m := syscall.Umask(0o077)
	syscall.Umask(m)
	return os.FileMode(m & 0o777)
}

// closedAtStart reports whether f, a standard file, was closed when the program started. The
// Go runtime then opens the null device for reading and writing in its place; a shell's
// >/dev/null opens it for writing only.
func closedAtStart(f *os.File) bool {
	var st, null unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil || unix.Stat(os.DevNull, &null) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != null.Rdev {
		return false
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_ACCMODE == unix.O_RDWR
}

// syncUnsupported reports whether err means that the file system cannot sync folders.
func syncUnsupported(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP)
}
