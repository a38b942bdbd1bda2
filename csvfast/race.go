//go:build race

package csvfast

import (
	"runtime"
	"unsafe"
)

// raceRead reports a read of buf to the race detector, which does not see those of assembly.
func raceRead(buf []byte) {
	if len(buf) > 0 {
		runtime.RaceReadRange(unsafe.Pointer(&buf[0]), len(buf))
	}
}
