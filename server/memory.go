package server

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
)

// memory counts the bytes that requests hold and refuses what would go over
// its limit. Idle buffers are part of the same sum: a new buffer is made only
// after idle ones have made room, so that the buffers of the two pools never
// hold more than limit bytes together, in use or not. Safe for concurrent use.
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

// reserve reserves n bytes that are not in a pooled buffer (a decoder's window),
// or reports that there is no room.
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

// release returns what reserve took.
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

// collect has dropped buffers collected before there are many of them. The
// collector's own pace follows what is alive, so that as much again as the limit
// would be waiting for it; and when it is made to keep to a memory limit it gives up
// under exactly the load that drops most. A collection costs about a millisecond:
// the buffers have no pointers.
func (m *memory) collect() {
	if m.dropped.Load() <= max(m.limit/16, 4<<20) || !m.collecting.TryLock() {
		return
	}
	defer m.collecting.Unlock()
	m.dropped.Store(0)
	runtime.GC()
}

// trim drops the buffers that nobody has needed since the last call, and returns how
// many bytes they had.
func (m *memory) trim() int64 { return m.bytes.trim() + m.words.trim() }

// classes is the number of buffer sizes: four to a doubling, from minClass up
// to beyond any buffer that 32-bit offsets can use.
const (
	minClass = 4096
	classes  = 96
)

// class returns the smallest size of a pooled buffer that holds n bytes, and
// its index. At most a fifth of a buffer is unused.
func class(n int) (index, size int) {
	if n <= minClass {
		return 0, minClass
	}
	k := bits.Len(uint(n-1)) - 1
	q := (n - 1) >> (k - 2) // 4 … 7
	return (k-12)*4 + q - 3, (q + 1) << (k - 2)
}

// pool keeps buffers by size class. Contents are not cleared between requests:
// every user slices a buffer to the bytes it wrote itself.
type pool[T byte | uint32] struct {
	m     *memory
	width int // bytes of a T
	lists [classes]freeList[T]
}

type freeList[T byte | uint32] struct {
	mu   sync.Mutex
	free [][]T
	low  int // fewest idle buffers since the last trim
}

func (p *pool[T]) init(m *memory, width int) { p.m, p.width = m, width }

// get returns an empty buffer with room for n elements, or false if that would
// go over the limit.
func (p *pool[T]) get(n int) ([]T, bool) {
	i, size := class(n * p.width)
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
	return make([]T, 0, size/p.width), true
}

// put takes back a buffer of get. The caller must not use it any more. Buffers
// below the smallest class are not the pool's: they are parts of a call.
func (p *pool[T]) put(b []T) {
	size := cap(b) * p.width
	if size < minClass {
		return
	}
	i, want := class(size)
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

// swap settles the account after somebody else let b grow into grown: the old
// buffer goes back, and grown is copied into one of the pool's. It returns
// false, with b put back, when there is no room.
func (p *pool[T]) swap(b, grown []T) ([]T, bool) {
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

// grow returns a buffer with b's contents and room for n elements in all; b
// goes back to the pool. On false b is still the caller's.
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

// evict drops one idle buffer, the largest there is, and returns its bytes, or 0.
func (p *pool[T]) evict() int64 {
	for i := classes - 1; i >= 0; i-- {
		l := &p.lists[i]
		l.mu.Lock()
		if k := len(l.free) - 1; k >= 0 {
			size := cap(l.free[k]) * p.width
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
			bytes += int64(cap(l.free[k]) * p.width)
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
