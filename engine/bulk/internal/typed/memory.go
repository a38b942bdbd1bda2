package typed

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// MetadataKey is the key under which a file remembers what its columns were: in the
// key-value metadata of a Parquet file, and in the schema's metadata of Arrow. Programs
// that read one of them and write the other pass it on.
const MetadataKey = "velonym.types"

// Memory is the original types of a file's columns, by ColumnKey. Its text is JSON. It
// holds no value of a column.
type Memory struct {
	Version int                  `json:"version"`
	Columns map[string]*Original `json:"columns"`
}

// Original is what a column was before its values became pseudonyms, which are strings.
type Original struct {
	Type string `json:"type"` // as Type.String writes it
	// Layers is how many times the column has been pseudonymised since, beyond the first:
	// the type comes back when as many have been reversed.
	Layers int `json:"layers,omitempty"`
	// Parquet is the SchemaElement of the column without its name, repetition and
	// field id, in Thrift's compact protocol.
	Parquet []byte `json:"parquet,omitempty"`
	// Arrow is the column's field, in the only field of a schema, as a message of Arrow
	// IPC.
	Arrow []byte `json:"arrow,omitempty"`
	// Notes is what the schemas of other systems, kept in the file's metadata, said of
	// the column, by the metadata's key.
	Notes map[string]json.RawMessage `json:"notes,omitempty"`
}

// maxMemory bounds the text of a Memory that is read.
const maxMemory = 16 << 20

// ErrMemory means that a file's memory cannot be read: it was changed, or is of a later
// version of this program.
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

// Keep remembers that the column of the key was o and becomes strings.
func (m *Memory) Keep(key string, o *Original) {
	if m.Columns == nil {
		m.Columns = map[string]*Original{}
	}
	m.Columns[key] = o
}

// Cover notes that strings which stand for a typed column are pseudonymised once more.
func (m *Memory) Cover(key string) {
	if o := m.Columns[key]; o != nil {
		o.Layers++
	}
}

// Uncover notes that a column of strings is reversed. It returns what the column was and
// forgets it, unless it was pseudonymised several times and is still strings after this,
// or was never typed: then it returns nil.
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
