package aes

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// RoundKeys writes the round keys of AES (FIPS 197 section 5.2) for a key of 16, 24 or 32 bytes
// to out, 16 bytes each. out must fit the rounds of that key length. The S-box is computed in
// GF(2^8), not looked up, so no address depends on the key. Intermediate values are only in
// registers and in out.
func RoundKeys(out, key []byte) {
	n := len(key)
	copy(out, key)
	constant := uint32(1)
	for i := n; i < len(out); i += 4 {
		x := binary.LittleEndian.Uint32(out[i-4:])
		switch {
		case i%n == 0:
			x = subWord(bits.RotateLeft32(x, -8)) ^ constant
			constant = constant<<1 ^ constant>>7*0x11b
		case n > 24 && i%n == 16:
			x = subWord(x)
		}
		binary.LittleEndian.PutUint32(out[i:], x^binary.LittleEndian.Uint32(out[i-n:]))
	}
}

// expandKeyGeneric writes the schedules of AES-256 and of its equivalent inverse cipher.
func expandKeyGeneric(enc, inv *Schedule, key *[32]byte) {
	RoundKeys(unsafe.Slice(&enc[0][0], 15*16), key[:])
	for r := range enc {
		inv[14-r] = enc[r]
		if r == 0 || r == 14 {
			continue
		}
		for c := 0; c < 16; c += 4 {
			column := inv[14-r][c:]
			binary.LittleEndian.PutUint32(column, invMixColumn(binary.LittleEndian.Uint32(column)))
		}
	}
}

// The following functions compute with four elements of AES's field GF(2^8),
// x^8+x^4+x^3+x+1, one in each byte of a word.

const bytes01 = 0x01010101

func doubleBytes(a uint32) uint32 { return a&0x7f7f7f7f<<1 ^ a>>7&bytes01*0x1b }

func mulBytes(a, b uint32) (r uint32) {
	for range 8 {
		r ^= a & (b & bytes01 * 0xff)
		a = doubleBytes(a)
		b = b >> 1 & 0x7f7f7f7f
	}
	return r
}

func rotateBytes(a uint32, n uint) uint32 {
	low := uint32(0xff>>n) * bytes01
	return a&low<<n | a>>(8-n)&(0xff>>(8-n)*bytes01)
}

// subWord is the S-box on four bytes: the inverse in the field, a^254, then an affine
// map.
func subWord(a uint32) uint32 {
	a2 := mulBytes(a, a)
	a3 := mulBytes(a2, a)
	a6 := mulBytes(a3, a3)
	a12 := mulBytes(a6, a6)
	a15 := mulBytes(a12, a3)
	a30 := mulBytes(a15, a15)
	a60 := mulBytes(a30, a30)
	a120 := mulBytes(a60, a60)
	a126 := mulBytes(a120, a6)
	a127 := mulBytes(a126, a)
	v := mulBytes(a127, a127)
	return v ^ rotateBytes(v, 1) ^ rotateBytes(v, 2) ^ rotateBytes(v, 3) ^ rotateBytes(v, 4) ^ 0x63*bytes01
}

// invMixColumn multiplies a column, first byte lowest, by 0e 0b 0d 09.
func invMixColumn(a uint32) uint32 {
	r := func(v uint32, n uint) uint32 { return v>>n | v<<(32-n) }
	a2 := doubleBytes(a)
	a4 := doubleBytes(a2)
	a8 := doubleBytes(a4)
	a9 := a8 ^ a
	return a8 ^ a4 ^ a2 ^ r(a9^a2, 8) ^ r(a9^a4, 16) ^ r(a9, 24)
}
