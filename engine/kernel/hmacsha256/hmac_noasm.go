//go:build purego || !(amd64 || arm64)

package hmacsha256

func (h *HMAC) sum(dst, base []byte, spans []uint32, counters []uint64) {
	sumGeneric(h.k, dst, base, spans, counters)
}
