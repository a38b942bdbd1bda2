//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package bulk

import "os"

const nofollow, nonblock = 0, 0

// ownAlone cannot tell owners on this platform.
func ownAlone(os.FileInfo) bool { return true }

// lockFile does nothing: runs that write the same output at the same time are
// not told from each other on this platform.
func lockFile(*os.File) error { return nil }

func narrow(_ *os.File, mode os.FileMode, _ os.FileInfo) (os.FileMode, error) {
	return mode | 0o200, nil
}

func umask() os.FileMode { return 0 }

func closedAtStart(*os.File) bool { return false }

func isInvalid(error) bool { return true }
