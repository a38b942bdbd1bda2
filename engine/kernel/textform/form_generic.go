package textform

import "encoding/binary"

const (
	alphabet62 = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	alphabet64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	alphabet32 = "abcdefghijklmnopqrstuvwxyz234567"
	alphabet16 = "0123456789abcdef"
)

// noDigit marks a character outside an alphabet in the decoding tables.
const noDigit = 0xff

var (
	pairs62, pairs16                   [256][2]byte
	digits62, digits64, digits32, hexs [256]byte
	first62                            [Generations][256]byte // first character by generation
	first16                            [256]byte
)

func init() {
	for b := range 256 {
		pairs62[b] = [2]byte{alphabet62[b/62], alphabet62[b%62]}
		pairs16[b] = [2]byte{alphabet16[b>>4], alphabet16[b&15]}
		first16[b] = pairs16[b][0]
		for gen := range first62 {
			first62[gen][b] = alphabet62[5*gen+b/62]
		}
	}
	fill := func(t *[256]byte, alphabet string, fold bool) {
		for i := range t {
			t[i] = noDigit
		}
		for i, c := range []byte(alphabet) {
			t[c] = byte(i)
			if fold && c >= 'a' {
				t[c-0x20] = byte(i)
			}
		}
	}
	fill(&digits62, alphabet62, false)
	fill(&digits64, alphabet64, false)
	fill(&digits32, alphabet32, true)
	fill(&hexs, alphabet16, true)
}

// encode16 writes two characters a byte, eight at a time.
func encode16(dst *[32]byte, src *[16]byte, pairs *[256][2]byte) {
	lo, hi := binary.LittleEndian.Uint64(src[:]), binary.LittleEndian.Uint64(src[8:])
	binary.LittleEndian.PutUint64(dst[:], four(lo, pairs))
	binary.LittleEndian.PutUint64(dst[8:], four(lo>>32, pairs))
	binary.LittleEndian.PutUint64(dst[16:], four(hi, pairs))
	binary.LittleEndian.PutUint64(dst[24:], four(hi>>32, pairs))
}

// four is the characters of the last four bytes of s.
func four(s uint64, pairs *[256][2]byte) uint64 {
	a, b := binary.LittleEndian.Uint16(pairs[byte(s)][:]), binary.LittleEndian.Uint16(pairs[byte(s>>8)][:])
	c, d := binary.LittleEndian.Uint16(pairs[byte(s>>16)][:]), binary.LittleEndian.Uint16(pairs[byte(s>>24)][:])
	return uint64(a) | uint64(b)<<16 | uint64(c)<<32 | uint64(d)<<48
}

// encodePairs writes two characters a byte.
func encodePairs(dst, src []byte, pairs *[256][2]byte) {
	dst = dst[:2*len(src)]
	for len(src) >= 16 {
		encode16((*[32]byte)(dst), (*[16]byte)(src), pairs)
		dst, src = dst[32:], src[16:]
	}
	for i, b := range src {
		p := pairs[b]
		dst[2*i], dst[2*i+1] = p[0], p[1]
	}
}

// encode64 writes 4 characters for 3 bytes.
func encode64(dst, src []byte) {
	const a = alphabet64
	for len(src) >= 3 && len(dst) >= 4 {
		v := uint32(src[0])<<16 | uint32(src[1])<<8 | uint32(src[2])
		dst[0], dst[1], dst[2], dst[3] = a[v>>18], a[v>>12&63], a[v>>6&63], a[v&63]
		src, dst = src[3:], dst[4:]
	}
	var last [3]byte
	if copy(last[:], src) > 0 {
		v := uint32(last[0])<<16 | uint32(last[1])<<8
		copy(dst, []byte{a[v>>18], a[v>>12&63], a[v>>6&63]})
	}
}

// encode32 writes 8 characters for 5 bytes.
func encode32(dst, src []byte) {
	var eight [8]byte
	for {
		full := len(src) >= 5
		var v uint64
		if full {
			v = uint64(src[0])<<32 | uint64(src[1])<<24 | uint64(src[2])<<16 | uint64(src[3])<<8 | uint64(src[4])
		} else {
			for i, b := range src {
				v |= uint64(b) << (32 - 8*i)
			}
		}
		for i := range eight {
			eight[i] = alphabet32[v>>(35-5*i)&31]
		}
		if !full || len(dst) <= 8 {
			copy(dst, eight[:])
			return
		}
		*(*[8]byte)(dst) = eight
		src, dst = src[5:], dst[8:]
	}
}

// decodeGeneric is Decode in portable Go; dst has the length of what src stands for.
func (f Form) decodeGeneric(dst, src []byte) (gen int, ok bool) {
	n := len(dst)
	switch f {
	case Pair62:
		if n == 0 {
			return 0, true
		}
		var bad int
		for i := range dst {
			a, b := int(digits62[src[2*i]]), int(digits62[src[2*i+1]])
			if i == 0 {
				gen = a / 5
				bad |= (5*Generations - 1 - a)
				a -= 5 * gen
			}
			v := 62*a + b
			bad |= (61 - b) | (255 - v)
			dst[i] = byte(v)
		}
		return gen, bad >= 0
	case Hex:
		return 0, decodeHex(dst, src) < 16
	case B64u:
		return 0, decode64(dst, src)
	case B32:
		return 0, decode32(dst, src)
	case UUID:
		bad := decodeHex(dst[:4], src) | decodeHex(dst[4:6], src[9:]) | decodeHex(dst[6:8], src[14:]) |
			decodeHex(dst[8:10], src[19:]) | decodeHex(dst[10:], src[24:])
		dash := (src[8] ^ '-') | (src[13] ^ '-') | (src[18] ^ '-') | (src[23] ^ '-')
		return 0, bad < 16 && dash == 0
	}
	return 0, false
}

// decodeHex returns a number of 16 or more when a character was no digit.
func decodeHex(dst, src []byte) (bad byte) {
	src = src[:2*len(dst)]
	for i := range dst {
		a, b := hexs[src[2*i]], hexs[src[2*i+1]]
		bad |= a | b
		dst[i] = a<<4 | b
	}
	return bad
}

// decode64 reads 3 bytes from 4 characters, and says whether all were good and the
// spare bits zero.
func decode64(dst, src []byte) bool {
	var bad byte
	for len(src) >= 4 {
		a, b, c, d := digits64[src[0]], digits64[src[1]], digits64[src[2]], digits64[src[3]]
		bad |= a | b | c | d
		v := uint32(a)<<18 | uint32(b)<<12 | uint32(c)<<6 | uint32(d)
		dst[0], dst[1], dst[2] = byte(v>>16), byte(v>>8), byte(v)
		src, dst = src[4:], dst[3:]
	}
	var v uint32
	for i, c := range src {
		d := digits64[c]
		bad |= d
		v |= uint32(d) << (18 - 6*i)
	}
	for i := range dst {
		dst[i] = byte(v >> (16 - 8*i))
	}
	return bad < 0x80 && v<<(8+8*len(dst)) == 0
}

// decode32 reads 5 bytes from 8 characters, and says whether all were good and the
// spare bits zero.
func decode32(dst, src []byte) bool {
	var bad byte
	for len(src) >= 8 {
		var v uint64
		for _, c := range src[:8] {
			d := digits32[c]
			bad |= d
			v = v<<5 | uint64(d)
		}
		dst[0], dst[1], dst[2], dst[3], dst[4] = byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v)
		src, dst = src[8:], dst[5:]
	}
	var v uint64
	for i, c := range src {
		d := digits32[c]
		bad |= d
		v |= uint64(d) << (35 - 5*i)
	}
	for i := range dst {
		dst[i] = byte(v >> (32 - 8*i))
	}
	return bad < 0x80 && v<<(24+8*len(dst)) == 0
}
