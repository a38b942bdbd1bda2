package token

import (
	"crypto/sha256"
	"encoding/binary"
)

// LastToken is the last valid token of one caller, such as a connection, with its
// digest. [Verifier.VerifyAgain] compares the next token with it instead of hashing.
// The zero value is empty. It must not be used concurrently. It keeps the token's bytes
// until another token replaces them or Forget is called.
type LastToken struct {
	raw   []byte
	sum   [sha256.Size]byte
	grant *Grant // of raw; not retained, so its keys may be wiped
	uses  uint8  // of grant, modulo 256
}

// maxLastToken is the longest token that LastToken keeps, in bytes.
const maxLastToken = 2 << 10

// digest returns the SHA-256 of raw.
func (s *LastToken) digest(raw []byte) [sha256.Size]byte {
	if s != nil && equalConstantTime(s.raw, raw) {
		return s.sum
	}
	return sha256.Sum256(raw)
}

// again returns the grant of the last token if it has this digest. Every 64th call
// returns nil, so that the cache, which evicts entries nobody asks for, sees the token.
func (s *LastToken) again(sum *[sha256.Size]byte) *Grant {
	if s == nil || s.grant == nil || s.sum != *sum {
		return nil
	}
	s.uses++
	if s.uses%64 == 0 {
		return nil
	}
	return s.grant
}

// keep stores a valid token and its grant.
func (s *LastToken) keep(raw []byte, sum *[sha256.Size]byte, g *Grant) {
	if s == nil || len(raw) > maxLastToken {
		return
	}
	if s.sum != *sum || len(s.raw) == 0 {
		s.Forget()
		s.raw, s.sum = append(s.raw[:0], raw...), *sum
	}
	s.grant = g
}

// Forget wipes the stored token.
func (s *LastToken) Forget() {
	clear(s.raw[:cap(s.raw)])
	s.raw, s.sum, s.grant = s.raw[:0], [sha256.Size]byte{}, nil
}

// equalConstantTime reports whether a and b are equal and not empty, in time that depends
// only on their lengths.
func equalConstantTime(a, b []byte) bool {
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
