package secmem

// Wipe overwrites b with zeros. It is not inlined, so the compiler cannot find the
// stores useless and drop them.
//
//go:noinline
func Wipe(b []byte) { clear(b) }

// stackRoom is more than what setting up a key uses of the stack.
const stackRoom = 8 << 10

// Scrubbed runs f, which sets up a key, and then overwrites the part of the stack that
// its calls used: round keys, hash keys and midstates pass through their locals. The
// stack is grown before f runs, because growing it meanwhile would leave a copy of it
// in freed memory.
func Scrubbed(f func() error) error {
	clearStack()
	err := f()
	clearStack()
	return err
}

//go:noinline
func clearStack() {
	var room [stackRoom]byte
	Wipe(room[:])
}
