package doctor

import "golang.org/x/sys/unix"

func spaceOf(dir string) (space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return space{}, err
	}
	unit := uint64(st.Bsize)
	return space{free: st.Bavail * unit, total: st.Blocks * unit, inodes: st.Ffree, allInodes: st.Files,
		readOnly: st.Flags&unix.MNT_RDONLY != 0}, nil
}

func clockSynced() (synced, known bool) { return false, false }

func lockLimit() (n uint64, known bool) { return 0, false }

func swaps() (on, known bool) { return false, false }
