package hctr2

import (
	"encoding/binary"

	"github.com/velonym/velonym/engine/kernel/textform"
)

// sealRowsGeneric is SealRows in portable Go. The capacity of dst must fit the rows.
func (c *Cipher) sealRowsGeneric(w *textform.Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	n, done := len(spans)/2, 0
	t := getScratch()
	defer t.put()
	for done < n {
		k := t.seal(c, arena, spans[2*done:])
		for i := range k {
			out[2*(done+i)], out[2*(done+i)+1] = uint32(len(dst)+i*w.Stride()+len(w.Pre())), uint32(w.Chars())
		}
		dst = w.AppendRows(dst, t.msg[:16*k])
		done += k
		if k < together && done < n {
			break
		}
	}
	return dst, done
}

// together is the number of blocks that portable code processes in each step: a load of a block
// directly after the stores of its halves would stall.
const together = 16

// sealAtGeneric is SealAt in portable Go.
func (c *Cipher) sealAtGeneric(w *textform.Writer, dst []byte, at []uint32, arena []byte, spans []uint32) int {
	n, done := len(spans)/2, 0
	t := getScratch()
	defer t.put()
	for done < n {
		k := t.seal(c, arena, spans[2*done:])
		for i := range k {
			w.EncodeBlock(dst[at[done]:][:w.Chars()], (*[16]byte)(t.msg[16*i:]))
			done++
		}
		if k < together && done < n {
			break
		}
	}
	return done
}

// openRowsGeneric is OpenRows in portable Go.
func (c *Cipher) openRowsGeneric(r *textform.Reader, pre, post string, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	n := len(spans) / 2
	t := getScratch()
	defer t.put()
	for i := range n {
		l, ok := c.open(r, &t.b, arena[spans[2*i]:][:spans[2*i+1]])
		if !ok {
			return dst, i
		}
		dst = append(dst, pre...)
		out[2*i], out[2*i+1] = uint32(len(dst)), uint32(l)
		dst = append(append(dst, t.b[:l]...), post...)
	}
	return dst, n
}

// open decodes and deciphers the text x into b and returns the length of the value.
func (c *Cipher) open(r *textform.Reader, b *[16]byte, x []byte) (n int, ok bool) {
	if !r.Decode(b, x) {
		return 0, false
	}
	c.decryptBlock(b)
	return openBlock(b)
}

// translateRowsGeneric is TranslateRows in portable Go. The capacity of dst must fit the rows.
func (c *Cipher) translateRowsGeneric(r *textform.Reader, to *Cipher, w *textform.Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	n := len(spans) / 2
	t := getScratch()
	defer t.put()
	for i := range n {
		l, ok := c.open(r, &t.b, arena[spans[2*i]:][:spans[2*i+1]])
		if !ok || l == 0 {
			return dst, i
		}
		to.encryptBlock(&t.b)
		out[2*i], out[2*i+1] = uint32(len(dst)+len(w.Pre())), uint32(w.Chars())
		dst = w.AppendRows(dst, t.b[:])
	}
	return dst, n
}

// seal pads and enciphers the longest prefix of values that are 1 to 15 bytes of text, together at
// most, into t.msg, and returns its length.
func (t *scratch) seal(c *Cipher, arena []byte, spans []uint32) int {
	n := min(len(spans)/2, together)
	k := 0
	for k < n && pad((*[16]byte)(t.msg[16*k:]), arena, spans[2*k], spans[2*k+1]) {
		k++
	}
	c.xorTweak(t.msg[:16*k])
	for i := range k {
		b := t.msg[16*i:][:16]
		c.block.Encrypt(b, b)
	}
	c.xorTweak(t.msg[:16*k])
	return k
}

// xorTweak adds the POLYVAL state of the tweak to blocks, as HCTR2 does before and after AES if the
// message is one block.
func (c *Cipher) xorTweak(blocks []byte) {
	x0, x1 := binary.LittleEndian.Uint64(c.s.even[:]), binary.LittleEndian.Uint64(c.s.even[8:])
	for len(blocks) >= 16 {
		b := blocks[:16]
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^x0)
		binary.LittleEndian.PutUint64(b[8:], binary.LittleEndian.Uint64(b[8:])^x1)
		blocks = blocks[16:]
	}
}

// pad writes the padded block of the value at off, n in arena to b if it is 1 to 15
// bytes of text.
func pad(b *[16]byte, arena []byte, off, n uint32) bool {
	if n-1 > 14 {
		return false
	}
	var lo, hi uint64
	if v := arena[off:cap(arena)]; len(v) >= 16 {
		lo, hi = binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[8:])
	} else {
		*b = [16]byte{}
		copy(b[:], v[:n])
		lo, hi = binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
	}
	// Ones in the bytes of the padding.
	const ones = 0x0101010101010101
	mlo, mhi := ^uint64(0)<<(8*min(n, 8)), ^uint64(0)<<(8*(max(n, 8)-8))
	h1, c1 := textform.ASCIIWord(lo&^mlo | mlo&(0x20*ones))
	h2, c2 := textform.ASCIIWord(hi&^mhi | mhi&(0x20*ones))
	if h1|h2|c1|c2 != 0 && !textform.IsText(arena[off:][:n]) {
		return false
	}
	fill := uint64(16-n) * ones
	binary.LittleEndian.PutUint64(b[:], lo&^mlo|fill&mlo)
	binary.LittleEndian.PutUint64(b[8:], hi&^mhi|fill&mhi)
	return true
}

// encryptBlock is Encrypt of one block. It makes b escape to the heap.
func (c *Cipher) encryptBlock(b *[16]byte) {
	c.xorTweak(b[:])
	c.block.Encrypt(b[:], b[:])
	c.xorTweak(b[:])
}

// decryptBlock is Decrypt of one block. It makes b escape to the heap.
func (c *Cipher) decryptBlock(b *[16]byte) {
	c.xorTweak(b[:])
	c.block.Decrypt(b[:], b[:])
	c.xorTweak(b[:])
}
