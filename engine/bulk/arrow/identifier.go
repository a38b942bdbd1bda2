package arrow

import (
	"fmt"

	"github.com/velonym/velonym/engine/bulk/internal/typed"
)

// storage is how the values of a field, or of its dictionary, are stored.
type storage struct {
	kind   kind
	layout *typed.Layout // of numbers, UUIDs and bytes of a fixed length; nil for text
}

// text is the storage in the output of columns that were of another type.
var text = storage{kind: kindUtf8}

// view reports whether the values are views.
func (t storage) view() bool { return t.kind == kindUtf8View || t.kind == kindBinaryView }

// narrow reports whether the values are text with offsets of 32 bits.
func (t storage) narrow() bool { return t.kind == kindUtf8 || t.kind == kindBinary }

// wide reports whether the values are text with offsets of 64 bits.
func (t storage) wide() bool { return t.kind == kindLargeUtf8 || t.kind == kindLargeBinary }

// Keys of a field's metadata that declare an extension type, and the canonical extension
// types that decide what a value is.
const (
	extensionName     = "ARROW:extension:name"
	extensionMetadata = "ARROW:extension:metadata"
	extensionUUID     = "arrow.uuid"
	extensionBool     = "arrow.bool8"
)

const castTime = "cast it to a string first, in the form that the same dates have elsewhere, as 2025-01-31"

// identify sets how the values of a field are stored, or f.unfit if they are no identifiers.
// of is the table of the field's type.
func (f *field) identify(of table) {
	f.typeName = f.kind.String()
	extension := f.extension()
	l := &typed.Layout{}
	switch f.kind {
	case kindUtf8, kindBinary, kindLargeUtf8, kindLargeBinary, kindUtf8View, kindBinaryView:
		return
	case kindInt:
		size := int(of.i32(0, 0)) / 8
		l.Type, l.Width = typed.Type{Kind: typed.Uint, Size: size}, size
		if of.u8(1) != 0 {
			l.Type.Kind = typed.Int
		}
		f.typeName = l.Type.String()
		if extension == extensionBool {
			f.typeName, f.unfit = "bool", fmt.Errorf("is of type bool, which identifies nobody; leave it out")
			return
		}
	case kindDecimal:
		precision, scale, width := of.i32(0, 0), of.i32(1, 0), of.i32(2, 128)
		f.typeName = fmt.Sprintf("decimal%d(%d, %d)", width, precision, scale)
		if scale != 0 {
			f.unfit = fmt.Errorf("is of type %s, whose numbers have a fraction or lack digits; cast it to scale 0 or to a string first", f.typeName)
			return
		}
		l.Type, l.Width = typed.Type{Kind: typed.Decimal, Precision: int(precision)}, int(width)/8
	case kindFixedSizeBinary:
		l.Width = int(of.i32(0, 0))
		l.Type = typed.Type{Kind: typed.Fixed, Size: l.Width}
		f.typeName = fmt.Sprintf("fixed-size binary(%d)", l.Width)
		if extension == extensionUUID {
			l.Type, f.typeName = typed.Type{Kind: typed.UUID}, "uuid"
		}
	default:
		f.unfit = unfit(f)
		return
	}
	if !l.Valid() || l.Type.Kind != typed.Decimal && l.Width != l.Type.Size && l.Type.Kind != typed.UUID || l.Width == 0 {
		f.unfit = fmt.Errorf("is of type %s, which is none: the schema is damaged", f.typeName)
		return
	}
	f.layout = l
}

// unfit returns why the values of a field are no identifiers, as the rest of a sentence that
// begins with the column's name.
func unfit(f *field) error {
	switch f.kind {
	case kindBool:
		return fmt.Errorf("is of type bool, which identifies nobody; leave it out")
	case kindFloat:
		return fmt.Errorf("is of type %s, whose numbers have more than one text; cast it to an integer or to a string first", f.kind)
	case kindDate, kindTime, kindTimestamp:
		return fmt.Errorf("is of type %s; %s", f.kind, castTime)
	case kindNull:
		return fmt.Errorf("is of type null: it holds no value; leave it out")
	}
	return fmt.Errorf("is of type %s, whose values are no identifiers; cast it to a string first", f.kind)
}

// extension returns the name of the extension type that the field declares, or "".
func (f *field) extension() string {
	for _, p := range f.metadata {
		if p.key == extensionName {
			return p.value
		}
	}
	return ""
}
