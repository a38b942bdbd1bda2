package bulk

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"unsafe"
)

// A thrift value in the compact protocol, whatever it means: Parquet's footer and
// page headers are read into these, edited in place and written again, so that
// what this version of the code knows nothing of is kept.
//
// Source: apache/thrift, doc/specs/thrift-compact-protocol.md.
type thriftValue struct {
	id    int16 // as a field of a struct
	kind  byte
	elem  byte          // list, set: kind of the elements
	num   int64         // bool (1, 2), integers
	bytes []byte        // binary; double: its 8 bytes
	list  []thriftValue // fields of a struct, elements of a list, keys and values of a map in turn
}

// Kinds of the compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftMap    = 11
	thriftStruct = 12
)

var (
	errThrift      = errors.New("metadata is damaged")
	errThriftShort = errors.New("metadata is cut short")
	errThriftRoom  = errors.New("metadata holds more values than expected")
)

// thriftValueSize is what a thriftValue takes in memory, what it refers to aside.
const thriftValueSize = int64(unsafe.Sizeof(thriftValue{}))

// thriftReader reads values from b, no more than room.
type thriftReader struct {
	b     []byte
	depth int
	room  int64
}

// readThrift reads a struct from the start of b and returns how long it is.
func readThrift(b []byte) (v thriftValue, n int, err error) {
	return readThriftWithin(b, math.MaxInt64)
}

// readThriftWithin is readThrift for at most so many values, since a byte of a list
// may unfold to a value.
func readThriftWithin(b []byte, room int64) (v thriftValue, n int, err error) {
	r := &thriftReader{b: b, room: room}
	v, err = r.value(thriftStruct)
	return v, len(b) - len(r.b), err
}

func (r *thriftReader) byte() (byte, error) {
	if len(r.b) == 0 {
		return 0, errThriftShort
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c, nil
}

func (r *thriftReader) uvarint() (uint64, error) {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		if n == 0 && len(r.b) < binary.MaxVarintLen64 {
			return 0, errThriftShort
		}
		return 0, errThrift
	}
	r.b = r.b[n:]
	return v, nil
}

func (r *thriftReader) value(kind byte) (v thriftValue, err error) {
	v.kind = kind
	if r.room--; r.room < 0 {
		return v, errThriftRoom
	}
	if r.depth++; r.depth > 32 {
		return v, errThrift
	}
	defer func() { r.depth-- }()
	switch kind {
	case thriftTrue, thriftFalse:
		v.num = int64(kind)
	case thriftByte:
		c, err := r.byte()
		v.num = int64(int8(c))
		return v, err
	case thriftI16, thriftI32, thriftI64:
		u, err := r.uvarint()
		v.num = int64(u>>1) ^ -int64(u&1)
		return v, err
	case thriftDouble:
		return v, r.take(&v.bytes, 8)
	case thriftBinary:
		n, err := r.uvarint()
		if err != nil {
			return v, err
		}
		return v, r.take(&v.bytes, n)
	case thriftList, thriftSet:
		c, err := r.byte()
		if err != nil {
			return v, err
		}
		n := uint64(c >> 4)
		v.elem = c & 15
		if n == 15 {
			if n, err = r.uvarint(); err != nil {
				return v, err
			}
		}
		return v, r.elements(&v, n, v.elem, v.elem)
	case thriftMap:
		n, err := r.uvarint()
		if err != nil || n == 0 {
			return v, err
		}
		if v.elem, err = r.byte(); err != nil {
			return v, err
		}
		return v, r.elements(&v, 2*n, v.elem>>4, v.elem&15)
	case thriftStruct:
		id := int16(0)
		for {
			c, err := r.byte()
			if err != nil {
				return v, err
			}
			if c == 0 {
				return v, nil
			}
			if c>>4 != 0 {
				id += int16(c >> 4)
			} else {
				u, err := r.uvarint()
				if err != nil {
					return v, err
				}
				id = int16(int64(u>>1) ^ -int64(u&1))
			}
			f, err := r.value(c & 15)
			if err != nil {
				return v, err
			}
			f.id = id
			v.list = append(v.list, f)
		}
	default:
		return v, errThrift
	}
	return v, nil
}

func (r *thriftReader) take(dst *[]byte, n uint64) error {
	if n > uint64(len(r.b)) {
		return errThriftShort
	}
	*dst, r.b = r.b[:n:n], r.b[n:]
	return nil
}

// elements reads n values whose kinds are a and b in turn.
func (r *thriftReader) elements(v *thriftValue, n uint64, a, b byte) error {
	if n > uint64(len(r.b)) { // an element has a byte at least
		return errThriftShort
	}
	if n > uint64(max(r.room, 0)) {
		return errThriftRoom
	}
	v.list = make([]thriftValue, n)
	for i := range v.list {
		k := a
		if i&1 == 1 {
			k = b
		}
		if k == thriftTrue || k == thriftFalse { // within lists a byte of its own
			c, err := r.byte()
			if err != nil {
				return err
			}
			v.list[i] = thriftValue{kind: k, num: int64(c)}
			continue
		}
		var err error
		if v.list[i], err = r.value(k); err != nil {
			return err
		}
	}
	return nil
}

// append writes v behind b.
func (v *thriftValue) append(b []byte) []byte {
	switch v.kind {
	case thriftByte:
		return append(b, byte(v.num))
	case thriftI16, thriftI32, thriftI64:
		return binary.AppendUvarint(b, uint64(v.num)<<1^uint64(v.num>>63))
	case thriftDouble:
		return append(b, v.bytes...)
	case thriftBinary:
		return append(binary.AppendUvarint(b, uint64(len(v.bytes))), v.bytes...)
	case thriftList, thriftSet:
		if n := len(v.list); n < 15 {
			b = append(b, byte(n)<<4|v.elem)
		} else {
			b = binary.AppendUvarint(append(b, 0xf0|v.elem), uint64(n))
		}
		return v.appendElements(b)
	case thriftMap:
		b = binary.AppendUvarint(b, uint64(len(v.list)/2))
		if len(v.list) > 0 {
			b = append(b, v.elem)
		}
		return v.appendElements(b)
	case thriftStruct:
		last := int16(0)
		for i := range v.list {
			f := &v.list[i]
			k := f.kind
			if k == thriftTrue || k == thriftFalse {
				k = byte(f.num)
			}
			if d := f.id - last; d > 0 && d < 16 {
				b = append(b, byte(d)<<4|k)
			} else {
				b = binary.AppendUvarint(append(b, k), uint64(int64(f.id))<<1^uint64(int64(f.id)>>63))
			}
			last = f.id
			b = f.append(b)
		}
		return append(b, 0)
	}
	return b // bool fields are in their header
}

func (v *thriftValue) appendElements(b []byte) []byte {
	for i := range v.list {
		if k := v.list[i].kind; k == thriftTrue || k == thriftFalse {
			b = append(b, byte(v.list[i].num))
			continue
		}
		b = v.list[i].append(b)
	}
	return b
}

// field returns the field of a struct, nil if it is not there.
func (v *thriftValue) field(id int16) *thriftValue {
	if v == nil {
		return nil
	}
	for i := range v.list {
		if v.list[i].id == id {
			return &v.list[i]
		}
	}
	return nil
}

// fields returns the fields of a struct that may be missing.
func (v *thriftValue) fields() []thriftValue {
	if v == nil {
		return nil
	}
	return v.list
}

// int returns an integer field, 0 if it is not there.
func (v *thriftValue) int(id int16) int64 {
	if f := v.field(id); f != nil {
		return f.num
	}
	return 0
}

// text returns a binary field.
func (v *thriftValue) text(id int16) string {
	if f := v.field(id); f != nil {
		return string(f.bytes)
	}
	return ""
}

// items returns the elements of a list field.
func (v *thriftValue) items(id int16) []thriftValue {
	if f := v.field(id); f != nil {
		return f.list
	}
	return nil
}

// put sets an integer field of a struct, or adds it in the order of the ids.
func (v *thriftValue) put(id int16, kind byte, n int64) {
	v.replace(thriftValue{id: id, kind: kind, num: n})
}

// replace sets a field of a struct, or adds it in the order of the ids.
func (v *thriftValue) replace(with thriftValue) {
	if f := v.field(with.id); f != nil {
		*f = with
		return
	}
	at := 0
	for at < len(v.list) && v.list[at].id < with.id {
		at++
	}
	v.list = slices.Insert(v.list, at, with)
}

// set sets an integer field that is there.
func (v *thriftValue) set(id int16, n int64) {
	if f := v.field(id); f != nil {
		f.num = n
	}
}

// remove removes a field.
func (v *thriftValue) remove(ids ...int16) {
	if v == nil {
		return
	}
	kept := v.list[:0]
	for _, f := range v.list {
		drop := false
		for _, id := range ids {
			drop = drop || f.id == id
		}
		if !drop {
			kept = append(kept, f)
		}
	}
	v.list = kept
}
