package kernel

import "crypto/cipher"

// Block is AES under one key, whose schedule lies in key memory. It hides the
// type of crypto/aes on purpose: crypto/cipher copies a schedule that it knows to
// the heap, and works with this one where it is.
type Block struct{ k keyCipher }

var _ cipher.Block = (*Block)(nil)

// NewBlock expands a key of 16, 24 or 32 bytes, which the caller wipes. The caller
// calls Release when done.
func NewBlock(key []byte) (*Block, error) {
	b := &Block{}
	err := scrubbed(func() (err error) {
		b.k, err = newKeyCipher(key)
		return err
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// BlockSize returns 16.
func (b *Block) BlockSize() int { return 16 }

// Encrypt implements [cipher.Block].
func (b *Block) Encrypt(dst, src []byte) { b.k.Encrypt(dst, src) }

// Decrypt implements [cipher.Block].
func (b *Block) Decrypt(dst, src []byte) { b.k.Decrypt(dst, src) }

// Scrubbed runs f, and then overwrites the part of the stack that its calls used.
func Scrubbed(f func() error) error { return scrubbed(f) }

// Release wipes the schedule. The block must not be used again.
func (b *Block) Release() { b.k.release() }
