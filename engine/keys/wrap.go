package keys

import (
	"crypto/rand"
	"encoding/binary"
	"errors"

	"github.com/velonym/velonym/engine/kernel/secmem"
)

// Purposes of wrapped secrets. The purpose is part of the associated data, so that no
// blob unwraps in the place of another.
const (
	purposeSecret  = "generation"
	purposeCheck   = "check"
	purposeIssuer  = "issuer"
	purposeReceipt = "receipt"
	purposeSealKey = "seal key"
	purposeSeals   = "seals"
)

// wrapOverhead is the size of the nonce before and the tag after a wrapped secret.
const wrapOverhead = 12 + 16

// associated returns the associated data. It is unambiguous because every part is
// preceded by its length.
func associated(purpose string, d Domain, gen int) []byte {
	ad := append([]byte(nil), "velonym keystore 1"...)
	for _, s := range []string{purpose, d.Prj, d.Org} {
		ad = binary.BigEndian.AppendUint16(ad, uint16(len(s)))
		ad = append(ad, s...)
	}
	return append(ad, byte(gen))
}

// wrap encrypts a secret with AES-256-GCM and a random nonce and returns nonce,
// ciphertext and tag. Random nonces of 96 bits are safe for 2^32 secrets under one key;
// a keystore wraps a few million at most.
func (m *MasterKey) wrap(secret []byte, purpose string, d Domain, gen int) []byte {
	out := make([]byte, 12, len(secret)+wrapOverhead)
	rand.Read(out) // never returns an error: crypto/rand ends the process instead
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.aead.Seal(out, out, secret, associated(purpose, d, gen))
}

var errUnwrap = errors.New("keys: wrapped secret does not open")

// unwrap appends the secret to dst. dst should have the capacity for it: otherwise
// append leaves an unwiped copy behind.
func (m *MasterKey) unwrap(dst, blob []byte, purpose string, d Domain, gen int) ([]byte, error) {
	if len(blob) < wrapOverhead {
		return nil, errUnwrap
	}
	var out []byte
	m.mu.RLock()
	defer m.mu.RUnlock()
	err := secmem.Scrubbed(func() (err error) {
		out, err = m.aead.Open(dst, blob[:12], blob[12:], associated(purpose, d, gen))
		return err
	})
	if err != nil {
		return nil, errUnwrap
	}
	return out, nil
}

// MemoryUnlocked returns how many bytes of key memory the system refused to lock. These
// bytes may be written to swap.
func MemoryUnlocked() int { return secmem.Status().Unlocked }

func wipe(b []byte) { secmem.Wipe(b) }
