//go:build unix

package sqlite

import (
	"os"
	"syscall"
)

// sameOwner says whether two files belong to one user.
func sameOwner(a, b os.FileInfo) bool {
	x, okX := a.Sys().(*syscall.Stat_t)
	y, okY := b.Sys().(*syscall.Stat_t)
	return !okX || !okY || x.Uid == y.Uid
}
