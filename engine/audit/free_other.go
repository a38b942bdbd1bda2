//go:build !linux && !darwin

package audit

import "errors"

// Free is not known here.
func (l *Log) Free() (uint64, error) {
	return 0, errors.New("audit: the free space of a disk is not known on this system")
}
