package sqlite

import (
	"sync"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/libc/sys/types"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// SQLite's own page cache keeps pages that it has read, including those with wrapped
// secrets, and frees them without clearing them. The cache in this file keeps a page only
// while SQLite has it pinned, for a statement or a transaction, and then overwrites it.
// The system's file cache makes up for most of the cost, and a server reads the secrets
// of a domain only once.

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
	spare       []*page // overwritten pages for reuse
}

// maxSpare is how many overwritten pages a connection keeps for reuse.
const maxSpare = 16

// page is one allocation outside the Go heap: a database page followed by SQLite's notes
// on it.
type page struct {
	key uint32
	at  unsafe.Pointer
	all []byte
	end unsafe.Pointer // end of the page and start of the notes
}

func (p *page) Buf() unsafe.Pointer   { return p.at }
func (p *page) Extra() unsafe.Pointer { return p.end }

func (c *pageCache) SetSize(int)    {}
func (c *pageCache) PageCount() int { return len(c.held) }

func (c *pageCache) Fetch(key uint32, mode driver.FetchMode) driver.Page {
	if p := c.held[key]; p != nil {
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
	delete(c.held, p.key)
	clear(p.all)
	if len(c.spare) < maxSpare {
		c.spare = append(c.spare, p)
		return
	}
	c.free(p)
}

func (c *pageCache) free(p *page) { libc.Xfree(c.tls, uintptr(p.at)) }

func (c *pageCache) Unpin(p driver.Page, _ bool) { c.release(p.(*page)) }

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
