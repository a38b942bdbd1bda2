//go:build !purego

package kernel

import "github.com/velonym/velonym/internal/simd"

func (h *HMAC) sum(dst, base []byte, spans []uint32, counters []uint64) {
	if simd.Active() == simd.ARM64 {
		hmacStreams(h.k, dst, base, spans, counters)
	} else {
		hmacGeneric(h.k, dst, base, spans, counters)
	}
}

// hmacPairs is hmacNEON with the key's words in its order.
func hmacPairs(k *hmacKey, msgs *byte, pairs, blocks int, dst *byte) {
	hmacNEON(&k.words[0][0], msgs, pairs, blocks, dst)
}

// hmacNEON writes the first 16 bytes of the HMACs of 2·pairs messages of the
// given number of blocks of 64 bytes each, padded, one after the other, to dst.
// mid is the inner midstate and then the outer one. No branch or address depends
// on keys or messages. It needs SHA2, and pairs ≥ 1.
//
//go:noescape
func hmacNEON(mid *uint32, msgs *byte, pairs, blocks int, dst *byte)
