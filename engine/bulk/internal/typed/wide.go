package typed

import (
	"encoding/binary"
	"math/bits"
)

// wide is an integer of 256 bits in two's complement, the least significant word first.
type wide [4]uint64

// load reads a number of 1 to 32 bytes.
func (w *wide) load(b []byte, bigEndian bool) {
	var full [32]byte // little endian
	for i := range b {
		if bigEndian {
			full[i] = b[len(b)-1-i]
		} else {
			full[i] = b[i]
		}
	}
	if full[len(b)-1]&0x80 != 0 {
		for i := len(b); i < len(full); i++ {
			full[i] = 0xff
		}
	}
	for i := range w {
		w[i] = binary.LittleEndian.Uint64(full[8*i:])
	}
}

// store writes the number to b, which has at least w.width() bytes.
func (w *wide) store(b []byte, bigEndian bool) {
	for i := range b {
		c := byte(w[i/8] >> (8 * (i % 8)))
		if bigEndian {
			b[len(b)-1-i] = c
		} else {
			b[i] = c
		}
	}
}

func (w *wide) negative() bool { return w[3]>>63 == 1 }

func (w *wide) negate() {
	carry := uint64(1)
	for i := range w {
		w[i], carry = bits.Add64(^w[i], 0, carry)
	}
}

// width returns the fewest bytes that hold the number.
func (w *wide) width() int {
	var b [32]byte
	w.store(b[:], false)
	fill := byte(0)
	if w.negative() {
		fill = 0xff
	}
	n := len(b)
	for n > 1 && b[n-1] == fill && (b[n-2]^fill)&0x80 == 0 {
		n--
	}
	return n
}

// append appends the decimal digits of the number to dst.
func (w wide) append(dst []byte) []byte {
	if w.negative() {
		dst = append(dst, '-')
		w.negate() // leaves -2²⁵⁵ unchanged, which is right when read without a sign
	}
	var blocks [5]uint64 // of 19 digits, the least significant first
	n := 0
	for {
		rest := uint64(0)
		for i := len(w) - 1; i >= 0; i-- {
			w[i], rest = bits.Div64(rest, w[i], 1e19)
		}
		blocks[n] = rest
		n++
		if w == (wide{}) {
			break
		}
	}
	dst = AppendUint(dst, blocks[n-1])
	for n--; n > 0; n-- {
		for k := digitsOf(blocks[n-1]); k < 19; k++ {
			dst = append(dst, '0')
		}
		dst = AppendUint(dst, blocks[n-1])
	}
	return dst
}

// parse reads a canonical text of up to MaxPrecision digits, which 256 bits hold.
func (w *wide) parse(text []byte) {
	negative := text[0] == '-'
	if negative {
		text = text[1:]
	}
	for _, c := range text {
		carry := uint64(c - '0')
		for i := range w {
			high, low := bits.Mul64(w[i], 10)
			var over uint64
			w[i], over = bits.Add64(low, carry, 0)
			carry = high + over
		}
	}
	if negative {
		w.negate()
	}
}
