package kernel

import "encoding/binary"

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
	h1, c1 := asciiWord(lo)
	h2, c2 := asciiWord(hi)
	special := bad | h1 | c1 | h2 | c2
	for i := 0; i < len(body); i += 8 {
		h, c := asciiWord(binary.LittleEndian.Uint64(body[i:]))
		special |= h | c
	}
	if special == 0 {
		return len(m) - int(pad), true
	}
	before := uint64(0)
	for i := 0; i < len(body); i += 8 {
		w := binary.LittleEndian.Uint64(body[i:])
		bad |= notText(w, before)
		before = w
	}
	// What is left ends in a space, or in a byte that is bad: no sequence goes on.
	return opened(len(m), pad, bad|notText(lo, before)|notText(hi, lo))
}

// openBlock is Open of one block of text.
func openBlock(b *[16]byte) (n int, ok bool) {
	lo, hi, pad, bad := unpad(binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:]))
	h1, c1 := asciiWord(lo)
	h2, c2 := asciiWord(hi)
	if bad|h1|c1|h2|c2 == 0 {
		return 16 - int(pad), true
	}
	return opened(16, pad, bad|notText(lo, 0)|notText(hi, lo))
}

// opened is the outcome for a message of n bytes with bad 0, no length otherwise.
func opened(n int, pad, bad uint64) (int, bool) {
	good := ^uint64(int64(bad|-bad) >> 63) // all ones if bad is 0
	return int((uint64(n) - pad) & good), bad == 0
}

const (
	byteOnes = 0x0101010101010101
	byteTops = 0x8080808080808080
)

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

// notText returns bits where w, after the word before, is not well-formed UTF-8
// (Unicode 3.9, table 3-7) or holds a control character. A sequence that w leaves open
// shows in the next word.
func notText(w, before uint64) uint64 {
	p1, p2, p3 := w<<8|before>>56, w<<16|before>>48, w<<24|before>>40 // the bytes before
	x, y := w&^byteTops, p1&^byteTops
	// In the following the top bit of a byte is what counts.
	first := p1 & atLeast(y, 0x40) // C0 to FF
	need := first | p2&atLeast(p2&^byteTops, 0x60) | p3&atLeast(p3&^byteTops, 0x70)
	bad := need ^ w&^atLeast(x, 0x40)                                    // 80 to BF, where needed and nowhere else
	bad |= ^w & (^atLeast(x, 0x20) | atLeast(x, 0x7f))                   // controls
	bad |= w & atLeast(x, 0x40) & (^atLeast(x, 0x42) | atLeast(x, 0x75)) // C0, C1, F5 to FF
	// C2 and E0 need A0, F0 needs 90 (no control, not overlong); ED (surrogates) and F4
	// (beyond U+10FFFF) need less than that.
	bad |= first & (equal(y, 0x42) | equal(y, 0x60)) &^ atLeast(x, 0x20)
	bad |= first & equal(y, 0x6d) & atLeast(x, 0x20)
	bad |= first & equal(y, 0x70) &^ atLeast(x, 0x10)
	bad |= first & equal(y, 0x74) & atLeast(x, 0x10)
	return bad & byteTops
}

// atLeast sets the top bit of every byte of x, all below 0x80, that is k or more.
func atLeast(x, k uint64) uint64 { return x + (0x80-k)*byteOnes }

// equal sets the top bit of every byte of x, all below 0x80, that is k.
func equal(x, k uint64) uint64 { return atLeast(x, k) &^ atLeast(x, k+1) }
