package arrow

import (
	"errors"
	"fmt"
	"strings"
)

// kind is a type, by its number in the union Type of Schema.fbs.
type kind byte

const (
	kindNull            kind = 1
	kindInt             kind = 2
	kindFloat           kind = 3
	kindBinary          kind = 4
	kindUtf8            kind = 5
	kindBool            kind = 6
	kindDecimal         kind = 7
	kindDate            kind = 8
	kindTime            kind = 9
	kindTimestamp       kind = 10
	kindInterval        kind = 11
	kindList            kind = 12
	kindStruct          kind = 13
	kindUnion           kind = 14
	kindFixedSizeBinary kind = 15
	kindFixedSizeList   kind = 16
	kindMap             kind = 17
	kindDuration        kind = 18
	kindLargeBinary     kind = 19
	kindLargeUtf8       kind = 20
	kindLargeList       kind = 21
	kindRunEndEncoded   kind = 22
	kindBinaryView      kind = 23
	kindUtf8View        kind = 24
	kindListView        kind = 25
	kindLargeListView   kind = 26
)

var kindNames = [...]string{"none", "null", "int", "floating point", "binary", "utf8", "bool", "decimal", "date", "time", "timestamp",
	"interval", "list", "struct", "union", "fixed-size binary", "fixed-size list", "map", "duration", "large binary", "large utf8",
	"large list", "run-end encoded", "binary view", "utf8 view", "list view", "large list view"}

// String returns the type's name.
func (k kind) String() string { return kindNames[k] }

// field is a field of a schema, at any depth.
type field struct {
	name       string
	nullable   bool
	kind       kind
	dictionary bool  // values are indexes of one; kind is that of its values
	id         int64 // of the dictionary
	indexWidth int   // bytes
	signed     bool  // indexes are
	dense      bool  // of a union
	size       int64 // of a list of fixed size
	parent     *field
	children   []*field
	index      int // in preorder, which is that of a batch's nodes
}

// path returns the names from the top, joined by dots. The only child of a list has none.
func (f *field) path() string {
	var names []string
	for ; f != nil; f = f.parent {
		if f.parent == nil || !f.parent.isList() {
			names = append([]string{f.name}, names...)
		}
	}
	return strings.Join(names, ".")
}

func (f *field) isList() bool {
	switch f.kind {
	case kindList, kindLargeList, kindFixedSizeList, kindMap, kindListView, kindLargeListView:
		return true
	}
	return false
}

// schema is the fields of an input.
type schema struct {
	top    []*field
	fields []*field // in preorder; those within a dictionary are not among them
	seen   int
	old    bool // metadata version 4, in which a union has a validity buffer
}

var errSchema = errors.New("the schema is damaged")

// maxDepth bounds how deeply fields may be nested.
const maxDepth = 64

// readSchema reads a table Schema.
func readSchema(t table, version int16) (*schema, error) {
	s := &schema{old: version < 4}
	if version < 3 || version > 4 {
		return nil, fmt.Errorf("is of metadata version %d, which is not read; write it anew with a program of today", version+1)
	}
	if t.i16(0) != 0 {
		return nil, errors.New("its numbers are big endian; write it anew on a little-endian machine")
	}
	for _, c := range t.tables(1) {
		f, err := s.read(c, nil, 0)
		if err != nil {
			return nil, err
		}
		s.top = append(s.top, f)
	}
	if t.f == nil || t.f.damaged {
		return nil, errSchema
	}
	return s, nil
}

func (s *schema) read(t table, parent *field, depth int) (*field, error) {
	if s.seen++; t.f == nil || depth > maxDepth || s.seen > len(t.f.b)/16 {
		return nil, errSchema
	}
	f := &field{name: t.text(0), nullable: t.u8(1) != 0, kind: kind(t.u8(2)), parent: parent, index: len(s.fields)}
	if f.kind == 0 || int(f.kind) >= len(kindNames) {
		return nil, fmt.Errorf("column %s is of a type that is not known", quote(f.path()))
	}
	of := t.table(3)
	if d := t.table(4); d.f != nil {
		index := d.table(1)
		f.dictionary, f.id, f.indexWidth, f.signed = true, d.i64(0), 4, true
		if index.f != nil {
			f.indexWidth, f.signed = int(index.i32(0, 0))/8, index.u8(1) != 0
		}
		switch f.indexWidth {
		case 1, 2, 4, 8:
		default:
			return nil, errSchema
		}
	}
	switch f.kind {
	case kindUnion:
		f.dense = of.i16(0) == 1
	case kindFixedSizeList:
		f.size = int64(of.i32(0, 0))
	}
	s.fields = append(s.fields, f)
	if f.dictionary {
		return f, nil
	}
	for _, c := range t.tables(5) {
		child, err := s.read(c, f, depth+1)
		if err != nil {
			return nil, err
		}
		f.children = append(f.children, child)
	}
	if f.isList() && len(f.children) != 1 {
		return nil, errSchema
	}
	return f, nil
}

// buffers returns how many buffers a batch has of the field itself, those of its
// children and the variadic ones aside.
func (s *schema) buffers(f *field) (n int, variadic bool) {
	switch {
	case f.dictionary:
		return 2, false
	case f.kind == kindNull, f.kind == kindRunEndEncoded:
		return 0, false
	case f.kind == kindStruct, f.kind == kindFixedSizeList:
		return 1, false
	case f.kind == kindUtf8, f.kind == kindBinary, f.kind == kindLargeUtf8, f.kind == kindLargeBinary, f.kind == kindListView, f.kind == kindLargeListView:
		return 3, false
	case f.kind == kindUnion:
		n = 1
		if f.dense {
			n++
		}
		if s.old {
			n++
		}
		return n, false
	case f.kind == kindUtf8View, f.kind == kindBinaryView:
		return 2, true
	}
	return 2, false
}

// replaceable says why the values of a field cannot be replaced, or returns nil.
func (f *field) replaceable() error {
	for p := f.parent; p != nil; p = p.parent {
		switch p.kind {
		case kindStruct, kindList, kindLargeList, kindFixedSizeList, kindMap:
		default:
			return fmt.Errorf("lies in a column of type %s, which is not read; make a column of its own of it", p.kind)
		}
	}
	switch {
	case f.wide() || f.kind == kindUtf8 || f.kind == kindBinary:
		return nil
	case f.view() && !f.dictionary:
		return nil
	case len(f.children) > 0:
		return fmt.Errorf("is of type %s and holds columns of its own; name one of those", f.kind)
	}
	return fmt.Errorf("is of type %s, not text; cast it to a string first", f.kind)
}

// view says whether the field's values are views.
func (f *field) view() bool { return f.kind == kindUtf8View || f.kind == kindBinaryView }

// wide says whether the field's offsets are of 64 bits.
func (f *field) wide() bool { return f.kind == kindLargeUtf8 || f.kind == kindLargeBinary }
