package typed

import (
	"encoding/json"
	"slices"
	"strings"
)

// Other systems keep a schema of their own in a file's key-value metadata and trust it more
// than the file's: they could not read a column of strings that their schema declares as
// integers. So their entries for a column are changed with it, and the original entries are
// kept in Original.Notes.

// Keys of the metadata of other systems.
const (
	PandasKey = "pandas"
	SparkKey  = "org.apache.spark.sql.parquet.row.metadata"
)

// foreignKeys are the keys of schemas that are removed instead of edited.
var foreignKeys = []string{"parquet.avro.schema", "avro.schema", "parquet.proto.class", "parquet.proto.descriptor", "parquet.thrift.descriptor", "iceberg.schema"}

// Place is the position of a column in a file.
type Place struct {
	Path   []string
	Leaf   int // index among the columns that hold values
	Leaves int // number of the columns that hold values
}

// EditForeign edits the schemas of other systems. With text, they declare a column as strings
// afterwards, and was.Notes keeps their original entries; without it, they get the entries of
// was.Notes back. get and set read and write the file's key-value metadata, with nil for a key
// that does not exist. EditForeign returns the keys that it removed.
func EditForeign(p Place, was *Original, text bool, get func(key string) []byte, set func(key string, value []byte)) (dropped []string) {
	for key, edit := range map[string]func(raw []byte, p Place, was *Original, text bool) []byte{PandasKey: editPandas, SparkKey: editSpark} {
		raw := get(key)
		if raw == nil {
			continue
		}
		edited := edit(raw, p, was, text)
		if edited == nil {
			dropped = append(dropped, key)
		}
		set(key, edited)
	}
	slices.Sort(dropped)
	for _, key := range foreignKeys {
		if get(key) != nil {
			dropped = append(dropped, key)
			set(key, nil)
		}
	}
	return dropped
}

// note keeps the original entry of a schema.
func (o *Original) note(key string, said json.RawMessage) {
	if o.Notes == nil {
		o.Notes = map[string]json.RawMessage{}
	}
	o.Notes[key] = said
}

// editPandas edits the entry of a column in pandas' metadata. Columns within others have
// none.
func editPandas(raw []byte, p Place, was *Original, text bool) []byte {
	var meta map[string]json.RawMessage
	var columns []json.RawMessage
	if json.Unmarshal(raw, &meta) != nil || json.Unmarshal(meta["columns"], &columns) != nil {
		return nil
	}
	for i := range columns {
		var c map[string]json.RawMessage
		var field, name string
		if json.Unmarshal(columns[i], &c) != nil {
			return nil
		}
		if json.Unmarshal(c["field_name"], &field) != nil || field == "" { // older writers have only "name"
			if json.Unmarshal(c["name"], &name) != nil {
				continue // an entry whose name is no string is not a column of the file
			}
			field = name
		}
		if len(p.Path) != 1 || field != p.Path[0] {
			continue
		}
		if text {
			was.note(PandasKey, columns[i])
			c["pandas_type"], c["numpy_type"], c["metadata"] = json.RawMessage(`"unicode"`), json.RawMessage(`"object"`), json.RawMessage(`null`)
			columns[i] = marshal(c)
		} else if said := was.Notes[PandasKey]; said != nil {
			columns[i] = said
		}
	}
	meta["columns"] = marshal(columns)
	return marshal(meta)
}

// marshal encodes JSON that was decoded before.
func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic("typed: JSON that was read is not written: " + err.Error())
	}
	return b
}

// editSpark edits the type of a column in the schema of Spark, whose leaves have the same
// order as the file's.
func editSpark(raw []byte, p Place, was *Original, text bool) []byte {
	said := json.RawMessage(`"string"`)
	if !text {
		if said = was.Notes[SparkKey]; said == nil {
			return nil
		}
	}
	e := sparkEdit{at: p.Leaf, to: said}
	edited, ok := e.visit(raw, 0)
	if !ok || e.seen != p.Leaves {
		return nil
	}
	if text {
		was.note(SparkKey, e.was)
	}
	return edited
}

// sparkEdit replaces the type of one leaf of a Spark schema.
type sparkEdit struct {
	at      int             // index of the leaf to replace
	to, was json.RawMessage // its new and its original type
	seen    int             // leaves visited so far
}

// visit returns a type with the leaf replaced. ok is false for an unknown type.
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

// IsExtension reports whether a metadata key of an Arrow field declares an extension
// type, which strings would not be.
func IsExtension(key string) bool { return strings.HasPrefix(key, "ARROW:extension:") }
