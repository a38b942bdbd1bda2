//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package bulk

import (
	"errors"
	"os"
	"syscall"
)

// nofollow keeps a link that someone put at the temporary name from being
// written through.
const nofollow = syscall.O_NOFOLLOW

// lockFile takes the file for this process; the lock goes with its last handle.
// Where the file system has no locks there is none.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return err
	}
	return nil
}

// narrow gives f the mode of the input, and its group where that is allowed;
// where it is not, a group that could not read the input cannot read f.
func narrow(f *os.File, mode os.FileMode, input os.FileInfo) error {
	if input != nil {
		in, ok := input.Sys().(*syscall.Stat_t)
		st, err := f.Stat()
		if err != nil {
			return err
		}
		out, ok2 := st.Sys().(*syscall.Stat_t)
		if ok && ok2 && out.Gid != in.Gid && f.Chown(-1, int(in.Gid)) != nil {
			mode &^= 0o070
		}
	}
	return f.Chmod(mode | 0o200)
}

// isInvalid says that the file system cannot sync folders.
func isInvalid(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP)
}
