package keys

import "context"

// HeadSigner signs the heads of audit logs with the keystore's receipt key. Signed heads
// have a prefix of their own, so none passes as a receipt. HeadSigner holds the private
// key, in key memory, until it is closed, and is safe for concurrent use until then.
type HeadSigner struct{ key *signingKey }

// HeadSigner returns a signer. [Keystore.ReceiptKey] returns its public key.
func (ks *Keystore) HeadSigner(ctx context.Context) (*HeadSigner, error) {
	key, err := ks.receiptKey(ctx)
	if err != nil {
		return nil, err
	}
	return &HeadSigner{key}, nil
}

// Sign returns the signature of message.
func (s *HeadSigner) Sign(message []byte) []byte { return s.key.sign(message) }

// PublicKey returns the public key.
func (s *HeadSigner) PublicKey() []byte { return append([]byte(nil), s.key.public...) }

// Close wipes the private key. The signer must not be used afterwards.
func (s *HeadSigner) Close() error {
	s.key.close()
	return nil
}
