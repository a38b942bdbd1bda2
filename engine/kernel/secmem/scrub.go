package secmem

// Wipe overwrites b with zeros. It is not inlined, so that the compiler cannot remove the stores as
// dead.
//
//go:noinline
func Wipe(b []byte) { clear(b) }

// stackRoom is more than setting up a key uses of the stack.
const stackRoom = 8 << 10

// Scrubbed runs f, which sets up a key, and then overwrites the part of the stack that its calls
// used for local variables, which held round keys, hash keys and midstates. It grows the stack
// before it runs f, because growing it later would leave a copy in freed memory.
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
