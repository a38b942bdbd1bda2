package typed

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// maxText is the longest text of an integer.
const maxText = 20

// AppendInt appends the decimal digits of v to dst.
func AppendInt(dst []byte, v int64) []byte {
	if v < 0 {
		return AppendUint(append(dst, '-'), -uint64(v))
	}
	return AppendUint(dst, uint64(v))
}

// AppendUint appends the decimal digits of v to dst. It may also overwrite up to 8 bytes of
// dst's capacity after them.
func AppendUint(dst []byte, v uint64) []byte {
	at := len(dst)
	if cap(dst)-at < maxText+8 {
		dst = slices.Grow(dst, max(maxText+8, at))
	}
	n := digitsOf(v)
	out := dst[at : at+maxText+8]
	first := n // digits of the first block of up to eight
	switch {
	case v < 1e8:
		binary.LittleEndian.PutUint64(out, eightDigits(uint32(v))>>(8*(8-n)))
	case v < 1e16:
		first -= 8
		binary.LittleEndian.PutUint64(out, eightDigits(uint32(v/1e8))>>(8*(8-first)))
		binary.LittleEndian.PutUint64(out[first:], eightDigits(uint32(v%1e8)))
	default:
		first -= 16
		binary.LittleEndian.PutUint64(out, eightDigits(uint32(v/1e16))>>(8*(8-first)))
		binary.LittleEndian.PutUint64(out[first:], eightDigits(uint32(v/1e8%1e8)))
		binary.LittleEndian.PutUint64(out[first+8:], eightDigits(uint32(v%1e8)))
	}
	return dst[:at+n]
}

// eightDigits returns the eight decimal digits of v, which is below 10⁸, as characters;
// the first is in the lowest byte. It divides several parts of one word at a time: by 10⁴ into
// two parts, by 100 into four, by 10 into eight.
func eightDigits(v uint32) uint64 {
	x := uint64(v/1e4) | uint64(v%1e4)<<32
	q := x * 10486 >> 20 & 0x7f_0000_007f
	x = q | (x-100*q)<<16
	q = x * 103 >> 10 & 0xf_000f_000f_000f
	x = q | (x-10*q)<<8
	return x | 0x3030303030303030
}

var powersOf10 = [20]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19}

// digitsOf returns the number of decimal digits of v; 0 has one.
func digitsOf(v uint64) int {
	n := bits.Len64(v|1) * 1233 >> 12 // times log₁₀ 2
	if v >= powersOf10[n] {
		n++
	}
	return max(n, 1)
}

// isNumber reports whether text is the canonical text of an integer of any length.
func isNumber(text []byte) bool {
	if len(text) > 1 && text[0] == '-' {
		if text = text[1:]; text[0] == '0' {
			return false
		}
	}
	if len(text) == 0 || text[0] == '0' && len(text) > 1 {
		return false
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// parseDigits reads the canonical text of an integer whose digits fit 64 bits; ok is
// false for any other text.
func parseDigits(text []byte) (negative bool, v uint64, ok bool) {
	if len(text) > 1 && text[0] == '-' {
		negative, text = true, text[1:]
	}
	if len(text) == 0 || len(text) > maxText || text[0] == '0' && (negative || len(text) > 1) {
		return false, 0, false
	}
	for i, c := range text {
		if c -= '0'; c > 9 {
			return false, 0, false
		} else if i == maxText-1 { // only the 20th digit can exceed 64 bits
			high, low := bits.Mul64(v, 10)
			sum, carry := bits.Add64(low, uint64(c), 0)
			return negative, sum, high == 0 && carry == 0
		} else {
			v = v*10 + uint64(c)
		}
	}
	return negative, v, true
}
