package hyperloglog

import "encoding/binary"

// The hash is Murmur's scheme of multiplications and shifts with the constants of
// SplitMix64 (Steele, Lea, Flood 2014).
const (
	mul0 = 0x9e3779b97f4a7c15
	mul1 = 0xbf58476d1ce4e5b9
	mul2 = 0x94d049bb133111eb
)

// hashGeneric is hash in portable Go. Of a value longer than longest it hashes all bytes.
func (s *sampler) hashGeneric(dst []uint64, src []byte, spans []uint32, longest uint64) (kept, empty int) {
	seed0, seed1, limit := s.seed0, s.seed1, s.limit
	for i := 0; i+1 < len(spans); i += 2 {
		n := uint64(spans[i+1])
		if n == 0 {
			empty++
			continue
		}
		v := src[spans[i]:][:n]
		first, last, h := uint64(0), uint64(0), seed0
		if n >= 8 {
			for n > longest && len(v) > 16 {
				h = mix(h, binary.LittleEndian.Uint64(v), seed1^binary.LittleEndian.Uint64(v[8:]))
				v = v[16:]
			}
			if n > longest {
				v = src[spans[i]:][n-16 : n]
			}
			first, last = binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[len(v)-8:])
		} else {
			for i := len(v) - 1; i >= 0; i-- {
				first = first<<8 | uint64(v[i])
			}
			last = first
		}
		// The length enters at two positions, so that a change of one byte cannot cancel it.
		h = mix(h, first, seed1^last^n<<36^n<<12) * mul2
		h ^= h >> 32
		dst[kept] = h
		if h <= limit {
			kept++
		}
	}
	return kept, empty
}

// mix returns h after 16 more bytes.
func mix(h, a, b uint64) uint64 {
	h = (h ^ a) * mul0
	h = (h ^ h>>32 ^ b) * mul1
	return h ^ h>>29
}
