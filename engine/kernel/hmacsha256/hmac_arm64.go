//go:build !purego

package hmacsha256

import "github.com/velonym/velonym/internal/simd"

func (h *HMAC) sum(dst, base []byte, spans []uint32, counters []uint64) {
	if simd.Active() == simd.ARM64 {
		sumStreams(h.k, dst, base, spans, counters)
	} else {
		sumGeneric(h.k, dst, base, spans, counters)
	}
}

// pairs calls hmacNEON with the key's words in its order.
func pairs(k *midstates, msgs *byte, pairs, blocks int, dst *byte) {
	hmacNEON(&k.words, msgs, pairs, blocks, dst)
}

// hmacNEON writes the first 16 bytes of the HMACs of 2·pairs messages of the
// given number of blocks of 64 bytes each, padded, one after the other, to dst.
// mid is the inner midstate and then the outer one. No branch or address depends
// on keys or messages. It reads 128·blocks·pairs bytes at
// msgs and writes 32·pairs at dst. It needs SHA2, and pairs ≥ 1, and clobbers V0 to V31.
//
//go:noescape
func hmacNEON(mid *[2][8]uint32, msgs *byte, pairs, blocks int, dst *byte)
