package jsonfast

import (
	"unicode/utf8"

	"github.com/velonym/velonym/internal/simd"
)

// How UTF-8 is validated a vector at a time (Keiser and Lemire, "Validating
// UTF-8 in less than one instruction per byte", 2021). A fault between two
// bytes in a row shows in three of their halves: the first byte's high and low,
// the second's high. A table for each half has a bit for every kind of fault
// that it allows; a bit that is in all three is a fault. One kind is two
// continuations in a row, which is right as the third byte of a character of
// three and the third and fourth of one of four; that is looked up two and
// three bytes back:
//
//	fault = firstHigh[p[i-1]>>4] & firstLow[p[i-1]&15] & secondHigh[p[i]>>4]
//	due   = (p[i-2] >= 0xe0 or p[i-3] >= 0xf0) ? 0x80 : 0
//	wrong = wrong | fault ^ due

// validUTF8 reports whether p is valid UTF-8.
func validUTF8(p []byte) bool {
	if len(p) < 128 || simd.Active() == simd.Generic {
		return utf8.Valid(p)
	}
	k := 3 // the kernels look three bytes back
	for !utf8.RuneStart(p[k]) {
		if k++; k > 6 {
			return false
		}
	}
	if !utf8.Valid(p[:k]) {
		return false
	}
	blocks := (len(p) - k) / 64
	if utf8Blocks(p, k, blocks) != 0 {
		return false
	}
	return utf8.Valid(p[k+wholeRunes(p[k:k+64*blocks]):])
}

// wholeRunes returns the length of p without a character that its end may cut.
func wholeRunes(p []byte) int {
	for n := 1; n <= min(3, len(p)); n++ {
		switch c := p[len(p)-n]; {
		case c < utf8.RuneSelf:
			return len(p) - n + 1
		case utf8.RuneStart(c):
			return len(p) - n
		}
	}
	return len(p)
}
