package keys

import (
	"crypto/rand"
	"sync"
	"time"
)

// processStart has a monotonic reading, which setting the clock does not change.
var processStart = time.Now()

// processBoot is an id that no other process has.
var processBoot = sync.OnceValue(func() [bootSize]byte { return bootID(rand.Text()) })

// processUptime is the uptime on systems without such a clock. Only readings of one
// process are comparable.
func processUptime() uptime { return uptime{processBoot(), time.Since(processStart)} }
