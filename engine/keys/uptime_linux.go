package keys

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// thisBoot names the running kernel and the time namespace, which has a boot clock of
// its own. Where neither can be read, the name is this process's alone.
var thisBoot = sync.OnceValue(func() [bootSize]byte {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return processBoot()
	}
	namespace, _ := os.Readlink("/proc/self/ns/time") // kernels before 5.6 have none
	return bootOf(string(id) + namespace)
})

// machineUptime reads the clock that goes on while the machine sleeps.
func machineUptime() uptime {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return processUptime()
	}
	return uptime{thisBoot(), time.Duration(t.Nano())}
}
