package sqlite

import (
	"encoding/json"
	"time"
	"unsafe"

	"github.com/velonym/velonym/engine/keys"
	"github.com/velonym/velonym/engine/spec"
	lib "modernc.org/sqlite/lib"
)

// columns reads the current row of a direct reader's statement.
type columns struct {
	r         *reader
	statement uintptr
}

func (c columns) null(i int32) bool {
	return lib.Xsqlite3_column_type(c.r.tls, c.statement, i) == lib.SQLITE_NULL
}

func (c columns) integer(i int32) int64 {
	return lib.Xsqlite3_column_int64(c.r.tls, c.statement, i)
}

// time reads microseconds since 1970; NULL is the zero time.
func (c columns) time(i int32) time.Time {
	if c.null(i) {
		return time.Time{}
	}
	return time.UnixMicro(c.integer(i)).UTC()
}

// bytes returns the text or blob in SQLite's memory, valid until the next step.
func (c columns) bytes(i int32) []byte {
	p := lib.Xsqlite3_column_blob(c.r.tls, c.statement, i)
	if p == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(pointer(p)), lib.Xsqlite3_column_bytes(c.r.tls, c.statement, i))
}

// blob copies a blob, into the memory of room if it fits.
func (c columns) blob(i int32, room []byte) []byte { return append(room[:0], c.bytes(i)...) }

// oneOf returns the text of a column. It allocates memory only for a text that is not one of
// usual.
func oneOf[T ~string](c columns, i int32, usual ...T) T {
	b := c.bytes(i)
	for _, s := range usual {
		if string(b) == string(s) {
			return s
		}
	}
	return T(b)
}

// project reads projectColumns from column i on, for the project that the query named.
func (c columns) project(i int32, name string, p *keys.ProjectRow) bool {
	p.Name = oneOf(c, i, name)
	p.Method = oneOf(c, i+1, spec.Reversible, spec.Irreversible)
	p.Policy = oneOf(c, i+2, spec.Same, spec.Different)
	p.Form = oneOf(c, i+3, spec.Pair62, spec.Hex, spec.B64u, spec.B32, spec.UUID, spec.Digits)
	p.Tag = int(c.integer(i + 4))
	if orgs := c.bytes(i + 5); string(orgs) == `[""]` {
		p.Orgs = append(p.Orgs[:0], "")
	} else if json.Unmarshal(orgs, &p.Orgs) != nil {
		return false
	}
	p.Retention = c.time(i + 6)
	p.Imported = c.integer(i+7) != 0
	p.Created = c.time(i + 8)
	p.SeveredAt = c.time(i + 9)
	p.Severed = !c.null(i + 9)
	p.Reason = oneOf(c, i+10, "", keys.ReasonSevered, keys.ReasonRetention)
	p.KeysMAC = c.blob(i+11, p.KeysMAC)
	p.Seal = c.blob(i+12, p.Seal)
	p.Grace = time.Duration(c.integer(i+13)) * time.Second
	p.Ended, p.SeverAt = c.time(i+14), c.time(i+15)
	p.RotateEvery, p.RotateAt = time.Duration(c.integer(i+16))*time.Second, c.time(i+17)
	return true
}

// key reads a row of the query directKeys. It copies the wrapped secret once; SQLite
// overwrites its own copy.
func (c columns) key(d keys.Domain, k *keys.KeyRow) {
	k.Prj = d.Prj
	k.Org = oneOf(c, 0, d.Org)
	k.Gen = int(c.integer(1))
	k.State = oneOf(c, 2, keys.Active, keys.Deactivated, keys.Destroyed)
	k.Imported = c.integer(3) != 0
	k.Created, k.Destroyed = c.time(4), c.time(5)
	k.Wrapped = c.blob(6, k.Wrapped)
}
