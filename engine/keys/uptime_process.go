package keys

import (
	"crypto/rand"
	"sync"
	"time"
)

// processStart has a monotonic reading, which a setting of the clock does not move.
var processStart = time.Now()

// processBoot is a name that no other process has.
var processBoot = sync.OnceValue(func() [bootSize]byte { return bootOf(rand.Text()) })

// processUptime is the uptime where the system has no such clock: only spans within
// this process can be compared.
func processUptime() uptime { return uptime{processBoot(), time.Since(processStart)} }
