//go:build !purego && (amd64 || arm64)

package ff1

import (
	"encoding/binary"
	"math/bits"
)

// combine adds to each half, modulo d, the number in the first 8 bytes of its block, or in the
// first 12 if wide is set; with subtract it subtracts the number. It reduces with one
// multiplication by a reciprocal, whereas the twin divides by two steps of algorithm 4.
func (d *divisor) combine(half []uint64, blocks *[batchLanes][16]byte, wide, subtract bool) {
	half = half[:min(len(half), len(blocks))]
	switch m := d.reducer(); {
	case !wide:
		for j, a := range half {
			half[j] = m.apply(a, m.word(binary.BigEndian.Uint64(blocks[j][:8])), subtract)
		}
	case d.d <= 1<<32:
		for j, a := range half {
			y := m.word(binary.BigEndian.Uint64(blocks[j][:8]))
			y = m.word(y<<32 | uint64(binary.BigEndian.Uint32(blocks[j][8:])))
			half[j] = m.apply(a, y, subtract)
		}
	case d.d < 1<<62:
		for j, a := range half {
			y := m.wide(binary.BigEndian.Uint64(blocks[j][:8]), binary.BigEndian.Uint32(blocks[j][8:]))
			half[j] = m.apply(a, y, subtract)
		}
	default:
		for j, a := range half {
			y := binary.BigEndian.Uint64(blocks[j][:8])
			y = d.mod(y>>32, y<<32|uint64(binary.BigEndian.Uint32(blocks[j][8:])))
			half[j] = m.apply(a, y, subtract)
		}
	}
}

// reducer holds the constants of a modulus that combine needs, so that they stay in
// registers.
type reducer struct{ d, inv, inv96 uint64 }

func (d *divisor) reducer() reducer { return reducer{d.d, d.inv, d.inv96} }

// word returns x modulo d. The quotient x·inv / 2^64 is right or one too small, since
// x·(2^64/d - inv) is below 2^64.
func (m reducer) word(x uint64) uint64 {
	q, _ := bits.Mul64(x, m.inv)
	return m.less(x - q*m.d)
}

// wide returns top·2^32 + low modulo d, for d from 2^32 + 1 to 2^62 - 1. The quotient
// top·inv96 / 2^64 is right or up to two too small: what low adds to it is below one, and so
// is what inv96 lacks. Three times d fits a word.
func (m reducer) wide(top uint64, low uint32) uint64 {
	q, _ := bits.Mul64(top, m.inv96)
	return m.less(m.less((top<<32 | uint64(low)) - q*m.d))
}

// less returns x - d if that is not negative, else x.
func (m reducer) less(x uint64) uint64 {
	y, below := bits.Sub64(x, m.d, 0)
	return y + -below&m.d
}

// apply returns a + y modulo d, or a - y, for a and y below d, which is below 2^63.
func (m reducer) apply(a, y uint64, subtract bool) uint64 {
	if subtract {
		c, below := bits.Sub64(a, y, 0)
		return c + -below&m.d
	}
	return m.less(a + y)
}
