package hctr2

import (
	"encoding/binary"

	"github.com/velonym/velonym/engine/kernel/textform"
)

// A deciphered message is checked in constant time: a refusal takes the same work for every
// reason, so that its time reveals nothing about the message. Only valid ASCII has a shorter path.

// Open checks a deciphered message m, whole blocks, and returns the length of the value without
// its padding (PKCS #7: n bytes of value n, 1 to 16). It refuses the message, and n is 0, if the
// padding is invalid, if zeros is not 0, or if text is set and the value is not text. The time of
// a refusal depends only on the length of m and on text.
func Open(m []byte, zeros byte, text bool) (n int, ok bool) {
	body, last := m[:len(m)-16], m[len(m)-16:]
	lo, hi, pad, bad := unpad(binary.LittleEndian.Uint64(last), binary.LittleEndian.Uint64(last[8:]))
	bad |= uint64(zeros)
	if !text {
		return opened(len(m), pad, bad)
	}
	h1, c1 := textform.ASCIIWord(lo)
	h2, c2 := textform.ASCIIWord(hi)
	special := bad | h1 | c1 | h2 | c2
	for i := 0; i < len(body); i += 8 {
		h, c := textform.ASCIIWord(binary.LittleEndian.Uint64(body[i:]))
		special |= h | c
	}
	if special == 0 {
		return len(m) - int(pad), true
	}
	before := uint64(0)
	for i := 0; i < len(body); i += 8 {
		w := binary.LittleEndian.Uint64(body[i:])
		bad |= textform.NotText(w, before)
		before = w
	}
	// The value ends in a space or in an invalid byte, so no UTF-8 sequence is incomplete.
	return opened(len(m), pad, bad|textform.NotText(lo, before)|textform.NotText(hi, lo))
}

// openBlock is Open of one block of text.
func openBlock(b *[16]byte) (n int, ok bool) {
	lo, hi, pad, bad := unpad(binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:]))
	h1, c1 := textform.ASCIIWord(lo)
	h2, c2 := textform.ASCIIWord(hi)
	if bad|h1|c1|h2|c2 == 0 {
		return 16 - int(pad), true
	}
	return opened(16, pad, bad|textform.NotText(lo, 0)|textform.NotText(hi, lo))
}

// opened returns the result for a message of n bytes: if bad is not 0, no length.
func opened(n int, pad, bad uint64) (int, bool) {
	good := ^uint64(int64(bad|-bad) >> 63) // all ones if bad is 0
	return int((uint64(n) - pad) & good), bad == 0
}

const byteOnes = 0x0101010101010101

// unpad returns a block, as two halves, with spaces in place of its padding, the last byte, and a
// bad other than 0 if the padding is invalid.
func unpad(lo, hi uint64) (tlo, thi, pad, bad uint64) {
	pad = hi >> 56
	// Ones where the padding is; shifts by 64 and more give 0.
	rest := pad - 8
	rest &^= uint64(int64(rest) >> 63)
	mhi, mlo := ^(^uint64(0) >> (8 * pad)), ^(^uint64(0) >> (8 * rest))
	bad = (lo^pad*byteOnes)&mlo | (hi^pad*byteOnes)&mhi | (pad-1)&^15
	const space = ' ' * byteOnes
	return lo&^mlo | space&mlo, hi&^mhi | space&mhi, pad, bad
}
