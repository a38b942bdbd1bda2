//go:build !purego

package kernel

func (h *HMAC) sum(dst, base []byte, spans []uint32, counters []uint64) {
	hmacGeneric(h.k, dst, base, spans, counters)
}

func hmacPairs(k *hmacKey, msgs *byte, pairs, blocks int, dst *byte) {}
