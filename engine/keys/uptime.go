package keys

import (
	"crypto/sha256"
	"time"
)

const bootSize = 16

// uptime is a machine's time since boot: a second clock, which nobody sets. Two
// readings can be compared if the boot is the same.
type uptime struct {
	boot [bootSize]byte
	span time.Duration
}

// bootOf makes the name of a boot one of fixed size.
func bootOf(name string) [bootSize]byte {
	digest := sha256.Sum256([]byte(name))
	return [bootSize]byte(digest[:])
}
