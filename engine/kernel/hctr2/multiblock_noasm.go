//go:build purego || !amd64

package hctr2

import "github.com/velonym/velonym/engine/kernel/textform"

func (c *Cipher) sealBlocksAt(w *textform.Writer, m int, dst []byte, at []uint32, arena []byte, spans []uint32, _ bool) (plain bool) {
	c.sealBlocksOneByOne((*Cipher).cryptWith, w, m, dst, at, arena, spans)
	return false
}

func (c *Cipher) cryptBlocks(m int, msgs []byte, decrypt bool) {
	c.cryptBlocksOneByOne((*Cipher).cryptWith, m, msgs, decrypt)
}

func (c *Cipher) sealBlocksRows(*textform.Writer, int, []byte, []byte, []uint32, []uint32, []uint32) (n int, plain bool) {
	return 0, false
}

// sealMixedRows has no kernel here.
func (c *Cipher) sealMixedRows(_ *textform.Writer, dst, _ []byte, _, _ []uint32) (rows []byte, ok bool) {
	return dst, false
}
