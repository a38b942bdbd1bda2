package hctr2

import (
	"fmt"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/textform"
)

// maxBlocks is the longest message, in blocks, that the kernels over many messages
// take: as many as a schedule has powers of h, and one.
const maxBlocks = powers + 1

// MaxBlocks is the greatest m of SealBlocksAt and CryptBlocks.
const MaxBlocks = maxBlocks

// SealBlocksAt pads, enciphers and writes values that take m blocks each, 2 to
// MaxBlocks: value i has 16(m-1) to 16m-1 bytes, its text goes to dst[at[i]:], nothing
// else of dst is touched. The Writer's framing is not used. The values may be any bytes; plain
// says that all are known to be printable ASCII, so that nobody else has to look.
func (c *Cipher) SealBlocksAt(w *textform.Writer, m int, dst []byte, at []uint32, arena []byte, spans []uint32) (plain bool) {
	n := len(spans) / 2
	at, spans = at[:n], spans[:2*n]
	chars := w.Form().EncodedLen(16 * m)
	wrong, tight := checkBlocks(pairsOf(spans), at, uint64(m-1), uint64(len(arena)), uint64(cap(arena)-16), uint64(len(dst)-chars))
	if wrong != 0 {
		panic(fmt.Sprintf("hctr2: a value is not one of %d blocks, is not in the arena, or has no room", m))
	}
	if n > 0 {
		return c.sealBlocksAt(w, m, dst, at, arena, spans, tight>>63 == 0)
	}
	return true
}

// SealBlocksRows is SealBlocksAt for rows of leading values that all take m blocks: it
// appends their rows to dst and writes off, len of their texts to out, as SealRows
// does, and returns how many values it did: 0 where it has no kernel for them, or where
// the first few differ already, and never the last few. at is scratch with a place for
// every value.
func (c *Cipher) SealBlocksRows(w *textform.Writer, m int, dst, arena []byte, spans, out, at []uint32) (rows []byte, n int, plain bool) {
	n = len(spans) / 2
	if m < 2 || m > maxBlocks || len(out) < 2*n || len(at) < n {
		panic(fmt.Sprintf("hctr2: rows of %d blocks, or no room for the places of %d values", m, n))
	}
	stride := len(w.Pre()) + w.Form().EncodedLen(16*m) + len(w.Post())
	dst = room(dst, n*stride+8)
	n, plain = c.sealBlocksRows(w, m, dst, arena, spans, out, at)
	return dst[:len(dst)+n*stride], n, plain
}

// checkBlocks returns wrong other than 0 if a value has not the blocks, ends behind size,
// or goes to a place behind room, and tight over 2^63 if one ends behind padded. Signs
// gather what is wrong: arenas and spans stay far below 2^63. It is a function of its
// own so that all of it fits in registers.
//
//go:noinline
func checkBlocks(spans [][2]uint32, at []uint32, blocks, size, padded, room uint64) (wrong, tight uint64) {
	at = at[:len(spans)]
	for i, p := range spans {
		off, l := uint64(p[0]), uint64(p[1])
		end := off + l
		wrong |= (l>>4 ^ blocks) | (size-end)>>63 | (room-uint64(at[i]))>>63
		tight |= padded - end
	}
	return wrong, tight
}

// pairsOf is spans as off, len pairs.
func pairsOf(spans []uint32) [][2]uint32 {
	return unsafe.Slice((*[2]uint32)(unsafe.Pointer(unsafe.SliceData(spans))), len(spans)/2)
}

// CryptBlocks enciphers or deciphers messages of m whole blocks each, 1 to MaxBlocks,
// that lie one after the other in msgs, in place.
func (c *Cipher) CryptBlocks(m int, msgs []byte, decrypt bool) {
	if m < 1 || m > maxBlocks || len(msgs)%(16*m) != 0 {
		panic(fmt.Sprintf("hctr2: %d bytes are not messages of %d blocks", len(msgs), m))
	}
	switch {
	case m > 1:
		c.cryptBlocks(m, msgs, decrypt)
	case decrypt:
		c.runAES(&c.s.foldedInv, msgs, true)
	default:
		c.runAES(&c.s.folded, msgs, false)
	}
}
