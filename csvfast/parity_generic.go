package csvfast

import (
	"encoding/binary"
	"math/bits"
)

// parityGeneric reports whether buf holds an odd number of quotes. It XORs the masks of equal
// bytes, since only the parity of their number matters.
func parityGeneric(buf []byte, quote byte) bool {
	var marks uint64
	each := uint64(quote) * ones
	for ; len(buf) >= 32; buf = buf[32:] {
		marks ^= zeros(binary.LittleEndian.Uint64(buf)^each) ^ zeros(binary.LittleEndian.Uint64(buf[8:])^each) ^
			zeros(binary.LittleEndian.Uint64(buf[16:])^each) ^ zeros(binary.LittleEndian.Uint64(buf[24:])^each)
	}
	odd := bits.OnesCount64(marks)&1 == 1
	for _, c := range buf {
		if c == quote {
			odd = !odd
		}
	}
	return odd
}
