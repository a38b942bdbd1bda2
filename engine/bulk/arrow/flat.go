package arrow

import "encoding/binary"

// flat reads a FlatBuffer that may hold anything. A read outside of it returns 0 and sets
// damaged.
//
// Source: flatbuffers.dev, "FlatBuffer Internals".
type flat struct {
	b       []byte
	damaged bool
}

// table is a table of a FlatBuffer; the zero value has no field.
type table struct {
	f         *flat
	at        int
	fields, n int // offset and length of its vtable
}

// bytes returns the n bytes at an offset, or nil if they are not all inside.
func (f *flat) bytes(at, n int) []byte {
	if at < 0 || n < 0 || at > len(f.b)-n {
		f.damaged = true
		return nil
	}
	return f.b[at : at+n]
}

func (f *flat) u16(at int) uint16 {
	if b := f.bytes(at, 2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (f *flat) u32(at int) uint32 {
	if b := f.bytes(at, 4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (f *flat) i64(at int) int64 {
	if b := f.bytes(at, 8); b != nil {
		return int64(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// root returns the root table.
func (f *flat) root() table { return f.table(int(f.u32(0))) }

func (f *flat) table(at int) table {
	t := table{f: f, at: at}
	t.fields = at - int(int32(f.u32(at)))
	t.n = int(f.u16(t.fields))
	if f.bytes(t.fields, t.n) == nil || t.n < 4 {
		f.damaged = true
		return table{}
	}
	return t
}

// field returns the offset of a field in the buffer, or 0 if the table has none.
func (t table) field(slot int) int {
	if t.f == nil || 4+2*slot+2 > t.n {
		return 0
	}
	if d := int(t.f.u16(t.fields + 4 + 2*slot)); d > 0 {
		return t.at + d
	}
	return 0
}

func (t table) i64(slot int) int64 {
	if at := t.field(slot); at > 0 {
		return t.f.i64(at)
	}
	return 0
}

func (t table) i32(slot int, absent int32) int32 {
	if at := t.field(slot); at > 0 {
		return int32(t.f.u32(at))
	}
	return absent
}

func (t table) i16(slot int) int16 {
	if at := t.field(slot); at > 0 {
		return int16(t.f.u16(at))
	}
	return 0
}

func (t table) u8(slot int) byte {
	if at := t.field(slot); at > 0 {
		if b := t.f.bytes(at, 1); b != nil {
			return b[0]
		}
	}
	return 0
}

// table returns the table in a field, or one without fields.
func (t table) table(slot int) table {
	if at := t.field(slot); at > 0 {
		return t.f.table(at + int(t.f.u32(at)))
	}
	return table{}
}

// vector returns the offset of the first of n elements of size bytes each.
func (t table) vector(slot, size int) (at, n int) {
	field := t.field(slot)
	if field == 0 {
		return 0, 0
	}
	at = field + int(t.f.u32(field))
	n = int(t.f.u32(at))
	if n > len(t.f.b) || t.f.bytes(at+4, n*size) == nil {
		t.f.damaged = true
		return 0, 0
	}
	return at + 4, n
}

// tables returns the tables of a vector.
func (t table) tables(slot int) []table {
	at, n := t.vector(slot, 4)
	all := make([]table, n)
	for i := range all {
		all[i] = t.f.table(at + 4*i + int(t.f.u32(at+4*i)))
	}
	return all
}

// text returns a string field.
func (t table) text(slot int) string {
	if at, n := t.vector(slot, 1); n > 0 {
		return string(t.f.bytes(at, n))
	}
	return ""
}

// pairs returns a vector of tables KeyValue. If together they are longer than the buffer,
// which needs shared text, the buffer is damaged.
func (t table) pairs(slot int) []pair {
	size := 0
	var all []pair
	for _, p := range t.tables(slot) {
		next := pair{p.text(0), p.text(1)}
		if size += len(next.key) + len(next.value); size > len(t.f.b) {
			t.f.damaged = true
			return nil
		}
		all = append(all, next)
	}
	return all
}
