package kernel

import (
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/aes"
)

// crypt16 runs AES under one of the schedules of c over blocks, in place. The portable
// twin knows but two schedules: with X folded in, and without.
func (c *Cipher) crypt16(keys *[15][16]byte, blocks []byte, decrypt bool) {
	if len(blocks) > 0 && aes.Blocks(keys, blocks, decrypt) {
		return
	}
	c.crypt16Generic(keys, blocks, decrypt)
}

func (c *Cipher) crypt16Generic(keys *[15][16]byte, blocks []byte, decrypt bool) {
	folded := keys == &c.s.one || keys == &c.s.oneInv
	for ; len(blocks) > 0; blocks = blocks[16:] {
		b := (*[16]byte)(unsafe.Pointer(&blocks[0]))
		switch {
		case folded && decrypt:
			c.decryptOne(b)
		case folded:
			c.encryptOne(b)
		case decrypt:
			c.block.Decrypt(b[:], b[:])
		default:
			c.block.Encrypt(b[:], b[:])
		}
	}
}
