//go:build !linux && !darwin

package doctor

import "errors"

func spaceOf(string) (space, error) {
	return space{}, errors.New("the free space of a disk is not known on this system")
}

func clockSynced() (synced, known bool) { return false, false }

func lockLimit() (n uint64, known bool) { return 0, false }

func swaps() (on, known bool) { return false, false }
