package arrow

import (
	"encoding/binary"

	flatbuffers "github.com/google/flatbuffers/go"

	"github.com/velonym/velonym/engine/bulk/internal/typed"
)

// offset is a position in a FlatBuffer under construction. A FlatBuffer is written from its
// end, so whatever a table refers to is built before the table.
type offset = flatbuffers.UOffsetT

// fresh returns the builder of messages, emptied.
func (s *Stream) fresh() *flatbuffers.Builder {
	if s.builder == nil {
		s.builder = flatbuffers.NewBuilder(4096)
	}
	s.builder.Reset()
	return s.builder
}

// encode returns the metadata of a record or dictionary batch: that of m with the nodes of b,
// the given buffers, and a body of the given number of bytes.
func (s *Stream) encode(m *message, b *batch, buffers []span, variadic []int64, body int64) []byte {
	fb := s.fresh()
	custom := putPairs(fb, m.top.pairs(4))
	counts := offset(0)
	if len(variadic) > 0 {
		fb.StartVector(8, len(variadic), 8)
		for i := len(variadic) - 1; i >= 0; i-- {
			fb.PrependInt64(variadic[i])
		}
		counts = fb.EndVector(len(variadic))
	}
	fb.StartVector(16, len(buffers), 8)
	for i := len(buffers) - 1; i >= 0; i-- {
		fb.PrependInt64(buffers[i].n)
		fb.PrependInt64(buffers[i].off)
	}
	spans := fb.EndVector(len(buffers))
	fb.StartVector(16, len(b.nodes), 8)
	for i := len(b.nodes) - 1; i >= 0; i-- {
		fb.PrependInt64(b.nodes[i].nulls)
		fb.PrependInt64(b.nodes[i].length)
	}
	nodes := fb.EndVector(len(b.nodes))
	packed := offset(0)
	if b.codec != codecNone {
		fb.StartObject(2)
		fb.PrependInt8Slot(0, int8(b.codec), 0)
		packed = fb.EndObject()
	}
	fb.StartObject(5)
	fb.PrependInt64Slot(0, b.rows, 0)
	fb.PrependUOffsetTSlot(1, nodes, 0)
	fb.PrependUOffsetTSlot(2, spans, 0)
	fb.PrependUOffsetTSlot(3, packed, 0)
	fb.PrependUOffsetTSlot(4, counts, 0)
	header := fb.EndObject()
	if m.kind == headerDictionary {
		fb.StartObject(3)
		fb.PrependInt64Slot(0, m.header.i64(0), 0)
		fb.PrependUOffsetTSlot(1, header, 0)
		fb.PrependBoolSlot(2, m.header.u8(2) != 0, false)
		header = fb.EndObject()
	}
	return finishMessage(fb, m.version, m.kind, header, body, custom)
}

// finishMessage finishes a table Message.
func finishMessage(fb *flatbuffers.Builder, version int16, kind byte, header offset, body int64, custom offset) []byte {
	fb.StartObject(5)
	fb.PrependInt16Slot(0, version, 0)
	fb.PrependByteSlot(1, kind, 0)
	fb.PrependUOffsetTSlot(2, header, 0)
	fb.PrependInt64Slot(3, body, 0)
	fb.PrependUOffsetTSlot(4, custom, 0)
	fb.Finish(fb.EndObject())
	return fb.FinishedBytes()
}

// encodeSchema returns the message of the output's schema. first is the message of the
// input's schema, or nil.
func (s *Stream) encodeSchema(first []byte) ([]byte, error) {
	fb := s.fresh()
	custom, version := offset(0), int16(metadataV5)
	if first != nil {
		m, err := s.parseMessage(first)
		if err != nil {
			return nil, err
		}
		custom, version = putPairs(fb, m.top.pairs(4)), m.version
	} else if s.schema.old {
		version--
	}
	message := finishMessage(fb, version, headerSchema, s.schema.put(fb), 0, custom)
	if s.schema.table.f.damaged {
		return nil, s.bad("%w", errSchema)
	}
	return message, nil
}

// encodeFooter returns the footer of a file with these dictionaries and batches.
func (s *Stream) encodeFooter(dicts, batches []block) []byte {
	footer := (&flat{b: s.file.footer}).root()
	fb := s.fresh()
	custom := putPairs(fb, footer.pairs(4))
	places := [2]offset{putBlocks(fb, dicts), putBlocks(fb, batches)}
	schema := s.schema.put(fb)
	fb.StartObject(5)
	fb.PrependInt16Slot(0, footer.i16(0), 0)
	fb.PrependUOffsetTSlot(1, schema, 0)
	fb.PrependUOffsetTSlot(2, places[0], 0)
	fb.PrependUOffsetTSlot(3, places[1], 0)
	fb.PrependUOffsetTSlot(4, custom, 0)
	fb.Finish(fb.EndObject())
	return fb.FinishedBytes()
}

func putBlocks(fb *flatbuffers.Builder, blocks []block) offset {
	const size = 24
	fb.StartVector(size, len(blocks), 8)
	for i := len(blocks) - 1; i >= 0; i-- {
		fb.Prep(8, size)
		fb.PrependInt64(blocks[i].body)
		fb.Pad(4)
		fb.PrependInt32(int32(blocks[i].metadata))
		fb.PrependInt64(blocks[i].off)
	}
	return fb.EndVector(len(blocks))
}

// put puts a table Schema.
func (s *schema) put(fb *flatbuffers.Builder) offset {
	fields := putFields(fb, s.top)
	metadata := putPairs(fb, s.metadata)
	features := offset(0)
	if at, n := s.table.vector(3, 8); n > 0 {
		fb.StartVector(8, n, 8)
		for i := n - 1; i >= 0; i-- {
			fb.PrependInt64(s.table.f.i64(at + 8*i))
		}
		features = fb.EndVector(n)
	}
	fb.StartObject(4) // little endian, which is the default
	fb.PrependUOffsetTSlot(1, fields, 0)
	fb.PrependUOffsetTSlot(2, metadata, 0)
	fb.PrependUOffsetTSlot(3, features, 0)
	return fb.EndObject()
}

func putFields(fb *flatbuffers.Builder, fields []*field) offset {
	all := make([]offset, len(fields))
	for i, f := range fields {
		all[i] = f.put(fb)
	}
	return putTables(fb, all)
}

func putTables(fb *flatbuffers.Builder, all []offset) offset {
	fb.StartVector(4, len(all), 4)
	for i := len(all) - 1; i >= 0; i-- {
		fb.PrependUOffsetT(all[i])
	}
	return fb.EndVector(len(all))
}

// putPairs puts a vector of tables KeyValue.
func putPairs(fb *flatbuffers.Builder, pairs []pair) offset {
	if len(pairs) == 0 {
		return 0
	}
	all := make([]offset, len(pairs))
	for i, p := range pairs {
		key, value := fb.CreateString(p.key), fb.CreateString(p.value)
		fb.StartObject(2)
		fb.PrependUOffsetTSlot(0, key, 0)
		fb.PrependUOffsetTSlot(1, value, 0)
		all[i] = fb.EndObject()
	}
	return putTables(fb, all)
}

// put puts the table Field of the output.
func (f *field) put(fb *flatbuffers.Builder) offset {
	is := f.retyped
	if is == nil {
		is = &newType{kind: f.kind, table: f.table.table(3), dictionary: f.dictionary, metadata: f.metadata}
	}
	name := fb.CreateString(f.name)
	of := is.put(fb)
	dictionary := offset(0)
	if is.dictionary {
		dictionary = putDictionary(fb, f.table.table(4))
	}
	children := putFields(fb, append(f.inner, f.children...))
	metadata := putPairs(fb, is.metadata)
	fb.StartObject(7)
	fb.PrependUOffsetTSlot(0, name, 0)
	fb.PrependBoolSlot(1, f.nullable, false)
	fb.PrependByteSlot(2, byte(is.kind), 0)
	fb.PrependUOffsetTSlot(3, of, 0)
	fb.PrependUOffsetTSlot(4, dictionary, 0)
	fb.PrependUOffsetTSlot(5, children, 0)
	fb.PrependUOffsetTSlot(6, metadata, 0)
	return fb.EndObject()
}

// putDictionary puts a copy of a table DictionaryEncoding.
func putDictionary(fb *flatbuffers.Builder, d table) offset {
	index := offset(0)
	if t := d.table(1); t.f != nil {
		index = putType(fb, kindInt, t)
	}
	fb.StartObject(4)
	fb.PrependInt64Slot(0, d.i64(0), 0)
	fb.PrependUOffsetTSlot(1, index, 0)
	fb.PrependBoolSlot(2, d.u8(2) != 0, false)
	fb.PrependInt16Slot(3, d.i16(3), 0)
	return fb.EndObject()
}

// newType is the type that a field has in the output.
type newType struct {
	kind       kind
	table      table // of the union Type; the zero value has no field
	dictionary bool
	metadata   []pair
}

func (t *newType) put(fb *flatbuffers.Builder) offset { return putType(fb, t.kind, t.table) }

// Fields of the tables of types: bytes of a number, or one of these.
const (
	typeText = -1
	typeInts = -2
)

// typeFields are the fields of the tables of types, by slot. Types that are not here have
// none.
var typeFields = map[kind][]int{
	kindInt:             {4, 1},
	kindFloat:           {2},
	kindDecimal:         {4, 4, 4},
	kindDate:            {2},
	kindTime:            {2, 4},
	kindTimestamp:       {2, typeText},
	kindInterval:        {2},
	kindUnion:           {2, typeInts},
	kindFixedSizeBinary: {4},
	kindFixedSizeList:   {4},
	kindMap:             {1},
	kindDuration:        {2},
}

// putType puts a copy of the table of a type.
func putType(fb *flatbuffers.Builder, k kind, t table) offset {
	fields := typeFields[k]
	parts := make([]offset, len(fields))
	for slot, size := range fields {
		switch {
		case t.field(slot) == 0:
		case size == typeText:
			parts[slot] = fb.CreateString(t.text(slot))
		case size == typeInts:
			at, n := t.vector(slot, 4)
			fb.StartVector(4, n, 4)
			for i := n - 1; i >= 0; i-- {
				fb.PrependInt32(int32(t.f.u32(at + 4*i)))
			}
			parts[slot] = fb.EndVector(n)
		}
	}
	fb.StartObject(len(fields))
	for slot, size := range fields {
		at := t.field(slot)
		if at == 0 {
			continue
		}
		switch size {
		case 1:
			fb.PrependByte(t.u8(slot))
		case 2:
			fb.PrependInt16(t.i16(slot))
		case 4:
			fb.PrependInt32(t.i32(slot, 0))
		default:
			fb.PrependUOffsetT(parts[slot])
		}
		fb.Slot(slot)
	}
	return fb.EndObject()
}

// usualType returns the kind and the table that Arrow's writers choose for a type.
func usualType(t typed.Type) newType {
	fb := flatbuffers.NewBuilder(64)
	var k kind
	switch t.Kind {
	case typed.Int, typed.Uint:
		k = kindInt
		fb.StartObject(2)
		fb.PrependInt32Slot(0, int32(8*t.Size), 0)
		fb.PrependBoolSlot(1, t.Kind == typed.Int, false)
	case typed.Decimal:
		k = kindDecimal
		width := int32(128)
		if t.Precision > 38 {
			width = 256
		}
		fb.StartObject(3)
		fb.PrependInt32Slot(0, int32(t.Precision), 0)
		fb.PrependInt32Slot(2, width, 128)
	default:
		k = kindFixedSizeBinary
		width := t.Size
		if t.Kind == typed.UUID {
			width = 16
		}
		fb.StartObject(1)
		fb.PrependInt32Slot(0, int32(width), 0)
	}
	fb.Finish(fb.EndObject())
	return newType{kind: k, table: (&flat{b: fb.FinishedBytes()}).root()}
}

// framed returns the message of metadata with the prefix of a message before it and the mark
// that ends a stream after it.
func framed(metadata []byte) []byte {
	pad := -len(metadata) & 7
	b := binary.LittleEndian.AppendUint32(nil, continuation)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(metadata)+pad))
	b = append(b, metadata...)
	b = append(b, zeros[:pad]...)
	b = binary.LittleEndian.AppendUint32(b, continuation)
	return binary.LittleEndian.AppendUint32(b, 0)
}
