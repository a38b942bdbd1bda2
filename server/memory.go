package server

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
)

// memory counts the bytes that requests hold and refuses those beyond its limit. Idle
// buffers count too: a new buffer is allocated only after enough idle ones are dropped, so
// that the buffers of both pools, in use or not, never hold more than limit bytes
// together. It is safe for concurrent use.
type memory struct {
	limit int64
	used  atomic.Int64 // held by requests
	idle  atomic.Int64 // in the free lists

	dropped    atomic.Int64 // by makeRoom, since the last collection
	collecting sync.Mutex

	bytes pool[byte]
	words pool[uint32]
}

func newMemory(limit int64) *memory {
	m := &memory{limit: limit}
	m.bytes.init(m, 1)
	m.words.init(m, 4)
	return m
}

// reserve counts n bytes outside the pooled buffers (a decoder's window). It returns false
// if they exceed the limit.
func (m *memory) reserve(n int64) bool {
	for {
		u := m.used.Load()
		if u+n > m.limit {
			return false
		}
		if m.used.CompareAndSwap(u, u+n) {
			return true
		}
	}
}

// release returns n bytes of reserve.
func (m *memory) release(n int64) { m.used.Add(-n) }

// makeRoom drops idle buffers until n more bytes of new memory fit.
func (m *memory) makeRoom(n int64) {
	for m.used.Load()+m.idle.Load() > m.limit {
		n := m.bytes.evict()
		if n == 0 {
			n = m.words.evict()
		}
		if n == 0 {
			break
		}
		m.dropped.Add(n)
	}
	m.collect()
}

// collect runs the garbage collector once many bytes of buffers are dropped. The
// collector's own pace follows the live heap, so garbage of up to the limit would wait for
// it, and a memory limit does not help: the collector gives up on it under exactly the
// load that drops most. A collection takes about a millisecond, since buffers have no
// pointers.
func (m *memory) collect() {
	if m.dropped.Load() <= max(m.limit/16, 4<<20) || !m.collecting.TryLock() {
		return
	}
	defer m.collecting.Unlock()
	m.dropped.Store(0)
	runtime.GC()
}

// trim drops the buffers that were not needed since the last call and returns their bytes.
func (m *memory) trim() int64 { return m.bytes.trim() + m.words.trim() }

// classes is the number of buffer sizes, four per power of two: from minClass to beyond
// any buffer that 32-bit offsets can address.
const (
	minClass = 4096
	classes  = 96
)

// sizeClass returns the smallest size of a pooled buffer that holds n bytes, and its
// index. At most a fifth of a buffer is unused.
func sizeClass(n int) (index, size int) {
	if n <= minClass {
		return 0, minClass
	}
	k := bits.Len(uint(n-1)) - 1
	q := (n - 1) >> (k - 2) // 4 … 7
	return (k-12)*4 + q - 3, (q + 1) << (k - 2)
}

// pool keeps buffers by size class. It does not clear them between requests: every user
// slices a buffer to the bytes that it wrote itself.
type pool[T byte | uint32] struct {
	m        *memory
	elemSize int // bytes of a T
	lists    [classes]freeList[T]
}

type freeList[T byte | uint32] struct {
	mu   sync.Mutex
	free [][]T
	low  int // fewest idle buffers since the last trim
}

func (p *pool[T]) init(m *memory, elemSize int) { p.m, p.elemSize = m, elemSize }

// get returns an empty buffer with room for n elements, or false if it would exceed the
// limit.
func (p *pool[T]) get(n int) ([]T, bool) {
	i, size := sizeClass(n * p.elemSize)
	if !p.m.reserve(int64(size)) {
		return nil, false
	}
	l := &p.lists[i]
	l.mu.Lock()
	if k := len(l.free) - 1; k >= 0 {
		b := l.free[k]
		l.free[k] = nil
		l.free = l.free[:k]
		l.low = min(l.low, k)
		l.mu.Unlock()
		p.m.idle.Add(-int64(size))
		return b[:0], true
	}
	l.mu.Unlock()
	p.m.makeRoom(int64(size))
	return make([]T, 0, size/p.elemSize), true
}

// put takes back a buffer of get, which the caller must not use any more. It ignores
// buffers below the smallest class, which are parts of a call.
func (p *pool[T]) put(b []T) {
	size := cap(b) * p.elemSize
	if size < minClass {
		return
	}
	i, want := sizeClass(size)
	if want != size {
		panic("server: a buffer that is not the pool's was returned to it")
	}
	p.m.idle.Add(int64(size))
	p.m.used.Add(-int64(size))
	l := &p.lists[i]
	l.mu.Lock()
	l.free = append(l.free, b[:0])
	l.mu.Unlock()
}

// adopt accounts for a buffer b of the pool that other code has grown into grown: it takes
// b back and copies grown into a buffer of the pool. It returns false, with b taken back,
// if that would exceed the limit.
func (p *pool[T]) adopt(b, grown []T) ([]T, bool) {
	if cap(b) == cap(grown) {
		return grown, true
	}
	p.put(b)
	n, ok := p.get(len(grown))
	if !ok {
		return nil, false
	}
	return append(n, grown...), true
}

// grow returns a buffer with the contents of b and room for n elements in all, and takes b
// back. If it returns false, b still belongs to the caller.
func (p *pool[T]) grow(b []T, n int) ([]T, bool) {
	if n <= cap(b) {
		return b, true
	}
	next, ok := p.get(n)
	if !ok {
		return b, false
	}
	next = append(next, b...)
	p.put(b)
	return next, true
}

// evict drops the largest idle buffer and returns its bytes, 0 if there is none.
func (p *pool[T]) evict() int64 {
	for i := classes - 1; i >= 0; i-- {
		l := &p.lists[i]
		l.mu.Lock()
		if k := len(l.free) - 1; k >= 0 {
			size := cap(l.free[k]) * p.elemSize
			l.free[k] = nil
			l.free = l.free[:k]
			l.low = min(l.low, k)
			l.mu.Unlock()
			p.m.idle.Add(-int64(size))
			return int64(size)
		}
		l.mu.Unlock()
	}
	return 0
}

func (p *pool[T]) trim() (dropped int64) {
	for i := range p.lists {
		l := &p.lists[i]
		l.mu.Lock()
		var bytes int64
		for range min(l.low, len(l.free)) {
			k := len(l.free) - 1
			bytes += int64(cap(l.free[k]) * p.elemSize)
			l.free[k] = nil
			l.free = l.free[:k]
		}
		l.low = len(l.free)
		l.mu.Unlock()
		p.m.idle.Add(-bytes)
		dropped += bytes
	}
	return dropped
}
