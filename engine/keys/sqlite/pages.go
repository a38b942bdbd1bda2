package sqlite

import (
	"math/rand/v2"
	"sync"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/libc/sys/types"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// SQLite's own page cache keeps pages that it has read, including those with wrapped
// secrets, and frees them without clearing them. The cache in this file keeps a page with
// rows only while SQLite has it pinned, for a statement or a transaction, and then
// overwrites it. The system's file cache makes up for most of the cost. Interior pages
// stay: every search passes through some of them. Those of tables hold numbers only.
// Those of indexes hold keys of rows, and whole rows of tables without row ids, which are
// all tables but those of secrets and documents.

var registerOnce sync.Once

// registerPages makes all connections of this process use the cache and the memory
// methods of memory.go. If the program has opened SQLite before, it keeps what it had, and
// wrapped secrets linger in memory.
func registerPages() {
	registerOnce.Do(func() {
		tls := libc.NewTLS()
		defer tls.Close()
		registerMemory(tls)
		own := ownCache(tls)
		if driver.RegisterPageCache(pages{}) == nil {
			startOwnCache(tls, own)
		}
	})
}

// ownCache returns the init function of SQLite's own cache, 0 if there is none.
func ownCache(tls *libc.TLS) uintptr {
	methods := libc.Xcalloc(tls, 1, types.Size_t(unsafe.Sizeof(lib.Tsqlite3_pcache_methods2{})))
	if methods == 0 {
		return 0
	}
	defer libc.Xfree(tls, methods)
	args := tls.Alloc(16)
	defer tls.Free(16)
	if lib.Xsqlite3_config(tls, lib.SQLITE_CONFIG_GETPCACHE2, libc.VaList(args+8, methods)) != lib.SQLITE_OK {
		return 0
	}
	return (*lib.Tsqlite3_pcache_methods2)(*(*unsafe.Pointer)(unsafe.Pointer(&methods))).FxInit
}

// startOwnCache initialises SQLite's own cache as well. SQLite uses only its allocation
// counters, whose lock the init function creates. Without that lock, connections that are
// opened at the same time race for the counters.
func startOwnCache(tls *libc.TLS, start uintptr) {
	if start == 0 || lib.Xsqlite3_initialize(tls) != lib.SQLITE_OK {
		return
	}
	// The translated C code calls a function pointer in this way.
	(*(*func(*libc.TLS, uintptr) int32)(unsafe.Pointer(&struct{ uintptr }{start})))(tls, 0)
}

// pages implements [driver.PageCache].
type pages struct{}

func (pages) Create(pageSize, extraSize int, _ bool) (driver.Cache, error) {
	return &pageCache{tls: libc.NewTLS(), size: pageSize, extra: extraSize, held: map[uint32]*page{}}, nil
}

// pageCache holds the pages of one connection. SQLite serialises its calls.
type pageCache struct {
	tls         *libc.TLS
	size, extra int
	held        map[uint32]*page
	kept        []*page // of held, those that SQLite has not pinned
	spare       []*page // overwritten pages for reuse
}

// maxKept is how many pages a connection keeps that SQLite has not pinned.
const maxKept = 512

// maxSpare is how many overwritten pages a connection keeps for reuse.
const maxSpare = 16

// page is one allocation outside the Go heap: a database page followed by SQLite's notes
// on it.
type page struct {
	key  uint32
	spot int // 1 + its position in kept; 0 while SQLite has it pinned
	at   unsafe.Pointer
	all  []byte
	end  unsafe.Pointer // end of the page and start of the notes
}

func (p *page) Buf() unsafe.Pointer   { return p.at }
func (p *page) Extra() unsafe.Pointer { return p.end }

func (c *pageCache) SetSize(int)    {}
func (c *pageCache) PageCount() int { return len(c.held) }

func (c *pageCache) Fetch(key uint32, mode driver.FetchMode) driver.Page {
	if p := c.held[key]; p != nil {
		c.unkeep(p)
		return p
	}
	if mode == driver.FetchLookup {
		return nil
	}
	p := c.allocate()
	if p == nil {
		return nil
	}
	p.key = key
	c.held[key] = p
	return p
}

// allocate returns a page of zeros, or nil if there is no memory.
func (c *pageCache) allocate() *page {
	if n := len(c.spare); n > 0 {
		p := c.spare[n-1]
		c.spare = c.spare[:n-1]
		return p
	}
	n := c.size + c.extra
	mem := libc.Xcalloc(c.tls, 1, types.Size_t(n))
	if mem == 0 {
		return nil
	}
	at := *(*unsafe.Pointer)(unsafe.Pointer(&mem)) // not a pointer into the Go heap
	return &page{at: at, all: unsafe.Slice((*byte)(at), n), end: unsafe.Add(at, c.size)}
}

// release overwrites a page and keeps it for reuse or frees it.
func (c *pageCache) release(p *page) {
	c.unkeep(p)
	delete(c.held, p.key)
	clear(p.all)
	if len(c.spare) < maxSpare {
		c.spare = append(c.spare, p)
		return
	}
	c.free(p)
}

func (c *pageCache) free(p *page) { libc.Xfree(c.tls, uintptr(p.at)) }

// isInterior reports whether a page is an interior page of a table or an index.
func (p *page) isInterior() bool {
	const index, table, fileHeader = 2, 5, 100
	kind := p.all[0]
	if p.key == 1 {
		kind = p.all[fileHeader]
	}
	return kind == index || kind == table
}

func (c *pageCache) Unpin(p driver.Page, discard bool) {
	let := p.(*page)
	if discard || !let.isInterior() {
		c.release(let)
		return
	}
	if len(c.kept) >= maxKept {
		c.release(c.kept[rand.IntN(len(c.kept))])
	}
	c.kept = append(c.kept, let)
	let.spot = len(c.kept)
}

// unkeep takes a page out of kept.
func (c *pageCache) unkeep(p *page) {
	if p.spot == 0 {
		return
	}
	last := c.kept[len(c.kept)-1]
	c.kept[p.spot-1], last.spot = last, p.spot
	c.kept = c.kept[:len(c.kept)-1]
	p.spot = 0
}

func (c *pageCache) Rekey(p driver.Page, oldKey, newKey uint32) {
	if other := c.held[newKey]; other != nil {
		c.release(other)
	}
	delete(c.held, oldKey)
	moved := p.(*page)
	moved.key = newKey
	c.held[newKey] = moved
}

func (c *pageCache) Truncate(limit uint32) {
	for key, p := range c.held {
		if key >= limit {
			c.release(p)
		}
	}
}

func (c *pageCache) Shrink() {
	for len(c.kept) > 0 {
		c.release(c.kept[0])
	}
	for _, p := range c.spare {
		c.free(p)
	}
	c.spare = nil
}

func (c *pageCache) Destroy() {
	c.Truncate(0)
	c.Shrink()
	c.tls.Close()
}
