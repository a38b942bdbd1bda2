package kernel

import "fmt"

// maxBlocks is the longest message, in blocks, that the kernels over many messages
// take: as many as a schedule has powers of h, and one.
const maxBlocks = powers + 1

// MaxBlocks is the greatest m of SealBlocksAt and CryptBlocks.
const MaxBlocks = maxBlocks

// SealBlocksAt pads, enciphers and writes values that take m blocks each, 2 to
// MaxBlocks: value i has 16(m-1) to 16m-1 bytes, its text goes to dst[at[i]:], nothing
// else of dst is touched. The Writer's framing is not used.
func (c *Cipher) SealBlocksAt(w *Writer, m int, dst []byte, at []uint32, arena []byte, spans []uint32) {
	n := len(spans) / 2
	chars := w.form.EncodedLen(16 * m)
	for i, o := range at[:n] {
		if l := int(spans[2*i+1]); l/16 != m-1 || int(o)+chars > len(dst) {
			panic(fmt.Sprintf("kernel: value %d of %d bytes is not one of %d blocks, or has no room", i, l, m))
		}
		_ = arena[spans[2*i]:][:spans[2*i+1]]
	}
	c.sealBlocksAt(w, m, dst, at, arena, spans)
}

func (c *Cipher) sealBlocksAtGeneric(w *Writer, m int, dst []byte, at []uint32, arena []byte, spans []uint32) {
	t := getScratch()
	defer t.put()
	chars := w.form.EncodedLen(16 * m)
	b := t.msg[:16*m]
	for i, o := range at[:len(spans)/2] {
		v := arena[spans[2*i]:][:spans[2*i+1]]
		pad := byte(len(b) - len(v))
		for j := copy(b, v); j < len(b); j++ {
			b[j] = pad
		}
		c.cryptWith(t, b, b, false)
		w.form.Encode(dst[o:][:chars], b, w.gen)
	}
	clear(b)
}

// CryptBlocks enciphers or deciphers messages of m whole blocks each, 1 to MaxBlocks,
// that lie one after the other in msgs, in place.
func (c *Cipher) CryptBlocks(m int, msgs []byte, decrypt bool) {
	if m < 1 || m > maxBlocks || len(msgs)%(16*m) != 0 {
		panic(fmt.Sprintf("kernel: %d bytes are not messages of %d blocks", len(msgs), m))
	}
	c.cryptBlocks(m, msgs, decrypt)
}

func (c *Cipher) cryptBlocksGeneric(m int, msgs []byte, decrypt bool) {
	t := getScratch()
	defer t.put()
	for ; len(msgs) > 0; msgs = msgs[16*m:] {
		c.cryptWith(t, msgs[:16*m], msgs[:16*m], decrypt)
	}
}
