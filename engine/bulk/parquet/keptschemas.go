package parquet

import (
	"encoding/json"
	"strings"

	"github.com/velonym/velonym/engine/bulk/internal/typed"
)

// Other systems keep a schema of their own in a file's key-value metadata and believe it
// rather than Parquet's: a column of strings that one of them takes for integers could not
// be read. Their entries for a column are changed with it, and what they said is kept.

// Keys of the metadata of other systems.
const (
	arrowSchemaKey = "ARROW:schema"
	pandasKey      = "pandas"
	sparkKey       = "org.apache.spark.sql.parquet.row.metadata"
)

// foreignKeys are those of schemas that are not edited but removed.
var foreignKeys = []string{"parquet.avro.schema", "avro.schema", "parquet.proto.class", "parquet.proto.descriptor", "parquet.thrift.descriptor", "iceberg.schema"}

// editSchemas has the schemas of other systems say that a column holds strings, and notes
// in was what they said; or, with text false, that it is again what was notes.
func (f *File) editSchemas(column int, was *typed.Original, text bool, effect *Effect) error {
	for _, s := range []struct {
		key  string
		edit func(raw []byte, column int, was *typed.Original, text bool) ([]byte, error)
	}{{arrowSchemaKey, f.editArrow}, {pandasKey, f.editPandas}, {sparkKey, f.editSpark}} {
		raw := f.keyValue(s.key)
		if raw == nil {
			continue
		}
		edited, err := s.edit(raw, column, was, text)
		if err != nil {
			return f.refuse(&f.leaves[column], "%w", err)
		}
		if edited == nil {
			effect.Dropped = append(effect.Dropped, s.key)
		}
		f.setKeyValue(s.key, edited)
	}
	for _, key := range foreignKeys {
		if f.keyValue(key) != nil {
			effect.Dropped = append(effect.Dropped, key)
			f.setKeyValue(key, nil)
		}
	}
	return nil
}

// note keeps what a schema said.
func note(was *typed.Original, key string, said json.RawMessage) {
	if was.Notes == nil {
		was.Notes = map[string]json.RawMessage{}
	}
	was.Notes[key] = said
}

// editPandas edits the entry of a column of pandas' metadata. Columns within others have
// none.
func (f *File) editPandas(raw []byte, column int, was *typed.Original, text bool) ([]byte, error) {
	path := f.leaves[column].path
	var meta map[string]json.RawMessage
	var columns []json.RawMessage
	if json.Unmarshal(raw, &meta) != nil || json.Unmarshal(meta["columns"], &columns) != nil {
		return nil, nil
	}
	for i := range columns {
		var c map[string]json.RawMessage
		var field, name string
		if json.Unmarshal(columns[i], &c) != nil {
			return nil, nil
		}
		if json.Unmarshal(c["field_name"], &field) != nil || field == "" { // older writers give the name alone
			if json.Unmarshal(c["name"], &name) != nil {
				continue // a name that is no string is no column of the file
			}
			field = name
		}
		if len(path) != 1 || field != path[0] {
			continue
		}
		if text {
			note(was, pandasKey, columns[i])
			c["pandas_type"], c["numpy_type"], c["metadata"] = json.RawMessage(`"unicode"`), json.RawMessage(`"object"`), json.RawMessage(`null`)
			columns[i] = marshal(c)
		} else if said := was.Notes[pandasKey]; said != nil {
			columns[i] = said
		}
	}
	meta["columns"] = marshal(columns)
	return marshal(meta), nil
}

// marshal encodes what was decoded before.
func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("parquet: JSON that was read is not written: " + err.Error())
	}
	return b
}

// editSpark edits the type of a column in the schema of Spark. Leaves come in the same
// order as Parquet's.
func (f *File) editSpark(raw []byte, column int, was *typed.Original, text bool) ([]byte, error) {
	said := json.RawMessage(`"string"`)
	if !text {
		if said = was.Notes[sparkKey]; said == nil {
			return nil, nil
		}
	}
	e := sparkEdit{at: column, to: said}
	edited, ok := e.visit(raw, 0)
	if !ok || e.seen != len(f.leaves) {
		return nil, nil
	}
	if text {
		note(was, sparkKey, e.was)
	}
	return edited, nil
}

// sparkEdit replaces the type of one leaf of a Spark schema.
type sparkEdit struct {
	at      int // leaf to replace
	to, was json.RawMessage
	seen    int // leaves so far
}

// visit returns a type with the leaf replaced. ok is false for one that it does not know.
func (e *sparkEdit) visit(raw json.RawMessage, depth int) (out json.RawMessage, ok bool) {
	if depth > 100 {
		return nil, false
	}
	var leaf string
	if json.Unmarshal(raw, &leaf) == nil {
		e.seen++
		if e.seen-1 == e.at {
			e.was = raw
			return e.to, true
		}
		return raw, true
	}
	var t map[string]json.RawMessage
	var kind string
	if json.Unmarshal(raw, &t) != nil || json.Unmarshal(t["type"], &kind) != nil {
		return nil, false
	}
	within := map[string][]string{"struct": {}, "array": {"elementType"}, "map": {"keyType", "valueType"}}
	members, known := within[kind]
	if !known {
		return nil, false
	}
	for _, m := range members {
		if t[m], ok = e.visit(t[m], depth+1); !ok {
			return nil, false
		}
	}
	if kind == "struct" {
		var fields []map[string]json.RawMessage
		if json.Unmarshal(t["fields"], &fields) != nil {
			return nil, false
		}
		for _, field := range fields {
			if field["type"], ok = e.visit(field["type"], depth+1); !ok {
				return nil, false
			}
		}
		t["fields"] = marshal(fields)
	}
	return marshal(t), true
}

// isExtension reports whether a metadata key of an Arrow field declares an extension
// type, which strings would not be.
func isExtension(key string) bool { return strings.HasPrefix(key, "ARROW:extension:") }
