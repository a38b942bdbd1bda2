package kernel

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/secmem"
)

// Block is AES under one key, whose schedule lies in key memory. It hides the
// type of crypto/aes on purpose: crypto/cipher copies a schedule that it knows to
// the heap, and works with this one where it is.
type Block struct{ k keyCipher }

var _ cipher.Block = (*Block)(nil)

// NewBlock expands a key of 16, 24 or 32 bytes, which the caller wipes. The caller
// calls Release when done.
func NewBlock(key []byte) (*Block, error) {
	b := &Block{}
	err := secmem.Scrubbed(func() (err error) {
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

// Release wipes the schedule. The block must not be used again.
func (b *Block) Release() { b.k.release() }

// keyCipher is a crypto/aes cipher whose expanded key lies in key memory.
type keyCipher struct {
	cipher.Block
	mem []byte
}

// newKeyCipher expands key (16, 24 or 32 bytes). crypto/aes leaves a schedule
// in a new heap object; it is moved and the object wiped before the return.
func newKeyCipher(key []byte) (keyCipher, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return keyCipher{}, fmt.Errorf("kernel: %w", err)
	}
	v := reflect.ValueOf(block)
	if v.Kind() != reflect.Pointer || holdsPointers(v.Type().Elem()) {
		panic("kernel: crypto/aes keeps its schedule behind a pointer: it cannot be moved")
	}
	old := unsafe.Slice((*byte)(v.UnsafePointer()), v.Type().Elem().Size())
	mem, err := secmem.Alloc(len(old))
	if err != nil {
		secmem.Wipe(old)
		return keyCipher{}, err
	}
	copy(mem, old)
	secmem.Wipe(old)
	moved := reflect.NewAt(v.Type().Elem(), unsafe.Pointer(unsafe.SliceData(mem)))
	return keyCipher{Block: moved.Interface().(cipher.Block), mem: mem}, nil
}

// release wipes the schedule. The cipher must not be used again.
func (k *keyCipher) release() {
	secmem.Free(k.mem)
	*k = keyCipher{}
}

// holdsPointers says whether a value of type t refers to other memory.
func holdsPointers(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return t.Len() > 0 && holdsPointers(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if holdsPointers(t.Field(i).Type) {
				return true
			}
		}
		return false
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return false
	}
	return true
}
