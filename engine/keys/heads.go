package keys

import (
	"context"
	"crypto/ed25519"
)

// HeadSigner signs the heads of audit logs with the keystore's receipt key. What it
// signs begins with a text of its own, so no head passes for a receipt. It holds the
// private key until it is closed, and is safe for concurrent use until then.
type HeadSigner struct{ key ed25519.PrivateKey }

// HeadSigner returns the signer of this keystore. [Keystore.ReceiptKey] is its
// public key.
func (ks *Keystore) HeadSigner(ctx context.Context) (*HeadSigner, error) {
	var s *HeadSigner
	err := ks.store.View(ctx, func(tx Tx) error {
		seed, err := ks.seed(tx, metaReceipt, purposeReceipt)
		if err != nil {
			return err
		}
		s = &HeadSigner{ed25519.NewKeyFromSeed(seed)}
		wipe(seed)
		return nil
	})
	return s, err
}

// Sign returns the signature of message.
func (s *HeadSigner) Sign(message []byte) []byte { return ed25519.Sign(s.key, message) }

// PublicKey returns the key that verifies.
func (s *HeadSigner) PublicKey() []byte {
	return append([]byte(nil), s.key.Public().(ed25519.PublicKey)...)
}

// Close wipes the private key. Nothing may be signed afterwards.
func (s *HeadSigner) Close() error {
	wipe(s.key)
	return nil
}
