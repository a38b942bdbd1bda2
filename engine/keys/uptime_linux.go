package keys

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// thisBoot identifies the running kernel and the time namespace, which has a boot clock
// of its own. If the kernel's id cannot be read, it identifies this process only.
var thisBoot = sync.OnceValue(func() [bootSize]byte {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return processBoot()
	}
	namespace, _ := os.Readlink("/proc/self/ns/time") // kernels before 5.6 have none
	return bootID(string(id) + namespace)
})

// machineUptime reads CLOCK_BOOTTIME, which includes the time that the machine sleeps.
func machineUptime() uptime {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return processUptime()
	}
	return uptime{thisBoot(), time.Duration(t.Nano())}
}
