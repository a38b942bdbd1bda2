package kernel

import "github.com/velonym/velonym/internal/simd"

// Blocks is AES-256 of whole blocks under one key, nothing else: what the CPU
// reaches in the tier in use when no value has to be read, padded or written.
// Benchmarks hold the transforms against it. It is not for values: equal blocks
// give equal results.
type Blocks struct {
	f *FF1
}

// NewBlocks expands a key, which the caller wipes. The caller calls Release.
func NewBlocks(key *[32]byte) (*Blocks, error) {
	f, err := NewFF1(key, "01")
	if err != nil {
		return nil, err
	}
	return &Blocks{f}, nil
}

// Release wipes the key. The Blocks must not be used again.
func (b *Blocks) Release() { b.f.Release() }

// Encrypt encrypts data, a multiple of 512 bytes, block by block in place.
func (b *Blocks) Encrypt(data []byte) {
	if len(data)%512 != 0 {
		panic("kernel: blocks come in groups of 32")
	}
	if len(data) == 0 {
		return
	}
	if simd.Active() == simd.Generic {
		for i := 0; i < len(data); i += 16 {
			b.f.block.Encrypt(data[i:i+16], data[i:i+16])
		}
		return
	}
	aesBlocks(&b.f.k.rounds[0], b.f.k.lastKey, &data[0], len(data)/16)
}
