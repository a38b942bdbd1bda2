package jsonfast

import (
	"encoding/binary"
	"math/bits"
)

// specialGeneric is the portable twin of the special kernels.
func specialGeneric(v []byte) int {
	i := 0
	for len(v)-i >= 8 {
		w := binary.LittleEndian.Uint64(v[i:])
		// As in plainRun the lowest set bit is right. ^w excludes bytes from 0x80 up and does
		// not hide a lower one.
		m := ((w - 0x20*eachByte) | ((w ^ '"'*eachByte) - eachByte) | ((w ^ '\\'*eachByte) - eachByte)) & ^w & highBits
		if m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
		i += 8
	}
	for i < len(v) && v[i] >= 0x20 && v[i] != '"' && v[i] != '\\' {
		i++
	}
	return i
}

// zeroByte sets the top bit of the lowest zero byte of w and of no lower byte; bits above are
// undefined.
func zeroByte(w uint64) uint64 { return (w - eachByte) & ^w & highBits }
