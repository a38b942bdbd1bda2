package sqlite

import (
	"sync"
	"unsafe"

	"modernc.org/libc"
	"modernc.org/libc/sys/types"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// SQLite caches the pages that it reads, those with wrapped secrets too, and frees
// them as they are. This cache keeps a page no longer than SQLite holds on to it,
// for a statement or a transaction, and overwrites it then: the system's own cache
// makes up for most of what that costs, and a server reads a domain's secrets once.

var registerOnce sync.Once

// registerPages has all connections of this process use the cache. Where a program
// that embeds this package has opened SQLite before, its cache stays, and pages
// with wrapped secrets linger in memory.
func registerPages() {
	registerOnce.Do(func() {
		tls := libc.NewTLS()
		defer tls.Close()
		own := ownCache(tls)
		if driver.RegisterPageCache(pages{}) == nil {
			startOwnCache(tls, own)
		}
	})
}

// ownCache returns the function that starts SQLite's own cache, 0 if there is none.
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

// startOwnCache starts SQLite's own cache beside ours, which nothing then uses but its
// counters of allocations: their lock is made here, and without it connections that are
// opened at the same time race for the counters.
func startOwnCache(tls *libc.TLS, start uintptr) {
	if start == 0 || lib.Xsqlite3_initialize(tls) != lib.SQLITE_OK {
		return
	}
	// How the translated C calls through a pointer.
	(*(*func(*libc.TLS, uintptr) int32)(unsafe.Pointer(&struct{ uintptr }{start})))(tls, 0)
}

// pages implements [driver.PageCache].
type pages struct{}

func (pages) Create(pageSize, extraSize int, _ bool) (driver.Cache, error) {
	return &pageCache{tls: libc.NewTLS(), size: pageSize, extra: extraSize, held: map[uint32]*page{}}, nil
}

// pageCache is the pages of one connection. Its calls are serialised by SQLite.
type pageCache struct {
	tls         *libc.TLS
	size, extra int
	held        map[uint32]*page
	spare       []*page // overwritten
}

// maxSpare bounds the pages that are kept for the next statement.
const maxSpare = 16

// page is one allocation outside the Go heap: a database page, and behind it what
// SQLite notes of it.
type page struct {
	key uint32
	at  unsafe.Pointer
	all []byte
	end unsafe.Pointer // of the page, where the notes begin
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
	p := c.take()
	if p == nil {
		return nil
	}
	p.key = key
	c.held[key] = p
	return p
}

// take returns a page of zeros, nil when there is no memory.
func (c *pageCache) take() *page {
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
	at := *(*unsafe.Pointer)(unsafe.Pointer(&mem)) // no pointer into the Go heap
	return &page{at: at, all: unsafe.Slice((*byte)(at), n), end: unsafe.Add(at, c.size)}
}

// drop overwrites a page and takes it back.
func (c *pageCache) drop(p *page) {
	delete(c.held, p.key)
	clear(p.all)
	if len(c.spare) < maxSpare {
		c.spare = append(c.spare, p)
		return
	}
	c.free(p)
}

func (c *pageCache) free(p *page) { libc.Xfree(c.tls, uintptr(p.at)) }

func (c *pageCache) Unpin(p driver.Page, _ bool) { c.drop(p.(*page)) }

func (c *pageCache) Rekey(p driver.Page, oldKey, newKey uint32) {
	if other := c.held[newKey]; other != nil {
		c.drop(other)
	}
	delete(c.held, oldKey)
	moved := p.(*page)
	moved.key = newKey
	c.held[newKey] = moved
}

func (c *pageCache) Truncate(limit uint32) {
	for key, p := range c.held {
		if key >= limit {
			c.drop(p)
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
