package server

import "sync/atomic"

// requestIDs generates identifiers that are unique across processes: 64 random bits and a
// counter.
type requestIDs struct {
	prefix [8]byte
	n      atomic.Uint64
}

const lowerHex = "0123456789abcdef"

// next appends an identifier of 24 to 32 hexadecimal digits.
func (r *requestIDs) next(b []byte) []byte {
	for _, c := range r.prefix {
		b = append(b, lowerHex[c>>4], lowerHex[c&15])
	}
	n := r.n.Add(1)
	shift := 28
	for shift < 60 && n>>(shift+4) != 0 {
		shift += 4
	}
	for ; shift >= 0; shift -= 4 {
		b = append(b, lowerHex[n>>shift&15])
	}
	return b
}
