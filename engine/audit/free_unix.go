//go:build linux || darwin

package audit

import (
	"os"

	"golang.org/x/sys/unix"
)

// statFree returns the bytes that this user may still use on the disk of dir.
func statFree(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	blocks := st.Bavail
	if os.Geteuid() == 0 {
		blocks = st.Bfree // includes the blocks reserved for root
	}
	return blocks * uint64(st.Bsize), nil
}
