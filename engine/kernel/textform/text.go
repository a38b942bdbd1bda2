package textform

import "encoding/binary"

// IsText reports whether v is valid UTF-8 without U+0000–001F and U+007F–009F, as values with tag 0
// must be. Its time depends on the length of v and on whether v holds a byte over 0x7F, not on where
// or why v is invalid.
func IsText(v []byte) bool {
	var high, ctl uint64
	n := len(v)
	if n >= 8 {
		for i := 0; i+8 <= n; i += 8 {
			h, c := ASCIIWord(binary.LittleEndian.Uint64(v[i:]))
			high, ctl = high|h, ctl|c
		}
		h, c := ASCIIWord(binary.LittleEndian.Uint64(v[n-8:]))
		high, ctl = high|h, ctl|c
	} else {
		for _, b := range v {
			h, c := ASCIIWord(uint64(b) | 0x2020202020202000)
			high, ctl = high|h, ctl|c
		}
	}
	if high == 0 {
		return ctl == 0
	}
	return isTextUTF8(v)
}

// ASCIIWord returns non-zero high when a byte of w is over 0x7F, and non-zero ctl when
// one is a control character of ASCII.
func ASCIIWord(w uint64) (high, ctl uint64) {
	l := w &^ byteTops            // seven bits of each byte: sums do not carry into the next
	below := ^(l + 0x60*byteOnes) // bit 7 set: l < 0x20
	del := l + byteOnes           // bit 7 set: l is 0x7F
	return w & byteTops, (below | del) & byteTops &^ w
}

// isTextUTF8 is IsText for any v, without branches on its bytes: the table of well-formed
// sequences (Unicode 3.9, table 3-7) in arithmetic.
func isTextUTF8(v []byte) bool {
	var bad, need uint32 // need: continuation bytes that must follow
	lo, hi := uint32(0x80), uint32(0xbf)
	for _, c := range v {
		b := uint32(c)
		inside := -((need + 3) >> 2 & 1) // all ones: b continues a sequence
		// As a continuation.
		cbad := less(b, lo) | less(hi, b)
		// As the first byte of a sequence.
		two, three, four := within(b, 0xc2, 0xdf), within(b, 0xe0, 0xef), within(b, 0xf0, 0xf4)
		sbad := 1 ^ (within(b, 0x20, 0x7e) | two | three | four)
		need2 := two + 2*three + 3*four
		lo2 := 0x80 + 0x20*(within(b, 0xe0, 0xe0)|within(b, 0xc2, 0xc2)) + 0x10*within(b, 0xf0, 0xf0)
		hi2 := 0xbf - 0x20*within(b, 0xed, 0xed) - 0x30*within(b, 0xf4, 0xf4)
		bad |= inside&cbad | ^inside&sbad
		need = inside&(need-1) | ^inside&need2
		lo = inside&0x80 | ^inside&lo2
		hi = inside&0xbf | ^inside&hi2
	}
	return bad|need == 0
}

// less is 1 if a < b, else 0, for numbers below 2^31.
func less(a, b uint32) uint32 { return (a - b) >> 31 }

func within(b, lo, hi uint32) uint32 { return 1 ^ (less(b, lo) | less(hi, b)) }

const (
	byteOnes = 0x0101010101010101
	byteTops = 0x8080808080808080
)

// NotText returns other than 0 if w, after the word before, is not well-formed UTF-8 (Unicode 3.9,
// table 3-7) or holds a control character. A sequence that is incomplete at the end of w is checked
// with the next word.
func NotText(w, before uint64) uint64 {
	p1, p2, p3 := w<<8|before>>56, w<<16|before>>48, w<<24|before>>40 // the bytes before
	x, y := w&^byteTops, p1&^byteTops
	// In the following only the top bit of each byte has a meaning.
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
