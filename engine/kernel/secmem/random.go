package secmem

import (
	"crypto/rand"
	chacha "math/rand/v2"
	"sync"
)

// randomSeeded is the length up to which the bytes come from the system's generator, and
// randomStretch the number of bytes from one seed.
const (
	randomSeeded  = 256
	randomStretch = 64 << 10
)

// randomExpanders holds generators between calls, seeded with zeros. They are kept only for their
// memory and get a new seed before every use.
var randomExpanders = sync.Pool{New: func() any { return new(chacha.ChaCha8) }}

// Random fills dst with random bytes that nobody can predict or repeat. Short requests are served by
// the system's generator (crypto/rand). Longer ones take from it a seed of 32 bytes for every 64 KiB
// and expand that with ChaCha8 of math/rand/v2, whose output is computationally indistinguishable
// from random and which overwrites its key as it runs. No state outlives the call, so neither a
// forked child nor a restored snapshot of a virtual machine repeats bytes; a snapshot taken during a
// call can repeat only the rest of that call's 64 KiB. It is safe for concurrent use, allocates
// nothing, and does not fail: crypto/rand ends the process if the system has no randomness.
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
	g.Seed(seed) // overwrites the state from which the bytes could be computed
	randomExpanders.Put(g)
}
