package thrift

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"unsafe"
)

// Value is a value of any type.
type Value struct {
	ID    int16 // of a field of a struct
	Kind  byte
	Elem  byte    // List, Set: kind of the elements
	Num   int64   // True or False, integers
	Bytes []byte  // Binary; Double: its 8 bytes
	List  []Value // fields of a struct, elements of a list, keys and values of a map alternately
}

// Kinds of values. The kind of a boolean field is its value, True or False; in a list each
// boolean has a byte of its own.
const (
	True   = 1
	False  = 2
	Byte   = 3
	I16    = 4
	I32    = 5
	I64    = 6
	Double = 7
	Binary = 8
	List   = 9
	Set    = 10
	Map    = 11
	Struct = 12
)

// Errors of Read, found with errors.Is.
var (
	ErrDamaged = errors.New("metadata is damaged")
	ErrShort   = errors.New("metadata is cut short")
	ErrRoom    = errors.New("metadata holds more values than expected")
)

// ValueSize is the memory that a Value takes, without what it refers to.
const ValueSize = int64(unsafe.Sizeof(Value{}))

// reader reads at most room values from b.
type reader struct {
	b     []byte
	depth int
	room  int64
}

// Read reads the struct at the start of b and returns its length. Its Bytes alias b.
func Read(b []byte) (v Value, n int, err error) {
	return ReadWithin(b, math.MaxInt64)
}

// ReadWithin is Read for at most room values; more are ErrRoom. A byte of input can
// become a Value of ValueSize bytes, so callers that do not trust b bound it.
func ReadWithin(b []byte, room int64) (v Value, n int, err error) {
	r := &reader{b: b, room: room}
	v, err = r.value(Struct)
	return v, len(b) - len(r.b), err
}

func (r *reader) byte() (byte, error) {
	if len(r.b) == 0 {
		return 0, ErrShort
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c, nil
}

func (r *reader) uvarint() (uint64, error) {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		if n == 0 && len(r.b) < binary.MaxVarintLen64 {
			return 0, ErrShort
		}
		return 0, ErrDamaged
	}
	r.b = r.b[n:]
	return v, nil
}

func (r *reader) value(kind byte) (v Value, err error) {
	v.Kind = kind
	if r.room--; r.room < 0 {
		return v, ErrRoom
	}
	if r.depth++; r.depth > 32 {
		return v, ErrDamaged
	}
	defer func() { r.depth-- }()
	switch kind {
	case True, False:
		v.Num = int64(kind)
	case Byte:
		c, err := r.byte()
		v.Num = int64(int8(c))
		return v, err
	case I16, I32, I64:
		u, err := r.uvarint()
		v.Num = int64(u>>1) ^ -int64(u&1)
		return v, err
	case Double:
		return v, r.take(&v.Bytes, 8)
	case Binary:
		n, err := r.uvarint()
		if err != nil {
			return v, err
		}
		return v, r.take(&v.Bytes, n)
	case List, Set:
		c, err := r.byte()
		if err != nil {
			return v, err
		}
		n := uint64(c >> 4)
		v.Elem = c & 15
		if n == 15 {
			if n, err = r.uvarint(); err != nil {
				return v, err
			}
		}
		return v, r.elements(&v, n, v.Elem, v.Elem)
	case Map:
		n, err := r.uvarint()
		if err != nil || n == 0 {
			return v, err
		}
		if v.Elem, err = r.byte(); err != nil {
			return v, err
		}
		return v, r.elements(&v, 2*n, v.Elem>>4, v.Elem&15)
	case Struct:
		return v, r.fields(&v)
	default:
		return v, ErrDamaged
	}
	return v, nil
}

func (r *reader) fields(v *Value) error {
	id := int16(0)
	for {
		c, err := r.byte()
		if err != nil || c == 0 {
			return err
		}
		if c>>4 != 0 {
			id += int16(c >> 4)
		} else {
			u, err := r.uvarint()
			if err != nil {
				return err
			}
			id = int16(int64(u>>1) ^ -int64(u&1))
		}
		f, err := r.value(c & 15)
		if err != nil {
			return err
		}
		f.ID = id
		v.List = append(v.List, f)
	}
}

func (r *reader) take(dst *[]byte, n uint64) error {
	if n > uint64(len(r.b)) {
		return ErrShort
	}
	*dst, r.b = r.b[:n:n], r.b[n:]
	return nil
}

// elements reads n values, whose kinds alternate between a and b.
func (r *reader) elements(v *Value, n uint64, a, b byte) error {
	if n > uint64(len(r.b)) { // an element has at least one byte
		return ErrShort
	}
	if n > uint64(max(r.room, 0)) {
		return ErrRoom
	}
	v.List = make([]Value, n)
	for i := range v.List {
		k := a
		if i&1 == 1 {
			k = b
		}
		if k == True || k == False {
			c, err := r.byte()
			if err != nil {
				return err
			}
			v.List[i] = Value{Kind: k, Num: int64(c)}
			continue
		}
		var err error
		if v.List[i], err = r.value(k); err != nil {
			return err
		}
	}
	return nil
}

// Append appends the encoding of v to b.
func (v *Value) Append(b []byte) []byte {
	switch v.Kind {
	case Byte:
		return append(b, byte(v.Num))
	case I16, I32, I64:
		return binary.AppendUvarint(b, uint64(v.Num)<<1^uint64(v.Num>>63))
	case Double:
		return append(b, v.Bytes...)
	case Binary:
		return append(binary.AppendUvarint(b, uint64(len(v.Bytes))), v.Bytes...)
	case List, Set:
		if n := len(v.List); n < 15 {
			b = append(b, byte(n)<<4|v.Elem)
		} else {
			b = binary.AppendUvarint(append(b, 0xf0|v.Elem), uint64(n))
		}
		return v.appendElements(b)
	case Map:
		b = binary.AppendUvarint(b, uint64(len(v.List)/2))
		if len(v.List) > 0 {
			b = append(b, v.Elem)
		}
		return v.appendElements(b)
	case Struct:
		last := int16(0)
		for i := range v.List {
			f := &v.List[i]
			k := f.Kind
			if k == True || k == False {
				k = byte(f.Num)
			}
			if d := f.ID - last; d > 0 && d < 16 {
				b = append(b, byte(d)<<4|k)
			} else {
				b = binary.AppendUvarint(append(b, k), uint64(int64(f.ID))<<1^uint64(int64(f.ID)>>63))
			}
			last = f.ID
			b = f.Append(b)
		}
		return append(b, 0)
	}
	return b // a boolean field has only a header
}

func (v *Value) appendElements(b []byte) []byte {
	for i := range v.List {
		if k := v.List[i].Kind; k == True || k == False {
			b = append(b, byte(v.List[i].Num))
			continue
		}
		b = v.List[i].Append(b)
	}
	return b
}

// Field returns a field of a struct, or nil.
func (v *Value) Field(id int16) *Value {
	if v == nil {
		return nil
	}
	for i := range v.List {
		if v.List[i].ID == id {
			return &v.List[i]
		}
	}
	return nil
}

// Fields returns the fields of v, which may be nil.
func (v *Value) Fields() []Value {
	if v == nil {
		return nil
	}
	return v.List
}

// Int returns an integer field, or 0.
func (v *Value) Int(id int16) int64 {
	if f := v.Field(id); f != nil {
		return f.Num
	}
	return 0
}

// Text returns a binary field.
func (v *Value) Text(id int16) string {
	if f := v.Field(id); f != nil {
		return string(f.Bytes)
	}
	return ""
}

// Items returns the elements of a list field.
func (v *Value) Items(id int16) []Value {
	if f := v.Field(id); f != nil {
		return f.List
	}
	return nil
}

// Put sets an integer field of a struct, or inserts it by its id.
func (v *Value) Put(id int16, kind byte, n int64) {
	v.Replace(Value{ID: id, Kind: kind, Num: n})
}

// Replace sets a field of a struct, or inserts it by its id.
func (v *Value) Replace(with Value) {
	if f := v.Field(with.ID); f != nil {
		*f = with
		return
	}
	at := 0
	for at < len(v.List) && v.List[at].ID < with.ID {
		at++
	}
	v.List = slices.Insert(v.List, at, with)
}

// Set sets an integer field if the struct has it.
func (v *Value) Set(id int16, n int64) {
	if f := v.Field(id); f != nil {
		f.Num = n
	}
}

// Remove removes fields of v, which may be nil.
func (v *Value) Remove(ids ...int16) {
	if v != nil {
		v.List = slices.DeleteFunc(v.List, func(f Value) bool { return slices.Contains(ids, f.ID) })
	}
}

// Keep removes all fields of v, which may be nil, but one.
func (v *Value) Keep(id int16) {
	if v != nil {
		v.List = slices.DeleteFunc(v.List, func(f Value) bool { return f.ID != id })
	}
}
