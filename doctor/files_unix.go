//go:build unix

package doctor

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// modesMatter says whether a file's mode tells who may read it.
const modesMatter = true

// owners returns the user that a file belongs to and the one that this process runs as.
func owners(st os.FileInfo) (owner, me int, known bool) {
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(s.Uid), os.Geteuid(), true
}

// mayWrite says whether this user could write a file, without opening it.
func mayWrite(path string) error { return unix.Access(path, unix.W_OK) }
