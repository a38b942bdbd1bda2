package kernel

// NewSecret returns n zero bytes of key memory: outside the heap, locked and left out
// of core dumps where the system can. Give them back to FreeSecret.
func NewSecret(n int) ([]byte, error) { return keyAlloc(n) }

// FreeSecret wipes b, which NewSecret returned, and gives it back.
func FreeSecret(b []byte) { keyFree(b) }

// Wipe overwrites b with zeros, and is not optimised away.
func Wipe(b []byte) { wipe(b) }

// stackRoom is more than what setting up a key uses of the stack.
const stackRoom = 8 << 10

// scrubbed runs f, which sets a key up, and then overwrites the part of the
// stack that its calls used: round keys, hash keys and midstates pass through
// their locals. That part is there before f runs, so that the stack does not grow
// meanwhile, which would leave a copy of it where it was.
func scrubbed(f func() error) error {
	clearStack()
	err := f()
	clearStack()
	return err
}

//go:noinline
func clearStack() {
	var room [stackRoom]byte
	wipe(room[:])
}
