package keys

import (
	"crypto/ed25519"
	"crypto/sha512"
	"fmt"

	"filippo.io/edwards25519"

	"github.com/velonym/velonym/engine/kernel/secmem"
)

// signingKey is an Ed25519 key (RFC 8032) in key memory. It exists because
// crypto/ed25519 copies every signing key to the heap, where nobody can wipe it. It is
// safe for concurrent use until it is closed.
type signingKey struct {
	mem    []byte // key memory: the unclamped scalar, then the nonce prefix
	public ed25519.PublicKey
}

// newSigningKey derives a key from a seed and wipes the seed.
func newSigningKey(seed []byte) (*signingKey, error) {
	defer wipe(seed)
	mem, err := secmem.Alloc(sha512.Size)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	k := &signingKey{mem: mem}
	err = secmem.Scrubbed(func() error {
		h := sha512.Sum512(seed)
		copy(mem, h[:])
		k.public = baseMult(k.scalar(new(edwards25519.Scalar)))
		return nil
	})
	return k, err
}

// scalar sets s to the secret scalar.
func (k *signingKey) scalar(s *edwards25519.Scalar) *edwards25519.Scalar {
	if _, err := s.SetBytesWithClamping(k.mem[:32]); err != nil {
		panic("keys: a scalar is 32 bytes")
	}
	return s
}

// baseMult returns s times the base point, encoded, in constant time. ScalarBaseMult is
// faster from about the tenth call of a process on: its first one fills a table, which
// takes longer than a short process takes for everything else that it does with keys.
func baseMult(s *edwards25519.Scalar) []byte {
	return new(edwards25519.Point).ScalarMult(s, edwards25519.NewGeneratorPoint()).Bytes()
}

// PublicKey returns the public Ed25519 key of a seed of 32 bytes, as
// ed25519.NewKeyFromSeed(seed).Public() does, without the table that crypto/ed25519 fills
// for it.
func PublicKey(seed []byte) (public ed25519.PublicKey) {
	_ = secmem.Scrubbed(func() error {
		h := sha512.Sum512(seed)
		defer clear(h[:])
		s, err := new(edwards25519.Scalar).SetBytesWithClamping(h[:32])
		if err != nil {
			panic("keys: a scalar is 32 bytes")
		}
		public = baseMult(s)
		return nil
	})
	return public
}

// hashTo sets s to the SHA-512 of b, reduced.
func hashTo(s *edwards25519.Scalar, b []byte) *edwards25519.Scalar {
	h := sha512.Sum512(b)
	if _, err := s.SetUniformBytes(h[:]); err != nil {
		panic("keys: a digest is 64 bytes")
	}
	return s
}

// sign returns the signature of message (RFC 8032 §5.1.6).
func (k *signingKey) sign(message []byte) []byte {
	sig := make([]byte, ed25519.SignatureSize)
	buf := make([]byte, 64+len(message)) // holds prefix and message first, then R, A and message
	defer wipe(buf)
	copy(buf[64:], message)
	_ = secmem.Scrubbed(func() error {
		var s, r, h edwards25519.Scalar
		copy(buf[32:], k.mem[32:])
		hashTo(&r, buf[32:])
		copy(sig, baseMult(&r))
		copy(buf, sig[:32])
		copy(buf[32:], k.public)
		hashTo(&h, buf)
		copy(sig[32:], h.MultiplyAdd(&h, k.scalar(&s), &r).Bytes())
		return nil
	})
	return sig
}

// close wipes the key.
func (k *signingKey) close() {
	if k.mem != nil {
		secmem.Free(k.mem)
		k.mem = nil
	}
}
