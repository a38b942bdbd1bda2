package secmem

import (
	"fmt"
	"slices"
	"sync"
	"unsafe"
)

// Key memory lies outside the Go heap, so the collector neither copies nor scans it.
//
// Slots are powers of two from 64 bytes up. A slab is a mapped region of slots of one
// size.

const (
	slotMin  = 64       // and the alignment of every slot
	slabSize = 64 << 10 // slots of up to a quarter of this share slabs, larger ones have a slab each
)

// Usage describes the key memory of a process.
type Usage struct {
	InUse    int   // bytes of slots that hold keys now
	Mapped   int   // bytes taken from the system
	Unlocked int   // of these, bytes that the system refused to lock
	LockErr  error // the latest refusal: RLIMIT_MEMLOCK is too small, or locking is unknown here; nil if none
}

// Status reports the key memory of this process. If LockErr is set, keys still work but may be
// written to swap; a higher limit (ulimit -l, LimitMEMLOCK, CAP_IPC_LOCK) prevents that. It is
// safe for concurrent use.
func Status() Usage {
	keyMem.Lock()
	defer keyMem.Unlock()
	return keyMem.status
}

// slab is a mapped region that is cut into slots. free holds the numbers of the free slots, the one
// freed last at the end. Its capacity is fixed when the slab is made, so that neither Alloc nor
// Free allocates.
type slab struct {
	mem      []byte
	slot     int
	free     []uint16
	used     []bool
	unlocked bool
}

var keyMem struct {
	sync.Mutex
	slabs  []*slab // ascending by address
	status Usage
}

// Alloc returns n zero bytes of key memory, aligned to 64. The caller frees them by Free. Its error
// means that the system has no memory left. It is safe for concurrent use, and allocates on the
// heap only if it maps a new slab.
func Alloc(n int) ([]byte, error) {
	if n < 1 {
		panic("secmem: key memory of no bytes")
	}
	slot := slotMin
	for slot < n {
		slot *= 2
	}
	keyMem.Lock()
	defer keyMem.Unlock()
	var c *slab
	for _, o := range keyMem.slabs {
		if o.slot == slot && len(o.free) > 0 {
			c = o
			break
		}
	}
	if c == nil {
		var err error
		if c, err = mapSlab(slot); err != nil {
			return nil, err
		}
	}
	i := int(c.free[len(c.free)-1])
	c.free = c.free[:len(c.free)-1]
	c.used[i] = true
	keyMem.status.InUse += slot
	return c.mem[i*slot : i*slot+n : (i+1)*slot], nil
}

// Free wipes and frees b, which Alloc returned. Pointers into b must not be used again: they may
// fault, or point to another key.
func Free(b []byte) {
	p := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	keyMem.Lock()
	defer keyMem.Unlock()
	k, found := slices.BinarySearchFunc(keyMem.slabs, p, func(c *slab, p uintptr) int {
		switch begin := uintptr(unsafe.Pointer(unsafe.SliceData(c.mem))); {
		case p < begin:
			return 1
		case p >= begin+uintptr(len(c.mem)):
			return -1
		}
		return 0
	})
	if !found {
		panic("secmem: freed key memory that was not allocated")
	}
	c := keyMem.slabs[k]
	at := int(p - uintptr(unsafe.Pointer(unsafe.SliceData(c.mem))))
	i := at / c.slot
	if at%c.slot != 0 || !c.used[i] {
		panic("secmem: freed key memory twice")
	}
	Wipe(c.mem[at : at+c.slot])
	c.used[i] = false
	c.free = append(c.free, uint16(i))
	keyMem.status.InUse -= c.slot
	if len(c.free) < len(c.used) {
		return
	}
	// The slab is empty. One empty slab of each size is kept for the next key, unless it is large.
	for _, o := range keyMem.slabs {
		if o != c && o.slot == c.slot && len(o.free) > 0 || c.slot > slabSize {
			keyMem.slabs = slices.Delete(keyMem.slabs, k, k+1)
			keyMem.status.Mapped -= len(c.mem)
			if c.unlocked {
				keyMem.status.Unlocked -= len(c.mem)
			}
			unmapPages(c.mem)
			return
		}
	}
}

// mapSlab maps a slab of slots of the given size. The caller holds the lock.
func mapSlab(slot int) (*slab, error) {
	size := slabSize
	if slot > slabSize/4 {
		size = (slot + pageSize - 1) / pageSize * pageSize
	}
	mem, lockErr, err := mapPages(size)
	if err != nil {
		return nil, fmt.Errorf("kernel: map %d bytes for keys: %w", size, err)
	}
	n := size / slot
	c := &slab{mem: mem, slot: slot, free: make([]uint16, 0, n), used: make([]bool, n), unlocked: lockErr != nil}
	for i := n - 1; i >= 0; i-- {
		c.free = append(c.free, uint16(i))
	}
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	k, _ := slices.BinarySearchFunc(keyMem.slabs, begin, func(c *slab, p uintptr) int {
		if uintptr(unsafe.Pointer(unsafe.SliceData(c.mem))) < p {
			return -1
		}
		return 1
	})
	keyMem.slabs = slices.Insert(keyMem.slabs, k, c)
	keyMem.status.Mapped += size
	if lockErr != nil {
		keyMem.status.Unlocked += size
		keyMem.status.LockErr = lockErr
	}
	return c, nil
}

// New allocates a zero T, which must not contain pointers, in key memory. Delete wipes and frees it.
func New[T any]() (*T, error) {
	var t T
	b, err := Alloc(int(unsafe.Sizeof(t)))
	if err != nil {
		return nil, err
	}
	return (*T)(unsafe.Pointer(unsafe.SliceData(b))), nil
}

// Delete wipes and frees what New returned.
func Delete[T any](p *T) {
	Free(unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p)))
}
