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
	storage    // of a dictionary's values, if it has one
	typeName   string
	unfit      error // why the values are no identifiers; nil if they may be
	table      table
	metadata   []pair
	name       string
	nullable   bool
	dictionary bool  // values are indexes into a dictionary
	id         int64 // of the dictionary
	indexWidth int   // of an index, in bytes
	signed     bool  // indexes are signed
	dense      bool  // for a union: it is dense
	size       int64 // for a list of fixed size: items per list
	parent     *field
	children   []*field
	inner      []*field // children of the values of a dictionary, for which batches have no nodes
	index      int      // in preorder, the order of a batch's nodes
	retyped    *newType // type in the output; nil if it is that of the input
}

// pair is one entry of metadata.
type pair struct{ key, value string }

// names returns the names from the top. The only child of a list has none.
func (f *field) names() (names []string) {
	for ; f != nil; f = f.parent {
		if f.parent == nil || !f.parent.isList() {
			names = append([]string{f.name}, names...)
		}
	}
	return names
}

// path returns the names from the top, joined by dots.
func (f *field) path() string { return strings.Join(f.names(), ".") }

func (f *field) isList() bool {
	switch f.kind {
	case kindList, kindLargeList, kindFixedSizeList, kindMap, kindListView, kindLargeListView:
		return true
	}
	return false
}

// schema is the fields of an input.
type schema struct {
	table    table
	metadata []pair
	top      []*field
	fields   []*field      // in preorder, without those inside a dictionary
	users    map[int64]int // number of fields that use a dictionary, by its id
	seen     int           // fields read, those inside a dictionary included
	old      bool          // metadata version 4, in which a union has a validity buffer
}

const metadataV5 = 4 // number of the version that writers use today

var errSchema = errors.New("the schema is damaged")

// maxDepth bounds how deeply fields may be nested.
const maxDepth = 64

// readSchema reads a table Schema.
func readSchema(t table, version int16) (*schema, error) {
	s := &schema{table: t, metadata: t.pairs(2), users: map[int64]int{}, old: version < 4}
	if version < 3 || version > 4 {
		return nil, fmt.Errorf("is of metadata version %d, which is not read; write it anew with a program of today", version+1)
	}
	if t.i16(0) != 0 {
		return nil, errors.New("its numbers are big endian; write it anew on a little-endian machine")
	}
	for _, c := range t.tables(1) {
		f, err := s.read(c, nil, 0, true)
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

// read reads a field and its children. node says that batches have a node for it.
func (s *schema) read(t table, parent *field, depth int, node bool) (*field, error) {
	if s.seen++; t.f == nil || depth > maxDepth || s.seen > len(t.f.b)/16 {
		return nil, errSchema
	}
	f := &field{table: t, name: t.text(0), nullable: t.u8(1) != 0, storage: storage{kind: kind(t.u8(2))}, parent: parent, index: len(s.fields), metadata: t.pairs(6)}
	if f.kind == 0 || int(f.kind) >= len(kindNames) {
		return nil, fmt.Errorf("column %s is of a type that is not known", quote(f.path()))
	}
	of := t.table(3)
	f.identify(of)
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
		s.users[f.id]++
	}
	switch f.kind {
	case kindUnion:
		f.dense = of.i16(0) == 1
	case kindFixedSizeList:
		f.size = int64(of.i32(0, 0))
	}
	if node {
		s.fields = append(s.fields, f)
	}
	for _, c := range t.tables(5) {
		child, err := s.read(c, f, depth+1, node && !f.dictionary)
		if err != nil {
			return nil, err
		}
		if f.dictionary || !node {
			f.inner = append(f.inner, child)
		} else {
			f.children = append(f.children, child)
		}
	}
	if f.isList() && len(f.children)+len(f.inner) != 1 {
		return nil, errSchema
	}
	return f, nil
}

// buffers returns how many buffers a batch has for the field itself, not counting those of
// its children and variadic ones, and whether it has variadic ones.
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

// replaceable returns why the values of a field cannot be replaced, nil if they can.
func (f *field) replaceable() error {
	for p := f.parent; p != nil; p = p.parent {
		switch p.kind {
		case kindStruct, kindList, kindLargeList, kindFixedSizeList, kindMap:
		default:
			return fmt.Errorf("lies in a column of type %s, which is not read; make a column of its own of it", p.kind)
		}
	}
	if len(f.children)+len(f.inner) > 0 {
		return fmt.Errorf("is of type %s and holds columns of its own; name one of those", f.kind)
	}
	return f.unfit
}
