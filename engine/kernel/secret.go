package kernel

// NewSecret returns n zero bytes of key memory: outside the heap, locked and left out
// of core dumps where the system can. Give them back to FreeSecret.
func NewSecret(n int) ([]byte, error) { return keyAlloc(n) }

// FreeSecret wipes b, which NewSecret returned, and gives it back.
func FreeSecret(b []byte) { keyFree(b) }

// Wipe overwrites b with zeros, and is not optimised away.
func Wipe(b []byte) { wipe(b) }
