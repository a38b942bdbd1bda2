package kernel

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"unsafe"
)

// Key memory is where everything that a key can be found out from lives:
// expanded schedules, hash keys, midstates. It stands outside the Go heap, so
// the collector neither copies nor scans it, between pages that fault on any
// access; it is locked into memory, left out of core dumps, and not inherited
// by a forked child, which faults instead of working with stale keys. A slot
// is wiped when it is freed.
//
// Slots are powers of two from 64 bytes up, cut from chunks that hold slots of
// one size only.

const (
	slotMin   = 64       // and the alignment of every slot
	chunkSize = 64 << 10 // slots of up to a quarter of this share chunks, larger ones stand alone
)

// KeyMemory says how keys are kept.
type KeyMemory struct {
	InUse    int   // bytes of slots that hold keys now
	Mapped   int   // bytes taken from the system
	Unlocked int   // of these, bytes that the system refused to lock
	LockErr  error // the latest refusal: RLIMIT_MEMLOCK is too small, or locking is unknown here; nil if none
}

// KeyMemoryStatus reports the key memory of this process. If LockErr is set,
// keys still work, and may be written to swap: raise the limit (ulimit -l,
// LimitMEMLOCK, CAP_IPC_LOCK) to prevent it. Safe for concurrent use.
func KeyMemoryStatus() KeyMemory {
	keyMem.Lock()
	defer keyMem.Unlock()
	return keyMem.status
}

// chunk is a mapped region cut into slots. free holds the numbers of the free
// ones, the latest freed last: its capacity is fixed when the chunk is made, so
// that neither alloc nor free touches the Go heap.
type chunk struct {
	mem      []byte
	slot     int
	free     []uint16
	used     []bool
	unlocked bool
}

var keyMem struct {
	sync.Mutex
	chunks []*chunk // ascending by address
	status KeyMemory
}

// keyAlloc returns n zero bytes of key memory, aligned to 64. The caller gives
// them back by keyFree. Its error means that the system has no memory left.
// Safe for concurrent use; no heap allocation but when a new chunk is mapped.
func keyAlloc(n int) ([]byte, error) {
	if n < 1 {
		panic("kernel: key memory of no bytes")
	}
	slot := slotMin
	for slot < n {
		slot *= 2
	}
	keyMem.Lock()
	defer keyMem.Unlock()
	var c *chunk
	for _, o := range keyMem.chunks {
		if o.slot == slot && len(o.free) > 0 {
			c = o
			break
		}
	}
	if c == nil {
		var err error
		if c, err = mapChunk(slot); err != nil {
			return nil, err
		}
	}
	i := int(c.free[len(c.free)-1])
	c.free = c.free[:len(c.free)-1]
	c.used[i] = true
	keyMem.status.InUse += slot
	return c.mem[i*slot : i*slot+n : (i+1)*slot], nil
}

// keyFree wipes b, which keyAlloc returned, and takes it back. What still
// points into b must not be used again: it may fault, or find another key.
func keyFree(b []byte) {
	p := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	keyMem.Lock()
	defer keyMem.Unlock()
	k, found := slices.BinarySearchFunc(keyMem.chunks, p, func(c *chunk, p uintptr) int {
		switch begin := uintptr(unsafe.Pointer(unsafe.SliceData(c.mem))); {
		case p < begin:
			return 1
		case p >= begin+uintptr(len(c.mem)):
			return -1
		}
		return 0
	})
	if !found {
		panic("kernel: freed key memory that was not allocated")
	}
	c := keyMem.chunks[k]
	at := int(p - uintptr(unsafe.Pointer(unsafe.SliceData(c.mem))))
	i := at / c.slot
	if at%c.slot != 0 || !c.used[i] {
		panic("kernel: freed key memory twice")
	}
	wipe(c.mem[at : at+c.slot])
	c.used[i] = false
	c.free = append(c.free, uint16(i))
	keyMem.status.InUse -= c.slot
	if len(c.free) < len(c.used) {
		return
	}
	// The chunk is empty. One empty chunk a size stays for the next key.
	for _, o := range keyMem.chunks {
		if o != c && o.slot == c.slot && len(o.free) > 0 || c.slot > chunkSize/4 {
			keyMem.chunks = slices.Delete(keyMem.chunks, k, k+1)
			keyMem.status.Mapped -= len(c.mem)
			if c.unlocked {
				keyMem.status.Unlocked -= len(c.mem)
			}
			unmapPages(c.mem)
			return
		}
	}
}

// mapChunk maps a chunk of slots of the given size. The caller holds the lock.
func mapChunk(slot int) (*chunk, error) {
	size := chunkSize
	if slot > chunkSize/4 {
		size = (slot + pageSize - 1) / pageSize * pageSize
	}
	mem, lockErr, err := mapPages(size)
	if err != nil {
		return nil, fmt.Errorf("kernel: map %d bytes for keys: %w", size, err)
	}
	n := size / slot
	c := &chunk{mem: mem, slot: slot, free: make([]uint16, 0, n), used: make([]bool, n), unlocked: lockErr != nil}
	for i := n - 1; i >= 0; i-- {
		c.free = append(c.free, uint16(i))
	}
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	k, _ := slices.BinarySearchFunc(keyMem.chunks, begin, func(c *chunk, p uintptr) int {
		if uintptr(unsafe.Pointer(unsafe.SliceData(c.mem))) < p {
			return -1
		}
		return 1
	})
	keyMem.chunks = slices.Insert(keyMem.chunks, k, c)
	keyMem.status.Mapped += size
	if lockErr != nil {
		keyMem.status.Unlocked += size
		keyMem.status.LockErr = lockErr
	}
	return c, nil
}

// keyNew allocates a zero T in key memory; T holds no pointers. keyDelete wipes
// it and takes it back.
func keyNew[T any]() (*T, error) {
	var t T
	b, err := keyAlloc(int(unsafe.Sizeof(t)))
	if err != nil {
		return nil, err
	}
	return (*T)(unsafe.Pointer(unsafe.SliceData(b))), nil
}

// keyDelete wipes and frees what keyNew returned.
func keyDelete[T any](p *T) {
	keyFree(unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p)))
}

// wipe overwrites b with zeros. It is kept out of line so that no caller's
// compilation can find the stores useless.
//
//go:noinline
func wipe(b []byte) { clear(b) }

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
	mem, err := keyAlloc(len(old))
	if err != nil {
		wipe(old)
		return keyCipher{}, err
	}
	copy(mem, old)
	wipe(old)
	moved := reflect.NewAt(v.Type().Elem(), unsafe.Pointer(unsafe.SliceData(mem)))
	return keyCipher{Block: moved.Interface().(cipher.Block), mem: mem}, nil
}

// release wipes the schedule. The cipher must not be used again.
func (k *keyCipher) release() {
	keyFree(k.mem)
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
