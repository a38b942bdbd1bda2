//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backup

import (
	"os"
	"syscall"
)

// lockFile holds an advisory lock on f until the function that it returns is called.
func lockFile(f *os.File) (unlock func(), err error) {
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			return func() { _ = syscall.Flock(int(f.Fd()), syscall.LOCK_UN) }, err
		}
	}
}
