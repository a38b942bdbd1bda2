//go:build !linux

package audit

import "os"

func syncData(f *os.File) error { return f.Sync() }

// allocate is not available, so every record is written before Append returns.
func allocate(*os.File, int64, int64) error { return errNoReserve }
