//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package bulk

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// nofollow keeps a link that someone put at the temporary name from being
// written through.
const nofollow = syscall.O_NOFOLLOW

// nonblock keeps a pipe that someone put at a hidden name from being waited for.
const nonblock = syscall.O_NONBLOCK

// ownAlone says whether a file belongs to this user, has one name, and can be opened
// by nobody else.
func ownAlone(st os.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Geteuid() && sys.Nlink == 1 && st.Mode().Perm()&0o077 == 0
}

// lockFile takes the file for this process; the lock goes with its last handle.
// Where the file system has no locks there is none.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return err
	}
	return nil
}

// narrow gives f the group of the input, where that is allowed, and nobody but
// its owner leave to open it. It returns the mode that f is to have when it is
// complete: where the group is another one, one that could not read the input
// cannot read f.
func narrow(f *os.File, mode os.FileMode, input os.FileInfo) (os.FileMode, error) {
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

// umask returns the process's mask. It can only be read by setting it: for that
// moment files are made for their owner alone.
func umask() os.FileMode {
	umaskMu.Lock()
	defer umaskMu.Unlock()
	m := syscall.Umask(0o077)
	syscall.Umask(m)
	return os.FileMode(m & 0o777)
}

// closedAtStart says whether f, one of the standard files, was closed when the
// program started: the runtime opens the null device in its place, for reading
// and writing, as a shell's >/dev/null does not.
func closedAtStart(f *os.File) bool {
	var st, null unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil || unix.Stat(os.DevNull, &null) != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != null.Rdev {
		return false
	}
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_ACCMODE == unix.O_RDWR
}

// isInvalid says that the file system cannot sync folders.
func isInvalid(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP)
}
