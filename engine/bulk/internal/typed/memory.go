package typed

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// MetadataKey is the key of the original types of a file's columns: in the key-value metadata
// of a Parquet file, and in the schema's metadata of Arrow. Programs that read one format and
// write the other copy it.
const MetadataKey = "velonym.types"

// Memory holds the original types of a file's columns, by ColumnKey. Its text is JSON. It
// holds no value of a column.
type Memory struct {
	Version int                  `json:"version"`
	Columns map[string]*Original `json:"columns"`
}

// Original describes a column before its values became pseudonyms, which are strings.
type Original struct {
	Type string `json:"type"` // as Type.String writes it
	// Layers counts further pseudonymisations after the first. The column gets its type back
	// when all of them have been reversed.
	Layers int `json:"layers,omitempty"`
	// Parquet is the SchemaElement of the column without its name, repetition and
	// field id, in Thrift's compact protocol.
	Parquet []byte `json:"parquet,omitempty"`
	// Arrow is the column's field, in the only field of a schema, as a message of Arrow
	// IPC.
	Arrow []byte `json:"arrow,omitempty"`
	// Notes holds the original entries for the column in other systems' schemas, by the key
	// of the file's metadata.
	Notes map[string]json.RawMessage `json:"notes,omitempty"`
}

// maxMemory is the greatest length of a Memory's text that ParseMemory reads.
const maxMemory = 16 << 20

// ErrMemory means that the original types in a file cannot be read: they were changed, or a
// later version of this program wrote them.
var ErrMemory = errors.New("what the file's metadata says in " + MetadataKey + " cannot be read: it was changed, or a later version wrote it")

// ParseMemory reads the text of a Memory.
func ParseMemory(text []byte) (m Memory, err error) {
	if len(text) > maxMemory {
		return m, ErrMemory
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&m); err != nil || d.More() || m.Version != 1 {
		return Memory{}, ErrMemory
	}
	for _, o := range m.Columns {
		if o == nil || o.Layers < 0 {
			return Memory{}, ErrMemory
		}
	}
	return m, nil
}

// Text returns the text that ParseMemory reads.
func (m Memory) Text() []byte {
	m.Version = 1
	b, err := json.Marshal(m)
	if err != nil { // a note that is no JSON
		panic("typed: a note is no JSON: " + err.Error())
	}
	return b
}

// ColumnKey is the name of a column in Memory: the names on its path joined by dots,
// a dot within a name written \. and a backslash \\.
func ColumnKey(path []string) string {
	escape := strings.NewReplacer(`\`, `\\`, `.`, `\.`)
	names := make([]string, len(path))
	for i, name := range path {
		names[i] = escape.Replace(name)
	}
	return strings.Join(names, ".")
}

// Keep records that the column of the key was o and becomes strings.
func (m *Memory) Keep(key string, o *Original) {
	if m.Columns == nil {
		m.Columns = map[string]*Original{}
	}
	m.Columns[key] = o
}

// Cover records that a column which became strings is pseudonymised once more.
func (m *Memory) Cover(key string) {
	if o := m.Columns[key]; o != nil {
		o.Layers++
	}
}

// Uncover records that a column of strings is reversed once. It returns the original column
// and removes the record. It returns nil for a column that has to be reversed further times
// and for one without a record.
func (m *Memory) Uncover(key string) *Original {
	o := m.Columns[key]
	switch {
	case o == nil:
		return nil
	case o.Layers > 0:
		o.Layers--
		return nil
	}
	delete(m.Columns, key)
	return o
}
