package aes

// Schedule holds the round keys of AES-256, in the order of their use.
type Schedule = [15][16]byte

// ExpandKey writes the round keys of encryption and of the equivalent inverse cipher.
// It runs the kernel of the best tier that the CPU has, whichever tier is forced: the
// portable version is slower, not safer.
func ExpandKey(enc, inv *Schedule, key *[32]byte) { expandKey(enc, inv, key) }

// Blocks encrypts or decrypts blocks in place under keys if the tier in use has a kernel for
// it, and reports whether it has. len(blocks) must be a multiple of 16 above zero. Nothing
// after it is read or written.
func Blocks(keys *Schedule, blocks []byte, decrypt bool) bool {
	return blocksKernel(keys, blocks, decrypt)
}
