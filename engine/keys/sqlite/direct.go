package sqlite

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"unsafe"

	"github.com/velonym/velonym/engine/keys"
	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"
)

// Every token that a server has not seen costs one read of its domain. Package
// database/sql and the driver add several times the time that SQLite needs. A direct reader
// therefore calls SQLite itself, on a connection of its own that only reads. Memory that it
// frees is overwritten as for the other connections: see memory.go and pages.go.

const (
	// directProject yields one row always: the project's columns are NULL if there is
	// none.
	directProject = "SELECT n, (SELECT value FROM meta WHERE name = ?3), (SELECT doc FROM seal_list WHERE bucket = ?2), " +
		projectColumns + " FROM change_number LEFT JOIN project ON name = ?1"
	directKeys = "SELECT org, gen, state, imported, created, destroyed, iif(org = ?2, (SELECT wrapped FROM secret WHERE id = secret), NULL)" +
		" FROM generation WHERE prj = ?1 ORDER BY org, gen"
)

// maxReaders is the greatest number of direct reads at a time.
const maxReaders = 8

// reader is a connection for direct reads. One goroutine uses it at a time.
type reader struct {
	tls           *libc.TLS
	db            uintptr
	project, keys uintptr // prepared statements
	text          uintptr // C memory for the texts of the parameters
}

// maxParameter is the greatest length in bytes of a parameter.
const maxParameter = 255

var errDirect = errors.New("sqlite: no direct reader")

// openReader opens a connection. After any error, reads use View instead.
func openReader(path string) (*reader, error) {
	r := &reader{tls: libc.NewTLS()}
	if err := r.open(path); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *reader) open(path string) error {
	name, err := libc.CString("file:" + (&url.URL{Path: path}).EscapedPath() + "?mode=rw")
	if err != nil {
		return err
	}
	defer libc.Xfree(r.tls, name)
	out := libc.Xcalloc(r.tls, 1, 16)
	r.text = libc.Xcalloc(r.tls, 3, maxParameter)
	if out == 0 || r.text == 0 {
		return errDirect
	}
	defer libc.Xfree(r.tls, out)
	rc := lib.Xsqlite3_open_v2(r.tls, name, out, lib.SQLITE_OPEN_READWRITE|lib.SQLITE_OPEN_URI|lib.SQLITE_OPEN_NOMUTEX, 0)
	r.db = *(*uintptr)(pointer(out))
	if rc != lib.SQLITE_OK {
		return errDirect
	}
	// The last connection to close would delete the log: see copied.go.
	*(*int32)(pointer(out)) = 1
	if lib.Xsqlite3_file_control(r.tls, r.db, 0, lib.SQLITE_FCNTL_PERSIST_WAL, out) != lib.SQLITE_OK {
		return errDirect
	}
	pragmas, err := libc.CString("PRAGMA query_only = ON; PRAGMA secure_delete = ON; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 0; PRAGMA trusted_schema = OFF")
	if err != nil {
		return err
	}
	defer libc.Xfree(r.tls, pragmas)
	if lib.Xsqlite3_exec(r.tls, r.db, pragmas, 0, 0, 0) != lib.SQLITE_OK {
		return errDirect
	}
	for statement, query := range map[*uintptr]string{&r.project: directProject, &r.keys: directKeys} {
		q, err := libc.CString(query)
		if err != nil {
			return err
		}
		rc := lib.Xsqlite3_prepare_v3(r.tls, r.db, q, -1, lib.SQLITE_PREPARE_PERSISTENT, out, 0)
		libc.Xfree(r.tls, q)
		if rc != lib.SQLITE_OK {
			return errDirect
		}
		*statement = *(*uintptr)(pointer(out))
	}
	return nil
}

func (r *reader) close() {
	if r.db != 0 {
		lib.Xsqlite3_finalize(r.tls, r.project)
		lib.Xsqlite3_finalize(r.tls, r.keys)
		lib.Xsqlite3_close_v2(r.tls, r.db)
	}
	if r.text != 0 {
		libc.Xfree(r.tls, r.text)
	}
	r.tls.Close()
}

// pointer returns an address outside the Go heap as a pointer.
func pointer(p uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&p)) }

// bindText binds s to parameter n of a statement and keeps the text in part n of r.text.
func (r *reader) bindText(statement uintptr, n int32, s string) bool {
	if len(s) > maxParameter {
		return false
	}
	at := r.text + uintptr(n-1)*maxParameter
	copy(unsafe.Slice((*byte)(pointer(at)), maxParameter), s)
	return lib.Xsqlite3_bind_text(r.tls, statement, n, at, int32(len(s)), 0) == lib.SQLITE_OK
}

// domain answers q. It returns false if anything fails; the caller then uses View, which
// returns the error.
func (r *reader) domain(q keys.DomainQuery, rows *keys.DomainRows) bool {
	defer lib.Xsqlite3_reset(r.tls, r.project)
	if !r.bindText(r.project, 1, q.Prj) || !r.bindText(r.project, 3, q.Meta) ||
		lib.Xsqlite3_bind_int64(r.tls, r.project, 2, int64(q.Bucket)) != lib.SQLITE_OK ||
		lib.Xsqlite3_step(r.tls, r.project) != lib.SQLITE_ROW {
		return false
	}
	c := columns{r, r.project}
	rows.Change = uint64(c.integer(0))
	rows.Meta = c.blob(1, rows.Meta)
	rows.SealList = c.blob(2, rows.SealList)
	if c.null(3) {
		return true
	}
	if !c.project(3, q.Prj, &rows.Project) {
		return false
	}
	// The first statement is not reset yet, so both read the same state.
	defer lib.Xsqlite3_reset(r.tls, r.keys)
	if !r.bindText(r.keys, 1, q.Prj) || !r.bindText(r.keys, 2, q.Org) {
		return false
	}
	c.statement = r.keys
	for {
		switch lib.Xsqlite3_step(r.tls, r.keys) {
		case lib.SQLITE_DONE:
			return true
		case lib.SQLITE_ROW:
			c.key(q.Domain, rows.AddKey())
		default:
			return false
		}
	}
}

// readers holds the idle connections of direct reads, the most recently used last.
type readers struct {
	mu   sync.Mutex
	idle []*reader
	open int // idle and in use
	most int // greatest number of open connections; 0 for none
}

// take returns a reader, or nil if the greatest number is in use or none can be opened.
func (p *readers) take(path string) *reader {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		r := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return r
	}
	if p.open >= p.most {
		p.mu.Unlock()
		return nil
	}
	p.open++
	p.mu.Unlock()
	r, err := openReader(path)
	if err != nil {
		p.mu.Lock()
		p.open--
		p.mu.Unlock()
		return nil
	}
	return r
}

func (p *readers) put(r *reader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, r)
}

// close closes all readers, none of which may be in use.
func (p *readers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.idle {
		r.close()
	}
	p.idle, p.open, p.most = nil, 0, 0
}

// Domain implements [keys.Store]. It does not return at the end of ctx while the disk does not
// answer.
func (s *Store) Domain(ctx context.Context, q keys.DomainQuery, rows *keys.DomainRows) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	r := s.readers.take(s.path)
	if r == nil {
		return false, nil
	}
	defer s.readers.put(r)
	rows.Reset()
	if !r.domain(q, rows) {
		rows.Reset()
		return false, nil
	}
	s.directReads.Add(1)
	return true, nil
}
