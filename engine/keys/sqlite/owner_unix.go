//go:build unix

package sqlite

import (
	"os"
	"syscall"
)

// sameOwner reports whether two files have the same owner.
func sameOwner(a, b os.FileInfo) bool {
	x, okX := a.Sys().(*syscall.Stat_t)
	y, okY := b.Sys().(*syscall.Stat_t)
	return !okX || !okY || x.Uid == y.Uid
}
