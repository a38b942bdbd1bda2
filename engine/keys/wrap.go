package keys

import (
	"crypto/rand"
	"encoding/binary"
	"errors"

	"github.com/velonym/velonym/engine/kernel/secmem"
)

// What a wrapped secret is for. The purpose is part of the associated data, so
// that no blob opens in the place of another.
const (
	purposeSecret  = "generation"
	purposeCheck   = "check"
	purposeIssuer  = "issuer"
	purposeReceipt = "receipt"
	purposeSealKey = "seal key"
	purposeSeals   = "seals"
)

// wrapOverhead is the nonce before and the tag behind a wrapped secret.
const wrapOverhead = 12 + 16

// associated encodes purpose, domain and generation so that no two of them
// have the same bytes: every part has its length before it.
func associated(purpose string, d Domain, gen int) []byte {
	ad := append([]byte(nil), "velonym keystore 1"...)
	for _, s := range []string{purpose, d.Prj, d.Org} {
		ad = binary.BigEndian.AppendUint16(ad, uint16(len(s)))
		ad = append(ad, s...)
	}
	return append(ad, byte(gen))
}

// wrap seals a secret under AES-256-GCM with a random nonce: nonce, cipher
// text, tag. A keystore wraps a few thousand secrets at most, far from the
// 2^32 at which random nonces of 96 bits come to an end.
func (m *MasterKey) wrap(secret []byte, purpose string, d Domain, gen int) []byte {
	out := make([]byte, 12, len(secret)+wrapOverhead)
	rand.Read(out) // never fails: crypto/rand ends the process rather than return an error
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.aead.Seal(out, out, secret, associated(purpose, d, gen))
}

var errUnwrap = errors.New("keys: wrapped secret does not open")

// unwrap appends the secret to dst, which should have the capacity for it:
// otherwise a copy is left behind that nobody wipes.
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

// MemoryUnlocked returns how many bytes of the memory that holds keys the system
// refused to lock, so that they may be written to swap.
func MemoryUnlocked() int { return secmem.Status().Unlocked }

func wipe(b []byte) { secmem.Wipe(b) }
