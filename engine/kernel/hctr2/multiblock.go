package hctr2

import (
	"fmt"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/textform"
)

// maxBlocks is the longest message of the kernels over many messages, in blocks: one more than a
// schedule has powers of h.
const maxBlocks = powers + 1

// MaxBlocks is the greatest m of SealBlocksAt and CryptBlocks.
const MaxBlocks = maxBlocks

// SealBlocksAt pads and enciphers values of m blocks each, 2 to MaxBlocks: value i has 16(m-1) to
// 16m-1 bytes. It writes the text of value i to dst[at[i]:] and nothing else to dst. The Writer's
// framing is not used. The values may be any bytes; plain reports that all are known to be
// printable ASCII, so that the caller need not check.
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

// SealBlocksRows is SealBlocksAt for rows of the longest prefix of values that all have m blocks:
// it appends their rows to dst and writes off, len of their texts to out, as SealRows does. It
// returns the number of values processed, which never includes the last few: 0 if it has no
// kernel for them, or if the first few differ. at is scratch with an element for every value.
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

// checkBlocks returns a wrong other than 0 if a value has another number of blocks, ends after
// size, or has an offset above room, and a tight over 2^63 if one ends after padded. It collects
// the sign bits of differences, since arenas and spans stay far below 2^63. It is not inlined so
// that its variables fit in registers.
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

// pairsOf returns spans as off, len pairs.
func pairsOf(spans []uint32) [][2]uint32 {
	return unsafe.Slice((*[2]uint32)(unsafe.Pointer(unsafe.SliceData(spans))), len(spans)/2)
}

// CryptBlocks enciphers or deciphers, in place, the concatenated messages of m whole blocks each, 1
// to MaxBlocks, in msgs.
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
