package bulk

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go/format"
)

// leaf is a column of values in a schema.
type leaf struct {
	path           []string
	kind           format.Type
	element        *thriftValue // SchemaElement
	variant        bool         // part of a VARIANT
	maxDef, maxRep int
}

func (l *leaf) name() string { return strings.Join(l.path, ".") }

// optional says whether the values themselves may be null.
func (l *leaf) optional() bool {
	return format.FieldRepetitionType(l.element.int(3)) == format.Optional
}

// readSchema flattens the schema of a footer.
func (f *parquetFile) readSchema(meta *thriftValue) ([]leaf, error) {
	elements := meta.items(2)
	var leaves []leaf
	at := 0
	var walk func(path []string, def, rep, depth int, variant bool) error
	walk = func(path []string, def, rep, depth int, variant bool) error {
		if at >= len(elements) || depth > 100 {
			return f.bad("footer: the schema is damaged")
		}
		e := &elements[at]
		at++
		if depth > 0 {
			path = append(slices.Clip(path), e.text(4))
			switch format.FieldRepetitionType(e.int(3)) {
			case format.Optional:
				def++
			case format.Repeated:
				def, rep = def+1, rep+1
			}
		}
		if children := e.int(5); children > 0 || depth == 0 {
			variant = variant || e.field(10).field(logicalVariant) != nil
			for range children {
				if err := walk(path, def, rep, depth+1, variant); err != nil {
					return err
				}
			}
			return nil
		}
		leaves = append(leaves, leaf{path, format.Type(e.int(1)), e, variant, def, rep})
		return nil
	}
	if err := walk(nil, 0, 0, 0, false); err != nil {
		return nil, err
	}
	if at != len(elements) {
		return nil, f.bad("footer: the schema is damaged")
	}
	return leaves, nil
}

// choose finds the columns of the job among the leaves and makes the schema say
// what they will hold.
func (p *parquetRun) choose(meta *thriftValue) error {
	var names []string
	for i := range p.leaves {
		names = append(names, p.leaves[i].name())
	}
	groups := map[int]*group{}
	for i, c := range p.Columns {
		at, err := p.find(c, names)
		if err != nil {
			return err
		}
		if p.chosen[at] != nil {
			return usagef("%s: column %s (#%d) is given twice", p.src.name, quoteName(names[at]), at+1)
		}
		if err := p.annotate(meta, &p.leaves[at]); err != nil {
			return err
		}
		var key any = c.Plan
		if c.Remote != nil {
			key = c.Remote
		}
		gi := p.groups[key]
		if groups[gi] == nil {
			groups[gi] = newGroup(c, p.docs[gi], nil)
		}
		p.chosen[at] = &parquetColumn{name: names[at], job: i, g: groups[gi], doc: p.docs[gi] != nil}
	}
	return nil
}

// find returns the leaf that c means: by number in the order of the schema, by its
// dotted name, by that of a group or list with no other leaf in it, or, where no
// column has the name and it is a number, by that. What could mean two is refused.
func (p *parquetRun) find(c Column, names []string) (int, error) {
	if c.Number > 0 {
		if c.Number > len(names) {
			return 0, p.bad("no column #%d; there are %d", c.Number, len(names))
		}
		return c.Number - 1, nil
	}
	var same, below []int
	for i, name := range names {
		switch {
		case name == c.Name:
			same = append(same, i)
		case strings.HasPrefix(name, c.Name+"."):
			below = append(below, i)
		}
	}
	number, err := strconv.Atoi(c.Name)
	if err != nil || strconv.Itoa(number) != c.Name || number < 1 {
		number = 0
	}
	found := same
	if len(found) == 0 {
		found = below
	}
	switch {
	case len(same) > 1:
		return 0, p.bad("column %s is there %d times; give its number: %s", quoteName(c.Name), len(same), numbers(same))
	case len(found) > 1:
		var in []string
		for _, i := range found {
			in = append(in, names[i])
		}
		return 0, p.bad("column %s holds several; name one of %s", quoteName(c.Name), listNames(in))
	case len(found) == 1:
		if number > 0 && number <= len(names) && number-1 != found[0] {
			return 0, p.bad("column %s: that is the name of one and the number of another; write #%d for the one of that name, #%d for the other, %s",
				quoteName(c.Name), found[0]+1, number, quoteName(names[number-1]))
		}
		return found[0], nil
	case number > len(names):
		return 0, p.bad("no column %s; there are %d", quoteName(c.Name), len(names))
	case number > 0:
		return number - 1, nil
	}
	return 0, p.bad("no column %s; there are %s", quoteName(c.Name), listNames(names))
}

// numbers lists columns by number.
func numbers(at []int) string {
	var s []string
	for _, i := range at {
		s = append(s, fmt.Sprintf("#%d", i+1))
	}
	return strings.Join(s, ", ")
}

// Field ids of the union LogicalType, and ConvertedTypes.
const (
	logicalString  = 1
	logicalEnum    = 4
	logicalUnknown = 11
	logicalJSON    = 12
	logicalVariant = 16

	convertedUTF8 = 0
	convertedEnum = 4
	convertedJSON = 19
)

var logicalNames = map[int16]string{2: "MAP", 3: "LIST", 5: "DECIMAL", 6: "DATE", 7: "TIME", 8: "TIMESTAMP", 10: "INTEGER",
	13: "BSON", 14: "UUID", 15: "FLOAT16", logicalVariant: "VARIANT", 17: "GEOMETRY", 18: "GEOGRAPHY"}

var convertedNames = map[int64]string{1: "MAP", 2: "MAP_KEY_VALUE", 3: "LIST", 5: "DECIMAL", 6: "DATE", 20: "BSON", 21: "INTERVAL"}

// annotate has the schema say that the leaf holds text, if it said that it holds
// JSON or names of an enumeration, and refuses what its results cannot pass for.
// A column of bytes stays one.
func (p *parquetRun) annotate(meta *thriftValue, l *leaf) error {
	const only = "only strings and binary values (BYTE_ARRAY) can be replaced"
	e, name := l.element, quoteName(l.name())
	if l.kind != format.ByteArray {
		return p.bad("column %s is of type %v; %s", name, l.kind, only)
	}
	if l.variant {
		return p.bad("column %s is part of a VARIANT, whose bytes hold more than one value; %s", name, only)
	}
	is := ""
	logical, converted := e.field(10), e.field(6)
	if logical != nil && len(logical.list) > 0 {
		switch id := logical.list[0].id; id {
		case logicalString, logicalUnknown:
		case logicalEnum:
			is = "ENUM"
		case logicalJSON:
			is = "JSON"
		default:
			return p.bad("column %s is annotated as %s, which its results would not be; %s", name, nameOr(logicalNames[id], "logical type", int64(id)), only)
		}
	}
	if converted != nil {
		switch converted.num {
		case convertedUTF8:
		case convertedEnum:
			is = "ENUM"
		case convertedJSON:
			is = "JSON"
		default:
			return p.bad("column %s is annotated as %s, which its results would not be; %s", name, nameOr(convertedNames[converted.num], "converted type", converted.num), only)
		}
	}
	if err := p.ownSchemas(meta, l, is == "JSON"); err != nil || is == "" {
		return err
	}
	if converted != nil {
		converted.num = convertedUTF8
	}
	if logical != nil {
		logical.list = []thriftValue{{id: logicalString, kind: thriftStruct}}
	}
	p.warn("%s: column %s was annotated as %s; in the output it is a plain string (UTF-8)", p.src.name, name, is)
	return nil
}

func nameOr(name, kind string, id int64) string {
	if name == "" {
		return fmt.Sprintf("%s %d", kind, id)
	}
	return name
}

// ownSchemas refuses a column that the schema of another system, kept in the
// file's metadata, takes for what the results would not be.
func (p *parquetRun) ownSchemas(meta *thriftValue, l *leaf, isJSON bool) error {
	for i := range meta.items(5) {
		kv := &meta.items(5)[i]
		switch kv.text(1) {
		case "geo":
			var geo struct {
				Columns map[string]json.RawMessage `json:"columns"`
			}
			if json.Unmarshal([]byte(kv.text(2)), &geo) != nil {
				continue // no GeoParquet
			}
			if _, ok := geo.Columns[l.name()]; ok {
				return p.bad("column %s holds geometries (GeoParquet), which its results would not be", quoteName(l.name()))
			}
		case "ARROW:schema":
			b, err := base64.StdEncoding.DecodeString(kv.text(2))
			if err == nil && isJSON && strings.Contains(string(b), "arrow.json") {
				return p.bad("column %s is JSON to Arrow (arrow.json in the schema kept in ARROW:schema), which its results would not be; cast it to a string first", quoteName(l.name()))
			}
		}
	}
	return nil
}

// check refuses what cannot be done before anything is written.
func (p *parquetRun) check(meta *thriftValue) error {
	rows := int64(0)
	for i := range meta.items(4) {
		rg := &meta.items(4)[i]
		if len(rg.items(1)) != len(p.leaves) {
			return p.bad("footer: row group %d has %d columns, the schema %d", i+1, len(rg.items(1)), len(p.leaves))
		}
		if rg.int(3) < 0 || rows+rg.int(3) < rows {
			return p.bad("footer: row group %d has %d rows: it is damaged", i+1, rg.int(3))
		}
		rows += rg.int(3)
		for c := range rg.items(1) {
			cc := &rg.items(1)[c]
			m := cc.field(3)
			switch {
			case cc.field(8) != nil || cc.field(9) != nil:
				return p.bad("column %s is encrypted; decrypt the file first", quoteName(p.leaves[c].name()))
			case cc.text(1) != "":
				return p.bad("column %s lies in another file", quoteName(p.leaves[c].name()))
			case m == nil:
				return p.bad("footer: column %s has no metadata", quoteName(p.leaves[c].name()))
			}
			if p.chosen[c] == nil {
				continue
			}
			if codec := format.CompressionCodec(m.int(4)); !knownCodec(codec) {
				return p.bad("column %s is compressed with codec %v (%d), which is not read here", quoteName(p.leaves[c].name()), codec, codec)
			}
			if k := format.Type(m.int(1)); k != format.ByteArray {
				return p.bad("footer: column %s is of type %v, and not as the schema says: it is damaged", quoteName(p.leaves[c].name()), k)
			}
			if _, err := p.chunkOf(m, &p.leaves[c], rg.int(3)); err != nil {
				return err
			}
		}
	}
	return nil
}

// knownCodec: LZO has no free implementation, and the old LZ4 two framings.
func knownCodec(c format.CompressionCodec) bool {
	switch c {
	case format.Uncompressed, format.Snappy, format.Gzip, format.Brotli, format.Zstd, format.Lz4Raw:
		return true
	}
	return false
}
