//go:build linux || darwin

package audit

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Free returns the space in bytes that is left to this user on the log's disk.
func (l *Log) Free() (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(l.path), &st); err != nil {
		return 0, fmt.Errorf("audit: %w", err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
