package hmacsha256

import (
	"fmt"

	"github.com/velonym/velonym/engine/kernel/secmem"
)

// HMAC computes HMAC-SHA-256 (RFC 2104, FIPS 180-4) of many values under one key, cut to the first
// 16 bytes. It holds only the two midstates of the key, in key memory:
//
//	inner = SHA-256 resumed from midstate 1 (counter ‖ value ‖ padding)
//	tag   = SHA-256 resumed from midstate 2 (inner ‖ padding)
//
// It is safe for concurrent use until Release.
type HMAC struct {
	k *midstates
}

// midstates is an HMAC key in key memory: the midstates as words for the kernels, in their order
// and in that of SHA-NI, and in the encoding of crypto/sha256 for the twin.
type midstates struct {
	words, fours           [2][8]uint32 // inner, outer: A … H, and F E B A H G D C
	innerSaved, outerSaved [sha256Saved]byte
}

// New computes the midstates of a key. It keeps no copy of key, which the caller wipes. Its error
// means that the system has no memory left. The caller calls Release when done.
func New(key *[32]byte) (*HMAC, error) { return newHMAC(key[:]) }

// newHMAC is New for a key of any length, as the published vectors need.
func newHMAC(key []byte) (*HMAC, error) {
	k, err := secmem.New[midstates]()
	if err != nil {
		return nil, err
	}
	if err := secmem.Scrubbed(func() error { return k.expand(key) }); err != nil {
		secmem.Delete(k)
		return nil, err
	}
	return &HMAC{k: k}, nil
}

// Release wipes the midstates. The HMAC must not be used again.
func (h *HMAC) Release() {
	if h.k != nil {
		secmem.Delete(h.k)
		h.k = nil
	}
}

// Sum writes the first 16 bytes of the HMAC of value i to dst[16*i:]. If counters is not nil,
// counters[i], as eight bytes big endian, precedes the value. Values may have any length,
// including 0; dst must not overlap base. It reads nothing outside the values and allocates
// nothing. It panics if dst, counters or base is too short.
func (h *HMAC) Sum(dst, base []byte, spans []uint32, counters []uint64) {
	n := len(spans) / 2
	if len(dst) < 16*n || counters != nil && len(counters) < n {
		panic(fmt.Sprintf("hmacsha256: batch of %d values: room for %d, counters for %d", n, len(dst)/16, len(counters)))
	}
	for i := range n {
		_ = base[spans[2*i]:][:spans[2*i+1]]
	}
	h.sum(dst, base, spans, counters)
}
