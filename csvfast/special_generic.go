package csvfast

import (
	"encoding/binary"
	"math/bits"
)

// specialGeneric is the portable twin of the special kernels.
func specialGeneric(v []byte, a, b byte) int {
	as, bs := uint64(a)*ones, uint64(b)*ones
	i := 0
	for len(v)-i >= 8 {
		w := binary.LittleEndian.Uint64(v[i:])
		m := zeroByte(w^as) | zeroByte(w^bs) | zeroByte(w^'\n'*ones) | zeroByte(w^'\r'*ones)
		if m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
		i += 8
	}
	for i < len(v) && v[i] != a && v[i] != b && v[i] != '\n' && v[i] != '\r' {
		i++
	}
	return i
}

// zeroByte sets the top bit of the lowest zero byte of w and of no lower byte; bits above are
// undefined. It is cheaper than zeros.
func zeroByte(w uint64) uint64 { return (w - ones) & ^w & highs }
