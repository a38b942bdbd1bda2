//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package audit

import (
	"os"
	"syscall"
)

type descriptor interface{ Fd() uintptr }

func lock(f descriptor) error       { return flock(f, syscall.LOCK_EX) }
func lockShared(f descriptor) error { return flock(f, syscall.LOCK_SH) }
func unlock(f descriptor) error     { return flock(f, syscall.LOCK_UN) }

func flock(f descriptor, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if err != syscall.EINTR {
			return err
		}
	}
}

// syncDir makes new names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if e := d.Close(); err == nil {
		err = e
	}
	return err
}
