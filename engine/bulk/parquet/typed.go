package parquet

import (
	"fmt"

	"github.com/parquet-go/parquet-go/format"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
	"github.com/velonym/velonym/engine/bulk/internal/typed"
)

// unfitError is why a column cannot be replaced, with the remedy. Its text continues a
// sentence that begins with the column's name.
type unfitError struct{ text string }

func (e *unfitError) Error() string { return e.text }

func unfit(format string, args ...any) error { return &unfitError{fmt.Sprintf(format, args...)} }

// identifierLayout returns the layout of the values of a leaf with this schema element, nil
// if they are text, or an error that names a type whose values do not identify.
func identifierLayout(e *thrift.Value) (*typed.Layout, error) {
	kind := format.Type(e.Int(elementType))
	what, err := annotationOf(e)
	if err != nil {
		return nil, err
	}
	switch kind {
	case format.Boolean:
		return nil, unfit("is of type BOOLEAN, which identifies nobody; leave it out")
	case format.Float, format.Double:
		return nil, unfit("is of type %v, whose numbers have more than one text; cast it to an integer or to a string first", kind)
	case format.Int96:
		return nil, unfit("is of type INT96, which is a TIMESTAMP; %s", castTime)
	}
	l := &typed.Layout{Type: what}
	switch {
	case kind == format.Int32 && what.Kind == 0:
		l.Type = typed.Type{Kind: typed.Int, Size: 4}
	case kind == format.Int64 && what.Kind == 0:
		l.Type = typed.Type{Kind: typed.Int, Size: 8}
	case kind == format.FixedLenByteArray && what.Kind == 0:
		l.Type = typed.Type{Kind: typed.Fixed, Size: int(e.Int(elementLength))}
	case kind == format.ByteArray && what.Kind == 0:
		return nil, nil
	}
	switch kind {
	case format.Int32:
		l.Width = 4
	case format.Int64:
		l.Width = 8
	case format.FixedLenByteArray:
		l.Width = int(e.Int(elementLength))
		l.BigEndian = what.Kind == typed.Decimal
	case format.ByteArray:
		l.BigEndian = true
	default:
		return nil, unfit("is of type %v, which is not read here", kind)
	}
	if !l.Valid() || !fitsKind(l, kind) {
		return nil, unfit("is %s in values of type %v: the footer is damaged", l.Type, kind)
	}
	return l, nil
}

// fitsKind reports whether values of a physical type may have the annotation of l's type.
func fitsKind(l *typed.Layout, kind format.Type) bool {
	switch l.Type.Kind {
	case typed.Int, typed.Uint:
		return kind == format.Int64 && l.Type.Size == 8 || kind == format.Int32 && l.Type.Size < 8
	case typed.Decimal:
		return l.Width > 0 || kind == format.ByteArray
	}
	return kind == format.FixedLenByteArray
}

const castTime = "cast it to a string first, in the form that the same dates have elsewhere, as 2025-01-31"

const onlyIdentifiers = "only strings, binary values, integers, decimals without fraction and UUIDs can be replaced"

// annotationOf returns the type that the annotations of a schema element state, or the zero
// Type if they state none of package typed. It returns an error for a type whose values do
// not identify and for an unknown one.
func annotationOf(e *thrift.Value) (t typed.Type, err error) {
	if converted := e.Field(elementConverted); converted != nil {
		if t, err = convertedType(e, converted.Num); err != nil {
			return t, err
		}
	}
	if logical := e.Field(elementLogical); logical != nil && len(logical.List) > 0 {
		return logicalType(&logical.List[0])
	}
	return t, nil
}

// logicalType is annotationOf for a member of the union LogicalType.
func logicalType(u *thrift.Value) (typed.Type, error) {
	none := typed.Type{}
	switch u.ID {
	case logicalString, logicalEnum, logicalJSON, logicalUnknown:
		return none, nil
	case logicalDecimal:
		return decimal(u.Int(decimalScale), u.Int(decimalPrecision))
	case logicalInteger:
		kind := typed.Int
		if signed := u.Field(integerSigned); signed != nil && signed.Num == thrift.False {
			kind = typed.Uint
		}
		return typed.Type{Kind: kind, Size: int(u.Int(integerBits) / 8)}, nil
	case logicalUUID:
		return typed.Type{Kind: typed.UUID}, nil
	case logicalDate, logicalTime, logicalTimestamp:
		return none, unfit("is annotated as %s; %s", logicalNames[u.ID], castTime)
	}
	return none, unfit("is annotated as %s, which its results would not be; %s", nameOr(logicalNames[u.ID], "logical type", int64(u.ID)), onlyIdentifiers)
}

// convertedType is annotationOf for a value of ConvertedType, which older writers give
// in place of a logical type or beside it.
func convertedType(e *thrift.Value, n int64) (typed.Type, error) {
	none := typed.Type{}
	switch {
	case n == convertedUTF8 || n == convertedEnum || n == convertedJSON:
		return none, nil
	case n == convertedDecimal:
		return decimal(e.Int(elementScale), e.Int(elementPrecision))
	case n >= convertedUint8 && n <= convertedUint64:
		return typed.Type{Kind: typed.Uint, Size: 1 << (n - convertedUint8)}, nil
	case n >= convertedInt8 && n <= convertedInt64:
		return typed.Type{Kind: typed.Int, Size: 1 << (n - convertedInt8)}, nil
	case n >= convertedDate && n <= convertedTimestampMicros:
		return none, unfit("is annotated as %s; %s", convertedNames[n], castTime)
	}
	return none, unfit("is annotated as %s, which its results would not be; %s", nameOr(convertedNames[n], "converted type", n), onlyIdentifiers)
}

// decimal returns the type of decimals, if they have no fraction.
func decimal(scale, precision int64) (typed.Type, error) {
	if scale != 0 {
		return typed.Type{}, unfit("is annotated as DECIMAL(%d, %d), whose numbers have a fraction; cast it to scale 0 or to a string first", precision, scale)
	}
	return typed.Type{Kind: typed.Decimal, Precision: int(precision)}, nil
}

// typeName names the type of a schema element in Parquet's words.
func typeName(e *thrift.Value, l *typed.Layout) string {
	kind := format.Type(e.Int(elementType))
	switch {
	case l == nil:
		return kind.String()
	case l.Type.Kind == typed.Decimal:
		return fmt.Sprintf("DECIMAL(%d, 0)", l.Type.Precision)
	case l.Type.Kind == typed.UUID:
		return "UUID"
	case l.Type.Kind == typed.Fixed:
		return fmt.Sprintf("FIXED_LEN_BYTE_ARRAY(%d)", l.Type.Size)
	case l.Type.Kind == typed.Uint:
		return fmt.Sprintf("UINT%d", 8*l.Type.Size)
	}
	return fmt.Sprintf("INT%d", 8*l.Type.Size)
}

// typeFields are the fields of a SchemaElement that state the type of a leaf.
var typeFields = []int16{elementType, elementLength, elementConverted, elementScale, elementPrecision, elementLogical}

// typePart returns the encoding of a schema element's typeFields.
func typePart(e *thrift.Value) []byte {
	part := thrift.Value{Kind: thrift.Struct}
	for _, id := range typeFields {
		if f := e.Field(id); f != nil {
			part.List = append(part.List, *f)
		}
	}
	return part.Append(nil)
}

// setType replaces the typeFields of a schema element with those of part.
func setType(e, part *thrift.Value) {
	e.Remove(typeFields...)
	for _, id := range typeFields {
		if f := part.Field(id); f != nil {
			e.Replace(*f)
		}
	}
}

// stringType returns the typeFields of strings.
func stringType() *thrift.Value {
	return &thrift.Value{Kind: thrift.Struct, List: []thrift.Value{
		{ID: elementType, Kind: thrift.I32, Num: int64(format.ByteArray)},
		{ID: elementConverted, Kind: thrift.I32, Num: convertedUTF8},
		{ID: elementLogical, Kind: thrift.Struct, List: []thrift.Value{{ID: logicalString, Kind: thrift.Struct}}}}}
}

// originalType returns the typeFields and the layout of a column's former type. If another
// format stored the column, they are those that Arrow's writers choose for the type.
func originalType(o *typed.Original) (part *thrift.Value, l *typed.Layout, err error) {
	t, err := typed.ParseType(o.Type)
	if err != nil {
		return nil, nil, typed.ErrMemory
	}
	if len(o.Parquet) == 0 {
		part = usualType(t)
	} else {
		v, n, err := thrift.ReadWithin(o.Parquet, 1000)
		if err != nil || n != len(o.Parquet) {
			return nil, nil, typed.ErrMemory
		}
		part = &v
	}
	if l, err = identifierLayout(part); err != nil || l == nil || l.Type != t {
		return nil, nil, typed.ErrMemory
	}
	return part, l, nil
}

// usualType returns the typeFields that writers choose for a type.
func usualType(t typed.Type) *thrift.Value {
	v := &thrift.Value{Kind: thrift.Struct}
	logical := func(id int16, fields ...thrift.Value) {
		v.Replace(thrift.Value{ID: elementLogical, Kind: thrift.Struct, List: []thrift.Value{{ID: id, Kind: thrift.Struct, List: fields}}})
	}
	fixed := func(n int) {
		v.Put(elementType, thrift.I32, int64(format.FixedLenByteArray))
		v.Put(elementLength, thrift.I32, int64(n))
	}
	switch t.Kind {
	case typed.Int, typed.Uint:
		kind := format.Int32
		if t.Size == 8 {
			kind = format.Int64
		}
		v.Put(elementType, thrift.I32, int64(kind))
		if t.Kind == typed.Int && t.Size >= 4 {
			return v
		}
		converted, signed := int64(convertedUint8), int64(thrift.False)
		if t.Kind == typed.Int {
			converted, signed = convertedInt8, thrift.True
		}
		for n := t.Size; n > 1; n /= 2 {
			converted++
		}
		v.Put(elementConverted, thrift.I32, converted)
		logical(logicalInteger, thrift.Value{ID: integerBits, Kind: thrift.Byte, Num: int64(8 * t.Size)},
			thrift.Value{ID: integerSigned, Kind: byte(signed), Num: signed})
	case typed.Decimal:
		fixed(decimalWidth(t.Precision))
		v.Put(elementConverted, thrift.I32, convertedDecimal)
		v.Put(elementScale, thrift.I32, 0)
		v.Put(elementPrecision, thrift.I32, int64(t.Precision))
		logical(logicalDecimal, thrift.Value{ID: decimalScale, Kind: thrift.I32}, thrift.Value{ID: decimalPrecision, Kind: thrift.I32, Num: int64(t.Precision)})
	case typed.UUID:
		fixed(16)
		logical(logicalUUID)
	case typed.Fixed:
		fixed(t.Size)
	}
	return v
}

// decimalWidth returns the fewest bytes that hold every number of so many digits.
func decimalWidth(precision int) int {
	l := typed.Layout{Type: typed.Type{Kind: typed.Decimal, Precision: precision}, BigEndian: true}
	nines := make([]byte, precision)
	for i := range nines {
		nines[i] = '9'
	}
	b, err := l.AppendValue(nil, nines)
	if err != nil {
		panic("parquet: a decimal of its own precision does not fit: " + err.Error())
	}
	return len(b)
}
