package kernel

import "encoding/binary"

// IsText says whether v is valid UTF-8 without U+0000–001F and U+007F–009F: what goes
// in with tag 0 and what may come out. Its time depends on the length of v and on
// whether v holds a byte over 0x7F, not on where or why v fails.
func IsText(v []byte) bool {
	var high, ctl uint64
	n := len(v)
	if n >= 8 {
		for i := 0; i+8 <= n; i += 8 {
			h, c := asciiWord(binary.LittleEndian.Uint64(v[i:]))
			high, ctl = high|h, ctl|c
		}
		h, c := asciiWord(binary.LittleEndian.Uint64(v[n-8:]))
		high, ctl = high|h, ctl|c
	} else {
		for _, b := range v {
			h, c := asciiWord(uint64(b) | 0x2020202020202000)
			high, ctl = high|h, ctl|c
		}
	}
	if high == 0 {
		return ctl == 0
	}
	return isTextUTF8(v)
}

// asciiWord returns non-zero high when a byte of w is over 0x7F, and non-zero ctl when
// one is a control character of ASCII.
func asciiWord(w uint64) (high, ctl uint64) {
	const ones, msb = 0x0101010101010101, 0x8080808080808080
	l := w &^ msb             // seven bits a byte: sums do not carry into the next
	below := ^(l + 0x60*ones) // bit 7 set: l < 0x20
	del := l + ones           // bit 7 set: l is 0x7F
	return w & msb, (below | del) & msb &^ w
}

// isTextUTF8 is IsText for any v, without branches on its bytes: the table of well-formed
// sequences (Unicode 3.9, table 3-7) in arithmetic.
func isTextUTF8(v []byte) bool {
	var bad, need uint32 // need: continuation bytes still to come
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
