package parquet

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go/format"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
	"github.com/velonym/velonym/engine/bulk/internal/typed"
)

// leaf is a leaf column of a schema.
type leaf struct {
	path           []string
	kind           format.Type   // of the input's values
	element        *thrift.Value // SchemaElement, edited into that of the output
	variant        bool          // part of a VARIANT
	maxDef, maxRep int

	layout *typed.Layout // of the input's values; nil: they are text
	output *typed.Layout // of the output's values; nil: they are text
}

// name returns the dotted name.
func (l *leaf) name() string { return strings.Join(l.path, ".") }

// optional reports whether the values themselves may be null.
func (l *leaf) optional() bool {
	return format.FieldRepetitionType(l.element.Int(elementRepetition)) == format.Optional
}

// readSchema returns the leaves of a footer's schema in order.
func (f *reader) readSchema(meta *thrift.Value) ([]leaf, error) {
	elements := meta.Items(fileSchema)
	var leaves []leaf
	at := 0
	var visit func(path []string, def, rep, depth int, variant bool) error
	visit = func(path []string, def, rep, depth int, variant bool) error {
		if at >= len(elements) || depth > 100 {
			return f.bad("footer: the schema is damaged")
		}
		e := &elements[at]
		at++
		if depth > 0 {
			path = append(slices.Clip(path), e.Text(elementName))
			switch format.FieldRepetitionType(e.Int(elementRepetition)) {
			case format.Optional:
				def++
			case format.Repeated:
				def, rep = def+1, rep+1
			}
		}
		if children := e.Int(elementChildren); children > 0 || depth == 0 {
			variant = variant || e.Field(elementLogical).Field(logicalVariant) != nil
			for range children {
				if err := visit(path, def, rep, depth+1, variant); err != nil {
					return err
				}
			}
			return nil
		}
		leaves = append(leaves, leaf{path: path, kind: format.Type(e.Int(elementType)), element: e, variant: variant, maxDef: def, maxRep: rep})
		return nil
	}
	if err := visit(nil, 0, 0, 0, false); err != nil {
		return nil, err
	}
	if at != len(elements) {
		return nil, f.bad("footer: the schema is damaged")
	}
	return leaves, nil
}

// annotate changes the annotation of a leaf of byte arrays from JSON or ENUM to string and
// returns the former annotation. A leaf without annotation keeps none.
func (f *File) annotate(l *leaf) (was string, err error) {
	e := l.element
	logical, converted := e.Field(elementLogical), e.Field(elementConverted)
	if logical != nil && len(logical.List) > 0 {
		switch logical.List[0].ID {
		case logicalEnum:
			was = "ENUM"
		case logicalJSON:
			was = "JSON"
		}
	}
	if converted != nil {
		switch converted.Num {
		case convertedEnum:
			was = "ENUM"
		case convertedJSON:
			was = "JSON"
		}
	}
	if err := f.checkKeyValues(l, was == "JSON"); err != nil || was == "" {
		return "", err
	}
	if converted != nil {
		converted.Num = convertedUTF8
	}
	if logical != nil {
		logical.List = []thrift.Value{{ID: logicalString, Kind: thrift.Struct}}
	}
	return was, nil
}

func nameOr(name, kind string, id int64) string {
	if name == "" {
		return fmt.Sprintf("%s %d", kind, id)
	}
	return name
}

// checkKeyValues refuses a column to which the key-value metadata of another system assigns a
// meaning that results would not have.
func (f *File) checkKeyValues(l *leaf, isJSON bool) error {
	for i := range f.meta.Items(fileKeyValues) {
		kv := &f.meta.Items(fileKeyValues)[i]
		switch kv.Text(keyValueKey) {
		case "geo":
			var geo struct {
				Columns map[string]json.RawMessage `json:"columns"`
			}
			if json.Unmarshal([]byte(kv.Text(keyValueValue)), &geo) != nil {
				continue // not GeoParquet
			}
			if _, ok := geo.Columns[l.name()]; ok {
				return f.refuse(l, "holds geometries (GeoParquet), which its results would not be")
			}
		case "ARROW:schema":
			b, err := base64.StdEncoding.DecodeString(kv.Text(keyValueValue))
			if err == nil && isJSON && strings.Contains(string(b), "arrow.json") {
				return f.refuse(l, "is JSON to Arrow (arrow.json in the schema kept in ARROW:schema), which its results would not be; cast it to a string first")
			}
		}
	}
	return nil
}

// checkRowGroups refuses row groups that Write does not support.
func (f *File) checkRowGroups() error {
	rows := int64(0)
	for i := range f.meta.Items(fileRowGroups) {
		group := &f.meta.Items(fileRowGroups)[i]
		columns, n := group.Items(groupColumns), group.Int(groupRows)
		if len(columns) != len(f.leaves) {
			return f.bad("footer: row group %d has %d columns, the schema %d", i+1, len(columns), len(f.leaves))
		}
		if n < 0 || rows+n < rows {
			return f.bad("footer: row group %d has %d rows: it is damaged", i+1, n)
		}
		rows += n
		for c := range columns {
			if err := f.checkChunk(&columns[c], c, i+1, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkChunk is checkRowGroups for one column chunk.
func (f *File) checkChunk(chunk *thrift.Value, c, group int, rows int64) error {
	l := &f.leaves[c]
	m := chunk.Field(chunkMeta)
	switch {
	case chunk.Field(chunkCrypto) != nil || chunk.Field(chunkEncryptedMeta) != nil:
		return f.refuse(l, "is encrypted; decrypt the file first")
	case chunk.Text(chunkFilePath) != "":
		return f.refuse(l, "lies in another file")
	case m == nil:
		return f.bad("footer: column %s has no metadata", quote(l.name()))
	}
	if f.replaced[c] == nil {
		return nil
	}
	if codec := format.CompressionCodec(m.Int(metaCodec)); !knownCodec(codec) {
		return f.refuse(l, "is compressed with codec %v (%d), which is not read here", codec, codec)
	}
	if k := format.Type(m.Int(metaType)); k != l.kind {
		return f.bad("footer: column %s is of type %v, and not as the schema says: it is damaged", quote(l.name()), k)
	}
	_, err := f.chunkOf(m, l, group, rows)
	return err
}
