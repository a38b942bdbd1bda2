package arrow

import (
	"bytes"
	"fmt"

	"github.com/velonym/velonym/engine/bulk/internal/typed"
)

// Change is what happens to a column, Effect what happened to it and its type.
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

// ErrMemory means that the schema's metadata has an entry about the original types of columns
// that cannot be read.
var ErrMemory = typed.ErrMemory

// Replace makes r replace the values of the column with the given index in Columns. The
// output's schema has the type of the results. An error names a column whose values cannot
// be replaced.
//
// The values of a dictionary are replaced once for all rows that refer to them. If r may
// give equal values different results, or another column has the same dictionary, the
// column has no dictionary in the output, and the value of each row is replaced.
func (s *Stream) Replace(i int, r Replacer, change Change) (effect Effect, err error) {
	f := s.leaves[i]
	if err := f.replaceable(); err != nil {
		return effect, s.refuse(f, "%w", err)
	}
	c := &column{field: f, replacer: r, out: f.storage}
	c.decoded = f.dictionary && (!r.Once() || s.schema.users[f.id] > 1)
	effect.Decoded = c.decoded
	is := &newType{kind: f.kind, table: f.table.table(3), dictionary: f.dictionary && !c.decoded, metadata: f.metadata}
	if f.layout != nil {
		err = s.retypeTyped(i, c, is, change, &effect)
	} else {
		err = s.retypeText(i, c, is, change, &effect)
	}
	if err != nil {
		return effect, err
	}
	if effect.Was != "" || effect.Becomes != "" || effect.Annotation != "" || c.decoded {
		f.retyped, s.retyped = is, true
	}
	s.columns[f.index] = c
	return effect, nil
}

// retypeTyped makes a column of numbers, UUIDs or bytes a column of strings.
func (s *Stream) retypeTyped(i int, c *column, is *newType, change Change, effect *Effect) error {
	f := c.field
	effect.Was = f.typeName
	if f.layout.Type.Describe(effect); effect.Number && change != Pseudonymise {
		return s.refuse(f, "is of type %s, and pseudonyms are strings: a number has lost the zeros that one may begin with", effect.Was)
	}
	key := typed.ColumnKey(f.names())
	for _, other := range s.leaves {
		if other != f && typed.ColumnKey(other.names()) == key {
			return s.refuse(f, "is there twice, and the schema could not remember which one was of type %s; rename one", effect.Was)
		}
	}
	was := &typed.Original{Type: f.layout.Type.String(), Arrow: s.fieldMessage(f)}
	s.editForeign(i, was, true, effect)
	c.out = text
	is.kind, is.table, is.metadata = kindUtf8, table{}, withoutExtension(f.metadata)
	if change != Pseudonymise {
		return nil
	}
	memory, err := s.readMemory()
	if err != nil {
		return err
	}
	memory.Keep(key, was)
	s.keepMemory(memory)
	return nil
}

// retypeText gives a column of text its original type back, if the change restores it and no
// further pseudonymisation has to be reversed first.
func (s *Stream) retypeText(i int, c *column, is *newType, change Change, effect *Effect) error {
	f := c.field
	if effect.Annotation = f.extension(); effect.Annotation != "" {
		is.metadata = withoutExtension(f.metadata)
	}
	key := typed.ColumnKey(f.names())
	memory, err := s.readMemory()
	if err != nil {
		if change == Restore {
			return err
		}
		return nil // the column stays one of strings
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
		original, now, err := originalField(was)
		if err != nil {
			return s.refuse(f, "cannot get its type back: %w", err)
		}
		s.editForeign(i, was, false, effect)
		c.out, c.becomes, effect.Becomes = original.storage, original.typeName, original.typeName
		is.kind, is.table = now.kind, now.table
		for _, p := range original.metadata {
			if typed.IsExtension(p.key) {
				is.metadata = append(is.metadata[:len(is.metadata):len(is.metadata)], p)
			}
		}
	}
	s.keepMemory(memory)
	return nil
}

// originalField returns the original field of a column and its type. If the entry was written
// by another format, which does not know how Arrow stores the type, it chooses what Arrow's
// writers choose.
func originalField(o *typed.Original) (*field, newType, error) {
	t, err := typed.ParseType(o.Type)
	if err != nil {
		return nil, newType{}, typed.ErrMemory
	}
	if len(o.Arrow) > 0 {
		f, err := parseField(o.Arrow)
		if err != nil {
			return nil, newType{}, err
		}
		if f.layout != nil && (f.layout.Type == t || isNumber(f.layout.Type) && isNumber(t)) {
			return f, newType{kind: f.kind, table: f.table.table(3)}, nil
		}
	}
	is := usualType(t)
	f := &field{storage: storage{kind: is.kind}}
	if t.Kind == typed.UUID {
		f.metadata = []pair{{extensionName, extensionUUID}, {extensionMetadata, ""}}
	}
	if f.identify(is.table); f.layout == nil || f.layout.Type != t {
		return nil, newType{}, typed.ErrMemory
	}
	return f, is, nil
}

func isNumber(t typed.Type) bool { return t.Kind != typed.UUID && t.Kind != typed.Fixed }

// parseField is the inverse of fieldMessage.
func parseField(message []byte) (*field, error) {
	s := open(Options{})
	m, err := s.readMessage(bytes.NewReader(message))
	if err != nil || m == nil || m.kind != headerSchema {
		return nil, typed.ErrMemory
	}
	schema, err := readSchema(m.header, m.version)
	if err != nil || len(schema.top) != 1 {
		return nil, typed.ErrMemory
	}
	return schema.top[0], nil
}

// fieldMessage returns a field without its name, encoded for Original.Arrow.
func (s *Stream) fieldMessage(f *field) []byte {
	only := *f
	only.name, only.retyped = "", nil
	one := schema{top: []*field{&only}}
	fb := s.fresh()
	return framed(finishMessage(fb, metadataV5, headerSchema, one.put(fb), 0, 0))
}

// withoutExtension returns the metadata of a field without the declaration of an extension
// type.
func withoutExtension(all []pair) (kept []pair) {
	for _, p := range all {
		if !typed.IsExtension(p.key) {
			kept = append(kept, p)
		}
	}
	return kept
}

// editForeign changes the schemas that other systems keep in the metadata in the same way.
func (s *Stream) editForeign(i int, was *typed.Original, text bool, effect *Effect) {
	p := typed.Place{Path: s.leaves[i].names(), Leaf: i, Leaves: len(s.leaves)}
	effect.Dropped = append(effect.Dropped, typed.EditForeign(p, was, text, s.metadata, s.setMetadata)...)
}

// readMemory reads the original types of columns from the schema's metadata.
func (s *Stream) readMemory() (typed.Memory, error) {
	text := s.metadata(typed.MetadataKey)
	if text == nil {
		return typed.Memory{}, nil
	}
	m, err := typed.ParseMemory(text)
	if err != nil {
		return m, s.bad("%w", err)
	}
	return m, nil
}

// keepMemory writes the original types of columns into the schema's metadata.
func (s *Stream) keepMemory(m typed.Memory) {
	var text []byte
	if len(m.Columns) > 0 {
		text = m.Text()
	}
	if string(text) != string(s.metadata(typed.MetadataKey)) {
		s.setMetadata(typed.MetadataKey, text)
	}
}

// metadata returns an entry of the schema's metadata, nil if there is none.
func (s *Stream) metadata(key string) []byte {
	for _, p := range s.schema.metadata {
		if p.key == key {
			return []byte(p.value)
		}
	}
	return nil
}

// setMetadata sets an entry of the schema's metadata, or with nil removes it.
func (s *Stream) setMetadata(key string, value []byte) {
	var all []pair
	for _, p := range s.schema.metadata {
		switch {
		case p.key != key:
			all = append(all, p)
		case value != nil:
			all, value = append(all, pair{key, string(value)}), nil
		}
	}
	if value != nil {
		all = append(all, pair{key, string(value)})
	}
	s.schema.metadata, s.retyped = all, true
}

// refuse returns an error that names a column.
func (s *Stream) refuse(f *field, format string, args ...any) error {
	return &Error{File: s.name, Column: f.path(), Err: fmt.Errorf(format, args...), refused: true}
}
