package parquet

import (
	"bytes"
	"slices"

	"github.com/parquet-go/parquet-go/format"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
	"github.com/velonym/velonym/engine/bulk/internal/typed"
)

// Change and Effect say what becomes of a column and its type.
type (
	Change = typed.Change
	Effect = typed.Effect
)

// The changes.
const (
	Pseudonymise = typed.Pseudonymise
	Translate    = typed.Translate
	Restore      = typed.Restore
	Reverse      = typed.Reverse
)

// ErrMemory means that the entry of a file's metadata for the former types of its columns
// cannot be read.
var ErrMemory = typed.ErrMemory

// Replace registers r for the column with the given index in Columns, and edits the output's
// schema for its new values. It returns an error, which names the column, if the column's
// values cannot be replaced.
func (f *File) Replace(column int, r Replacer, change Change) (Effect, error) {
	var effect Effect
	l := &f.leaves[column]
	if l.variant {
		return effect, f.refuse(l, "is part of a VARIANT, whose bytes hold more than one value")
	}
	layout, err := identifierLayout(l.element)
	if err != nil {
		return effect, f.refuse(l, "%w", err)
	}
	l.layout = layout
	if layout == nil {
		if effect.Annotation, err = f.annotate(l); err == nil {
			err = f.retypeText(column, change, &effect)
		}
	} else if err = f.checkKeyValues(l, false); err == nil {
		err = f.retypeTyped(column, change, &effect)
	}
	if err == nil {
		f.replaced[column] = r
	}
	return effect, err
}

// retypeTyped changes a column of another type into a column of strings.
func (f *File) retypeTyped(column int, change Change, effect *Effect) error {
	l := &f.leaves[column]
	effect.Was = typeName(l.element, l.layout)
	if l.layout.Type.Describe(effect); effect.Number && change != Pseudonymise {
		return f.refuse(l, "is of type %s, and pseudonyms are strings: a number has lost the zeros that one may begin with", effect.Was)
	}
	was := &typed.Original{Type: l.layout.Type.String(), Parquet: typePart(l.element)}
	key := typed.ColumnKey(l.path)
	for i := range f.leaves {
		if i != column && typed.ColumnKey(f.leaves[i].path) == key {
			return f.refuse(l, "is there twice, and the file could not remember which one was of type %s; rename one", effect.Was)
		}
	}
	if err := f.editSchemas(column, was, true, effect); err != nil {
		return err
	}
	setType(l.element, stringType())
	if change != Pseudonymise {
		return nil
	}
	memory, err := f.readMemory()
	if err != nil {
		return err
	}
	memory.Keep(key, was)
	f.keepMemory(memory)
	return nil
}

// retypeText gives a column of strings the type back that the file's Memory has for it, if
// change is Restore and the column was pseudonymised only once since.
func (f *File) retypeText(column int, change Change, effect *Effect) error {
	l := &f.leaves[column]
	key := typed.ColumnKey(l.path)
	memory, err := f.readMemory()
	if err != nil {
		if change == Restore {
			return err
		}
		return nil // the column remains strings
	}
	switch change {
	case Pseudonymise:
		memory.Cover(key)
	case Translate:
		return nil
	case Reverse:
		memory.Uncover(key)
	case Restore:
		was := memory.Uncover(key)
		if was == nil {
			break
		}
		part, layout, err := originalType(was)
		if err != nil {
			return f.refuse(l, "cannot get its type back: %w", err)
		}
		if err := f.editSchemas(column, was, false, effect); err != nil {
			return err
		}
		setType(l.element, part)
		l.output = layout
		effect.Becomes = typeName(l.element, layout)
	}
	f.keepMemory(memory)
	return nil
}

// readMemory reads the file's Memory of former types.
func (f *File) readMemory() (typed.Memory, error) {
	for i := range f.meta.Items(fileKeyValues) {
		if kv := &f.meta.Items(fileKeyValues)[i]; kv.Text(keyValueKey) == typed.MetadataKey {
			m, err := typed.ParseMemory([]byte(kv.Text(keyValueValue)))
			if err != nil {
				return m, f.bad("%w", err)
			}
			return m, nil
		}
	}
	return typed.Memory{}, nil
}

// keepMemory writes the Memory of former types into the file's metadata, and into that of
// the schema of Arrow: what Arrow's programs write of the file then has it too.
func (f *File) keepMemory(m typed.Memory) {
	var text []byte
	if len(m.Columns) > 0 {
		text = m.Text()
	}
	f.setKeyValue(typed.MetadataKey, text)
	f.editArrowMetadata(func(get func(key string) []byte, set func(key string, value []byte)) {
		if !bytes.Equal(get(typed.MetadataKey), text) {
			set(typed.MetadataKey, text)
		}
	})
}

// keyValue returns an entry of the file's key-value metadata, nil if there is none.
func (f *File) keyValue(key string) []byte {
	for i := range f.meta.Items(fileKeyValues) {
		if kv := &f.meta.Items(fileKeyValues)[i]; kv.Text(keyValueKey) == key {
			if v := kv.Field(keyValueValue); v != nil {
				return v.Bytes
			}
		}
	}
	return nil
}

// setKeyValue sets an entry of the file's key-value metadata, or with nil removes it, and
// others of the same key with it.
func (f *File) setKeyValue(key string, value []byte) {
	list := f.meta.Field(fileKeyValues)
	entry := thrift.Value{Kind: thrift.Struct, List: []thrift.Value{
		{ID: keyValueKey, Kind: thrift.Binary, Bytes: []byte(key)}, {ID: keyValueValue, Kind: thrift.Binary, Bytes: value}}}
	if list == nil {
		if value != nil {
			f.meta.Replace(thrift.Value{ID: fileKeyValues, Kind: thrift.List, Elem: thrift.Struct, List: []thrift.Value{entry}})
		}
		return
	}
	has := func(kv thrift.Value) bool { return kv.Text(keyValueKey) == key }
	if at := slices.IndexFunc(list.List, has); value != nil && at >= 0 {
		list.List[at] = entry
		list.List = append(list.List[:at+1], slices.DeleteFunc(list.List[at+1:], has)...)
	} else if list.List = slices.DeleteFunc(list.List, has); value != nil {
		list.List = append(list.List, entry)
	}
	if len(list.List) == 0 {
		f.meta.Remove(fileKeyValues)
	}
}

// RestoreError is a reversed value that does not fit the type that its column gets back.
type RestoreError struct {
	File, Column string
	Row          int64 // from 1
	Type         string
	Err          error // a *typed.ValueError, or typed.ErrEmpty
}

// Error returns the file, the column and the cause.
func (e *RestoreError) Error() string {
	return e.File + ": column " + quote(e.Column) + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *RestoreError) Unwrap() error { return e.Err }

// physical returns the kind of the values that are written to a leaf.
func (l *leaf) physical() format.Type { return format.Type(l.element.Int(elementType)) }

// widthOf returns the length in bytes of the values of a leaf with this schema element, 0 if
// it varies.
func widthOf(e *thrift.Value) int64 {
	switch format.Type(e.Int(elementType)) {
	case format.Int32:
		return 4
	case format.Int64:
		return 8
	case format.FixedLenByteArray:
		return e.Int(elementLength)
	}
	return 0
}
