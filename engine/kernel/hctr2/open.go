package hctr2

import (
	"encoding/binary"

	"github.com/velonym/velonym/engine/kernel/textform"
)

// What a deciphered message must be, checked in constant time: whatever is refused,
// for whichever reason, is refused after the same work, so that the time of a refusal
// says nothing about the message. Only good ASCII has a shorter way.

// Open checks a deciphered message m, whole blocks, and returns the length of the value
// that its padding leaves (PKCS #7: n bytes of value n, 1 to 16). It is refused, and
// n is 0, when the padding is not well formed, when zeros is not 0, or when the value
// is no text and text is asked for. The time of a refusal depends on the length of m
// and on text alone.
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
	// What is left ends in a space, or in a byte that is bad: no sequence goes on.
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

// opened is the outcome for a message of n bytes with bad 0, no length otherwise.
func opened(n int, pad, bad uint64) (int, bool) {
	good := ^uint64(int64(bad|-bad) >> 63) // all ones if bad is 0
	return int((uint64(n) - pad) & good), bad == 0
}

const byteOnes = 0x0101010101010101

// unpad returns a block, as two halves, with spaces for its padding, the last byte,
// and other than 0 if the padding is not well formed.
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
