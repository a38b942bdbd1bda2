//go:build purego || !(amd64 || arm64)

package kernel

func (h *HMAC) sum(dst, base []byte, spans []uint32, counters []uint64) {
	hmacGeneric(h.k, dst, base, spans, counters)
}
