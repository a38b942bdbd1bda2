package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// memoryFolder creates a folder in memory for the files of the tests, whose many small
// synced writes would otherwise wait for the disk. It returns "" if there is no file system
// in memory with enough room that programs can be started from.
func memoryFolder() string {
	const place, room = "/dev/shm", 2 << 30
	var s unix.Statfs_t
	if unix.Statfs(place, &s) != nil || int64(s.Bavail)*int64(s.Bsize) < room || s.Flags&unix.ST_NOEXEC != 0 {
		return ""
	}
	dir, err := os.MkdirTemp(place, "velonym-test-")
	if err != nil {
		return ""
	}
	if os.Chmod(dir, 0o755) != nil { // the server of PostgreSQL runs as another user
		return ""
	}
	return dir
}
