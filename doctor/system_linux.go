package doctor

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func spaceOf(dir string) (space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return space{}, err
	}
	unit := uint64(st.Frsize)
	return space{free: st.Bavail * unit, total: st.Blocks * unit, inodes: st.Ffree, allInodes: st.Files,
		readOnly: st.Flags&unix.ST_RDONLY != 0}, nil
}

// clockSynced reads the kernel's view of the clock; it changes nothing.
func clockSynced() (synced, known bool) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, false
	}
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, true
}

// lockLimit is how much memory this user may lock; unlimited is the largest number.
func lockLimit() (n uint64, known bool) {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &r) != nil {
		return 0, false
	}
	return r.Cur, true
}

// swaps says whether the system has somewhere to write memory to.
func swaps() (on, known bool) {
	b, err := os.ReadFile("/proc/swaps")
	if err != nil {
		return false, false
	}
	return strings.Count(strings.TrimSpace(string(b)), "\n") > 0, true
}
