package keys

import (
	"crypto/sha256"
	"time"
)

const bootSize = 16

// uptime is a machine's time since boot: a second clock that nobody can set. Two readings
// are comparable if their boot is the same.
type uptime struct {
	boot [bootSize]byte
	span time.Duration
}

// bootID hashes the name of a boot to a fixed size.
func bootID(name string) [bootSize]byte {
	digest := sha256.Sum256([]byte(name))
	return [bootSize]byte(digest[:])
}
