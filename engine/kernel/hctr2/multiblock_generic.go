package hctr2

import "github.com/velonym/velonym/engine/kernel/textform"

func (c *Cipher) sealBlocksAtGeneric(w *textform.Writer, m int, dst []byte, at []uint32, arena []byte, spans []uint32) {
	c.sealBlocksOneByOne((*Cipher).cryptGeneric, w, m, dst, at, arena, spans)
}

// sealBlocksOneByOne is SealBlocksAt by crypt, which processes one message.
func (c *Cipher) sealBlocksOneByOne(crypt func(c *Cipher, t *scratch, dst, src []byte, decrypt bool), w *textform.Writer, m int, dst []byte, at []uint32, arena []byte, spans []uint32) {
	t := getScratch()
	defer t.put()
	chars := w.Form().EncodedLen(16 * m)
	b := t.value[:16*m]
	for i, o := range at[:len(spans)/2] {
		v := arena[spans[2*i]:][:spans[2*i+1]]
		pad := byte(len(b) - len(v))
		for j := copy(b, v); j < len(b); j++ {
			b[j] = pad
		}
		crypt(c, t, b, b, false)
		w.Form().Encode(dst[o:][:chars], b, w.Gen())
	}
}

func (c *Cipher) cryptBlocksGeneric(m int, msgs []byte, decrypt bool) {
	c.cryptBlocksOneByOne((*Cipher).cryptGeneric, m, msgs, decrypt)
}

func (c *Cipher) cryptBlocksOneByOne(crypt func(c *Cipher, t *scratch, dst, src []byte, decrypt bool), m int, msgs []byte, decrypt bool) {
	t := getScratch()
	defer t.put()
	for ; len(msgs) > 0; msgs = msgs[16*m:] {
		crypt(c, t, msgs[:16*m], msgs[:16*m], decrypt)
	}
}
