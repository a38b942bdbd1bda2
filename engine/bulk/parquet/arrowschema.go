package parquet

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/velonym/velonym/engine/bulk/internal/typed"
)

// editArrow edits the field of a column in the schema that Arrow's writers store: a message
// of Arrow IPC in base64. Its leaves have the same order as Parquet's.
func (f *File) editArrow(raw []byte, column int, was *typed.Original, text bool) ([]byte, error) {
	schema, err := readArrowSchema(raw)
	if err != nil {
		return nil, nil
	}
	e := arrowEdit{at: column, leaf: func(field arrow.Field) (arrow.Field, error) {
		if text {
			return arrowText(field, was)
		}
		return arrowOriginal(field, was)
	}}
	fields, err := e.fields(schema.Fields())
	if err != nil {
		return nil, err
	}
	if e.seen != len(f.leaves) {
		return nil, nil
	}
	meta := schema.Metadata()
	edited := arrow.NewSchemaWithEndian(fields, &meta, schema.Endianness())
	message, err := arrowMessage(edited)
	if err != nil {
		return nil, nil
	}
	return []byte(base64.StdEncoding.EncodeToString(message)), nil
}

// editArrowMetadata edits the metadata of the schema that Arrow's writers keep, if there is
// one that can be read. Arrow's readers take a file's metadata from there.
func (f *File) editArrowMetadata(edit func(get func(key string) []byte, set func(key string, value []byte))) {
	raw := f.keyValue(arrowSchemaKey)
	if raw == nil {
		return
	}
	schema, err := readArrowSchema(raw)
	if err != nil {
		return
	}
	meta := schema.Metadata()
	keys, values := slices.Clone(meta.Keys()), slices.Clone(meta.Values())
	changed := false
	edit(func(key string) []byte {
		if i := slices.Index(keys, key); i >= 0 {
			return []byte(values[i])
		}
		return nil
	}, func(key string, value []byte) {
		changed = true
		if i := slices.Index(keys, key); i >= 0 {
			keys, values = slices.Delete(keys, i, i+1), slices.Delete(values, i, i+1)
		}
		if value != nil {
			keys, values = append(keys, key), append(values, string(value))
		}
	})
	if !changed {
		return
	}
	meta = arrow.NewMetadata(keys, values)
	message, err := arrowMessage(arrow.NewSchemaWithEndian(schema.Fields(), &meta, schema.Endianness()))
	if err != nil {
		return
	}
	f.setKeyValue(arrowSchemaKey, []byte(base64.StdEncoding.EncodeToString(message)))
}

// readArrowSchema reads a schema in base64.
func readArrowSchema(raw []byte) (*arrow.Schema, error) {
	b, err := base64.StdEncoding.DecodeString(string(raw))
	if err != nil {
		return nil, err
	}
	return parseArrowSchema(b)
}

// parseArrowSchema reads the message of a schema. It checks the stated length and recovers
// panics, because the library allocates what a message states and trusts its offsets.
func parseArrowSchema(b []byte) (s *arrow.Schema, err error) {
	defer func() {
		if recover() != nil {
			s, err = nil, ErrMemory
		}
	}()
	stated := b
	if len(b) >= 4 && binary.LittleEndian.Uint32(b) == 0xffffffff { // older messages begin with their length
		stated = b[4:]
	}
	if len(stated) < 4 || uint64(binary.LittleEndian.Uint32(stated)) > uint64(len(stated)-4) {
		return nil, ErrMemory
	}
	r, err := ipc.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer r.Release()
	return r.Schema(), nil
}

// arrowMessage returns the message of a schema.
func arrowMessage(s *arrow.Schema) ([]byte, error) {
	var b bytes.Buffer
	w := ipc.NewWriter(&b, ipc.WithSchema(s))
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// arrowEdit replaces one leaf of a schema.
type arrowEdit struct {
	at   int
	leaf func(arrow.Field) (arrow.Field, error)
	seen int // leaves so far
}

func (e *arrowEdit) fields(fields []arrow.Field) ([]arrow.Field, error) {
	out := make([]arrow.Field, len(fields))
	for i, field := range fields {
		var err error
		if out[i], err = e.field(field); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// field returns the field with the leaf replaced if the leaf lies in it.
func (e *arrowEdit) field(field arrow.Field) (arrow.Field, error) {
	before := e.seen
	switch t := field.Type.(type) {
	case *arrow.StructType:
		fields, err := e.fields(t.Fields())
		if err != nil || !e.within(before) {
			return field, err
		}
		field.Type = arrow.StructOf(fields...)
	case arrow.ListLikeType:
		elem, err := e.field(t.ElemField())
		if err != nil || !e.within(before) {
			return field, err
		}
		switch t := field.Type.(type) {
		case *arrow.ListType:
			field.Type = arrow.ListOfField(elem)
		case *arrow.LargeListType:
			field.Type = arrow.LargeListOfField(elem)
		case *arrow.ListViewType:
			field.Type = arrow.ListViewOfField(elem)
		case *arrow.LargeListViewType:
			field.Type = arrow.LargeListViewOfField(elem)
		case *arrow.FixedSizeListType:
			field.Type = arrow.FixedSizeListOfField(t.Len(), elem)
		case *arrow.MapType:
			pair := elem.Type.(*arrow.StructType)
			m := arrow.MapOfFields(pair.Field(0), pair.Field(1))
			m.KeysSorted = t.KeysSorted
			field.Type = m
		}
	default:
		e.seen++
		if before == e.at {
			return e.leaf(field)
		}
	}
	return field, nil
}

// within reports whether the leaf is among those seen since there were before of them.
func (e *arrowEdit) within(before int) bool { return e.at >= before && e.at < e.seen }

// arrowText returns the field of strings that replaces field, which it records in was. It
// refuses types of Arrow that Parquet stores as plain integers but that are not identifiers.
func arrowText(field arrow.Field, was *typed.Original) (arrow.Field, error) {
	only := field
	only.Name = ""
	message, err := arrowMessage(arrow.NewSchema([]arrow.Field{only}, nil))
	if err != nil {
		return field, err
	}
	was.Arrow = message
	t := field.Type
	index, isDictionary := t.(*arrow.DictionaryType)
	if isDictionary {
		t = index.ValueType
	}
	if x, ok := t.(arrow.ExtensionType); ok {
		t = x.StorageType()
	}
	switch t.ID() {
	case arrow.DURATION, arrow.TIME32, arrow.TIME64, arrow.TIMESTAMP, arrow.DATE32, arrow.DATE64, arrow.INTERVAL_MONTHS,
		arrow.INTERVAL_DAY_TIME, arrow.INTERVAL_MONTH_DAY_NANO, arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64, arrow.BOOL:
		return field, unfit("is %s to Arrow (the schema kept in %s), which identifies nobody; cast it to a string first", t.Name(), arrowSchemaKey)
	}
	field.Type = arrow.BinaryTypes.String
	if isDictionary {
		field.Type = &arrow.DictionaryType{IndexType: index.IndexType, ValueType: arrow.BinaryTypes.String, Ordered: index.Ordered}
	}
	field.Metadata = withoutExtension(field.Metadata)
	return field, nil
}

// withoutExtension returns metadata of a field without the declaration of an extension
// type.
func withoutExtension(m arrow.Metadata) arrow.Metadata {
	var keys, values []string
	for i, k := range m.Keys() {
		if !typed.IsExtension(k) {
			keys, values = append(keys, k), append(values, m.Values()[i])
		}
	}
	return arrow.NewMetadata(keys, values)
}

// arrowOriginal returns the field that a column of strings gets back, from the record in was.
func arrowOriginal(field arrow.Field, was *typed.Original) (arrow.Field, error) {
	name, nullable := field.Name, field.Nullable
	if len(was.Arrow) > 0 {
		schema, err := parseArrowSchema(was.Arrow)
		if err != nil || schema.NumFields() != 1 {
			return field, ErrMemory
		}
		field = schema.Field(0)
		field.Name, field.Nullable = name, nullable
		return field, nil
	}
	t, err := typed.ParseType(was.Type)
	if err != nil {
		return field, ErrMemory
	}
	field.Type = arrowType(t)
	return field, nil
}

// arrowType returns Arrow's type for a type of identifiers.
func arrowType(t typed.Type) arrow.DataType {
	switch t.Kind {
	case typed.Int:
		return map[int]arrow.DataType{1: arrow.PrimitiveTypes.Int8, 2: arrow.PrimitiveTypes.Int16, 4: arrow.PrimitiveTypes.Int32, 8: arrow.PrimitiveTypes.Int64}[t.Size]
	case typed.Uint:
		return map[int]arrow.DataType{1: arrow.PrimitiveTypes.Uint8, 2: arrow.PrimitiveTypes.Uint16, 4: arrow.PrimitiveTypes.Uint32, 8: arrow.PrimitiveTypes.Uint64}[t.Size]
	case typed.Decimal:
		if t.Precision > 38 {
			return &arrow.Decimal256Type{Precision: int32(t.Precision)}
		}
		return &arrow.Decimal128Type{Precision: int32(t.Precision)}
	case typed.UUID:
		return &arrow.FixedSizeBinaryType{ByteWidth: 16}
	}
	return &arrow.FixedSizeBinaryType{ByteWidth: t.Size}
}
