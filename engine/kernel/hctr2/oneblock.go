package hctr2

import (
	"fmt"

	"github.com/velonym/velonym/engine/kernel/textform"
)

// One-block values: 1 to 15 bytes of text, padded to a block (PKCS #7), enciphered under a
// Cipher and written in a text form, many with one call. The kernels have two kinds of output:
//
//	rows     pre ‖ text ‖ post, one after the other
//	offsets  only texts, each at an offset that the caller gives
//
// Each function processes the longest prefix it supports and returns its length; the
// caller handles the next value and calls again.

// SealRows enciphers the longest prefix of values that are 1 to 15 bytes of text, appends their
// rows to dst, and writes off, len in dst of each text to out, which must have a pair for each
// value. It returns the extended dst and the length of the prefix. Bytes past the length of dst,
// within its capacity, are undefined afterwards.
func (c *Cipher) SealRows(w *textform.Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	n := len(spans) / 2
	if len(out) < 2*n {
		panic(fmt.Sprintf("hctr2: %d values, room for %d results", n, len(out)/2))
	}
	dst = room(dst, n*w.Stride())
	return c.sealRows(w, dst, arena, spans, out)
}

// SealAt is SealRows with the text of value i written to dst[at[i]:] and nothing else written.
func (c *Cipher) SealAt(w *textform.Writer, dst []byte, at []uint32, arena []byte, spans []uint32) int {
	n := len(spans) / 2
	at, spans = at[:n], spans[:2*n]
	if checkOffsets(pairsOf(spans), at, uint64(len(dst)-w.Chars())) != 0 {
		panic("hctr2: a value has no room at its place")
	}
	return c.sealAt(w, dst, at, arena, spans)
}

// checkOffsets returns other than 0 if a value of 1 to 15 bytes has an offset above room.
//
//go:noinline
func checkOffsets(spans [][2]uint32, at []uint32, room uint64) (wrong uint64) {
	at = at[:len(spans)]
	for i, p := range spans {
		mine := (uint64(p[1]) - 1 - 15) >> 63 // 1 to 15
		wrong |= (room - uint64(at[i])) >> 63 & mine &^ ((uint64(p[1]) - 1) >> 63)
	}
	return wrong
}

// OpenRows deciphers the longest prefix of texts of one block, of the textform.Reader's generation,
// that decipher to padded text. It appends pre, the value and post of each to dst; the rest of its
// contract is that of SealRows.
func (c *Cipher) OpenRows(r *textform.Reader, pre, post string, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	n := len(spans) / 2
	if len(out) < 2*n {
		panic(fmt.Sprintf("hctr2: %d values, room for %d results", n, len(out)/2))
	}
	dst = room(dst, n*(15+len(pre)+len(post)))
	return c.openRows(r, pre, post, dst, arena, spans, out)
}

// TranslateRows is OpenRows under c followed by SealRows under to. The values are only in
// registers. It also stops before an empty value.
func (c *Cipher) TranslateRows(r *textform.Reader, to *Cipher, w *textform.Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	n := len(spans) / 2
	if len(out) < 2*n {
		panic(fmt.Sprintf("hctr2: %d values, room for %d results", n, len(out)/2))
	}
	dst = room(dst, n*w.Stride())
	return c.translateRows(r, to, w, dst, arena, spans, out)
}

// room extends the capacity of b for n more bytes, and for the padding of kernels if it must move.
func room(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return grow(b, n+textform.RowPadding)
}

// grow extends the capacity of b for n more bytes. It at least doubles it if b must move.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	g := make([]byte, len(b), max(2*cap(b), len(b)+n))
	copy(g, b)
	return g
}
