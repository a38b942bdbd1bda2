package aes

import (
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/secmem"
)

// Raw is AES-256 of whole blocks under one key, at the speed that the CPU reaches in the tier in
// use if no values are read, padded or written. Benchmarks compare the transforms with it. It is
// not for values: equal blocks give equal results.
type Raw struct {
	keys  *Schedule
	block *Block
}

// NewRaw expands a key, which the caller wipes. The caller calls Release.
func NewRaw(key *[32]byte) (*Raw, error) {
	keys, err := secmem.New[Schedule]()
	if err != nil {
		return nil, err
	}
	block, err := New(key[:])
	if err != nil {
		secmem.Delete(keys)
		return nil, err
	}
	RoundKeys(unsafe.Slice(&keys[0][0], len(keys)*16), key[:])
	return &Raw{keys, block}, nil
}

// Release wipes the key. The Raw must not be used again.
func (r *Raw) Release() {
	secmem.Delete(r.keys)
	r.block.Release()
}

// Encrypt encrypts data, whole blocks of 16 bytes, block by block in place.
func (r *Raw) Encrypt(data []byte) {
	if len(data)%16 != 0 {
		panic("aes: not whole blocks")
	}
	if len(data) == 0 || Blocks(r.keys, data, false) {
		return
	}
	for i := 0; i < len(data); i += 16 {
		r.block.Encrypt(data[i:i+16], data[i:i+16])
	}
}
