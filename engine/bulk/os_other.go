//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package bulk

import "os"

const nofollow, nonblock = 0, 0

// isPrivate always returns true, since owners are not known on this platform.
func isPrivate(os.FileInfo) bool { return true }

// lockFile does nothing: on this platform two runs that write the same output at the same
// time do not notice each other.
func lockFile(*os.File) error { return nil }

func restrictAccess(_ *os.File, mode os.FileMode, _ os.FileInfo) (os.FileMode, error) {
	return mode | 0o200, nil
}

func umask() os.FileMode { return 0 }

func closedAtStart(*os.File) bool { return false }

func syncUnsupported(error) bool { return true }
