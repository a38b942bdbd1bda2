package hctr2

import "github.com/velonym/velonym/engine/kernel/aes"

// runAES encrypts or decrypts blocks in place under one of the schedules of c. The portable twin
// distinguishes only two schedules: with X folded in, and without.
func (c *Cipher) runAES(keys *[15][16]byte, blocks []byte, decrypt bool) {
	if len(blocks) > 0 && aes.Blocks(keys, blocks, decrypt) {
		return
	}
	c.runAESGeneric(keys, blocks, decrypt)
}
