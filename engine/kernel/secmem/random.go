package secmem

import (
	"crypto/rand"
	chacha "math/rand/v2"
	"sync"
)

// randomSeeded is the length up to which the system's generator is asked for
// the bytes themselves, and randomStretch how much comes from one seed.
const (
	randomSeeded  = 256
	randomStretch = 64 << 10
)

// randomExpanders holds generators between calls, seeded with zeros: they are
// kept for their memory alone and get a new seed before every use.
var randomExpanders = sync.Pool{New: func() any { return new(chacha.ChaCha8) }}

// Random fills dst with random bytes that nobody can predict or repeat. Short
// requests go to the system's generator (crypto/rand). Longer ones take from it
// a seed of 32 bytes for every 64 KiB and expand that with ChaCha8, which
// math/rand/v2 provides for this use: its output is computationally
// indistinguishable from random, and it overwrites its key as it goes. No state
// outlives the call, so that neither a forked child nor a restored snapshot of
// a virtual machine repeats what its twin draws; a snapshot taken in the middle
// of a call can repeat the rest of that call's stretch and no more. It is safe
// for concurrent use, allocates nothing, and does not fail: crypto/rand ends
// the process if the system has no randomness to give.
func Random(dst []byte) {
	if len(dst) <= randomSeeded {
		rand.Read(dst)
		return
	}
	var seed [32]byte
	g := randomExpanders.Get().(*chacha.ChaCha8)
	for len(dst) > 0 {
		n := min(len(dst), randomStretch)
		rand.Read(seed[:])
		g.Seed(seed)
		g.Read(dst[:n])
		dst = dst[n:]
	}
	clear(seed[:])
	g.Seed(seed) // nothing is left to compute the bytes from
	randomExpanders.Put(g)
}
