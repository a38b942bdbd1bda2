package keys

import "context"

// HeadSigner signs the heads of audit logs with the keystore's receipt key. What it
// signs begins with a text of its own, so no head passes for a receipt. It holds the
// private key, in key memory alone, until it is closed, and is safe for concurrent
// use until then.
type HeadSigner struct{ key *signingKey }

// HeadSigner returns the signer of this keystore. [Keystore.ReceiptKey] is its
// public key.
func (ks *Keystore) HeadSigner(ctx context.Context) (*HeadSigner, error) {
	key, err := ks.receiptKey(ctx)
	if err != nil {
		return nil, err
	}
	return &HeadSigner{key}, nil
}

// Sign returns the signature of message.
func (s *HeadSigner) Sign(message []byte) []byte { return s.key.sign(message) }

// PublicKey returns the key that verifies.
func (s *HeadSigner) PublicKey() []byte { return append([]byte(nil), s.key.public...) }

// Close wipes the private key. Nothing may be signed afterwards.
func (s *HeadSigner) Close() error {
	s.key.close()
	return nil
}
