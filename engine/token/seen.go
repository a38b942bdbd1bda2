package token

import (
	"crypto/sha256"
	"encoding/binary"
)

// Seen remembers the last token that was found valid at one place, such as a
// connection, and its digest, so that the same token there is compared instead
// of hashed: see [Verifier.VerifyAgain]. The zero value has seen nothing. One
// goroutine at a time. It holds the token's bytes until another follows, or
// until Forget.
type Seen struct {
	raw []byte
	sum [sha256.Size]byte
}

// maxSeen is the length up to which tokens are remembered: a place costs so
// many bytes at most.
const maxSeen = 2 << 10

// digest returns the SHA-256 of raw.
func (s *Seen) digest(raw []byte) [sha256.Size]byte {
	if s != nil && same(s.raw, raw) {
		return s.sum
	}
	return sha256.Sum256(raw)
}

// keep remembers a token that is valid.
func (s *Seen) keep(raw []byte, sum *[sha256.Size]byte) {
	if s == nil || len(raw) > maxSeen || s.sum == *sum && len(s.raw) > 0 {
		return
	}
	s.Forget()
	s.raw, s.sum = append(s.raw[:0], raw...), *sum
}

// Forget wipes what was remembered.
func (s *Seen) Forget() {
	clear(s.raw[:cap(s.raw)])
	s.raw, s.sum = s.raw[:0], [sha256.Size]byte{}
}

// same compares two texts in a time that depends on their lengths alone.
func same(a, b []byte) bool {
	if len(a) != len(b) || len(a) == 0 {
		return false
	}
	var x, y uint64
	for len(a) >= 16 {
		x |= binary.LittleEndian.Uint64(a) ^ binary.LittleEndian.Uint64(b)
		y |= binary.LittleEndian.Uint64(a[8:]) ^ binary.LittleEndian.Uint64(b[8:])
		a, b = a[16:], b[16:]
	}
	b = b[:len(a)]
	for i := range a {
		x |= uint64(a[i] ^ b[i])
	}
	return x|y == 0
}
