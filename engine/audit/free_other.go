//go:build !linux && !darwin

package audit

import "errors"

func statFree(string) (uint64, error) {
	return 0, errors.New("the free space of a disk is not known on this system")
}
