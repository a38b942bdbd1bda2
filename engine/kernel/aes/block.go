package aes

import (
	stdaes "crypto/aes"
	"crypto/cipher"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/secmem"
)

// Block is AES under one key, whose schedule lies in key memory. It hides the type of
// crypto/aes, because crypto/cipher copies the schedule of a type that it knows to the heap. It
// is safe for concurrent use until Release.
type Block struct {
	cipher.Block
	mem []byte
}

// New expands a key of 16, 24 or 32 bytes, which the caller wipes. The caller calls
// Release when done.
func New(key []byte) (*Block, error) {
	b := &Block{}
	err := secmem.Scrubbed(func() (err error) {
		*b, err = expand(key)
		return err
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// Release wipes the schedule. The block must not be used again.
func (b *Block) Release() {
	secmem.Free(b.mem)
	*b = Block{}
}

// expand moves the schedule of crypto/aes, which is a new heap object, into key memory
// and wipes the object before it returns.
func expand(key []byte) (Block, error) {
	block, err := stdaes.NewCipher(key)
	if err != nil {
		return Block{}, fmt.Errorf("aes: %w", err)
	}
	v := reflect.ValueOf(block)
	if v.Kind() != reflect.Pointer || holdsPointers(v.Type().Elem()) {
		panic("aes: crypto/aes keeps its schedule behind a pointer: it cannot be moved")
	}
	old := unsafe.Slice((*byte)(v.UnsafePointer()), v.Type().Elem().Size())
	mem, err := secmem.Alloc(len(old))
	if err != nil {
		secmem.Wipe(old)
		return Block{}, err
	}
	copy(mem, old)
	secmem.Wipe(old)
	moved := reflect.NewAt(v.Type().Elem(), unsafe.Pointer(unsafe.SliceData(mem)))
	return Block{Block: moved.Interface().(cipher.Block), mem: mem}, nil
}

// holdsPointers reports whether a value of type t refers to other memory.
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
