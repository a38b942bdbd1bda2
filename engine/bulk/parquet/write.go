package parquet

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
)

// State is how far Write is. Another Write can continue from the state after a column chunk
// and the output up to Out.
type State struct {
	Chunks   int           // column chunks written
	Out      int64         // bytes written
	Rows     int64         // of the complete row groups
	Replaced *WrittenChunk // the chunk written last, if its values were replaced
}

// WrittenChunk describes a replaced column chunk for the footer of a Write that continues. It
// holds no value.
type WrittenChunk struct {
	Meta    []byte `json:"meta"`              // ColumnMetaData
	Offsets []byte `json:"offsets,omitempty"` // OffsetIndex
	Sum     uint32 `json:"sum"`               // CRC-32C of its bytes
}

// Resume is where Write continues: the Chunks and Out of a State, and each Replaced so far.
type Resume struct {
	Chunks   int
	Out      int64
	Replaced []WrittenChunk
}

// ErrResume means that a Resume does not fit the file.
var ErrResume = errors.New("does not fit the file")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// writer counts what it writes.
type writer struct {
	w   io.Writer
	n   int64
	sum uint32 // CRC-32C of the bytes written since it was set to 0
}

func (p *writer) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.n += int64(n)
	p.sum = crc32.Update(p.sum, castagnoli, b)
	return n, err
}

// chunkIndexes holds the indexes of a column chunk, which are written after all data.
type chunkIndexes struct {
	chunk   *thrift.Value
	offsets *thrift.Value // the offset index, edited
	column  []byte        // the column index, unchanged
	bloom   []byte        // the bloom filter, unchanged
}

// Write writes the file with its columns replaced to w, and calls written after each column
// chunk. It writes only what follows from, up to which an earlier Write has come. Write
// returns its last state, also with an error; it returns the error of ctx unchanged.
func (f *File) Write(ctx context.Context, w io.Writer, from Resume, written func(State) error) (State, error) {
	f.out = &writer{w: w}
	s := State{}
	err := f.write(ctx, &s, from, written)
	s.Out = f.out.n
	return s, err
}

func (f *File) write(ctx context.Context, s *State, from Resume, written func(State) error) error {
	if from.Chunks > 0 {
		f.out.n = int64(len(magic))
	} else if _, err := io.WriteString(f.out, magic); err != nil {
		return err
	}
	var indexes []chunkIndexes
	for i := range f.meta.Items(fileRowGroups) {
		group := &f.meta.Items(fileRowGroups)[i]
		start, unpacked, packed := f.out.n, int64(0), int64(0)
		for c := range group.Items(groupColumns) {
			x, err := f.nextChunk(ctx, s, &from, group, i+1, c)
			if err != nil {
				return err
			}
			indexes = append(indexes, x)
			m := x.chunk.Field(chunkMeta)
			unpacked += m.Int(metaUnpacked)
			packed += m.Int(metaPacked)
			switch {
			case s.Chunks > from.Chunks:
				if err := f.report(s, f.replaced[c] != nil, x, written); err != nil {
					return err
				}
			case s.Chunks == from.Chunks && f.out.n != from.Out:
				return f.bad("%w", ErrResume)
			}
		}
		group.Put(groupUnpacked, thrift.I64, unpacked)
		group.Set(groupOffset, start)
		group.Set(groupPacked, packed)
		f.cutSorting(group)
		f.row += group.Int(groupRows)
		s.Rows = f.row
	}
	return f.writeFooter(indexes)
}

// nextChunk writes the next column chunk, unless an earlier Write has.
func (f *File) nextChunk(ctx context.Context, s *State, from *Resume, group *thrift.Value, number, c int) (x chunkIndexes, err error) {
	if err := ctx.Err(); err != nil {
		return x, err
	}
	s.Chunks++
	var was *WrittenChunk
	if s.Chunks <= from.Chunks {
		was = &WrittenChunk{}
		if f.replaced[c] != nil {
			if len(from.Replaced) == 0 {
				return x, f.bad("%w", ErrResume)
			}
			was, from.Replaced = &from.Replaced[0], from.Replaced[1:]
		}
	}
	return f.chunk(ctx, group, number, c, was)
}

// report passes the state after a column chunk to written.
func (f *File) report(s *State, replaced bool, x chunkIndexes, written func(State) error) error {
	s.Out, s.Replaced = f.out.n, nil
	if replaced {
		s.Replaced = &WrittenChunk{Meta: x.chunk.Field(chunkMeta).Append(nil), Sum: f.written[len(f.written)-1].sum}
		if x.offsets != nil {
			s.Replaced.Offsets = x.offsets.Append(nil)
		}
	}
	return written(*s)
}

// cutSorting ends a row group's sort order before the first replaced column.
func (f *File) cutSorting(group *thrift.Value) {
	for k, s := range group.Items(groupSorting) {
		if f.replaced[int(s.Int(sortingColumn))] != nil {
			group.Field(groupSorting).List = group.Items(groupSorting)[:k]
			if k == 0 {
				group.Remove(groupSorting)
			}
			return
		}
	}
}

// writeFooter writes everything that follows the data. Bloom filters do not stand between
// column and offset indexes, since some readers read those as one block.
func (f *File) writeFooter(indexes []chunkIndexes) error {
	for _, x := range indexes {
		if x.column != nil {
			x.chunk.Put(chunkColumnIndexOffset, thrift.I64, f.out.n)
			if _, err := f.out.Write(x.column); err != nil {
				return err
			}
		}
	}
	for _, x := range indexes {
		if x.offsets != nil {
			b := x.offsets.Append(nil)
			x.chunk.Put(chunkOffsetIndexOffset, thrift.I64, f.out.n)
			x.chunk.Put(chunkOffsetIndexLength, thrift.I32, int64(len(b)))
			if _, err := f.out.Write(b); err != nil {
				return err
			}
		}
	}
	for _, x := range indexes {
		if x.bloom != nil {
			x.chunk.Field(chunkMeta).Put(metaBloomOffset, thrift.I64, f.out.n)
			if _, err := f.out.Write(x.bloom); err != nil {
				return err
			}
		}
	}
	b := f.meta.Append(nil)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(b)))
	_, err := f.out.Write(append(b, magic...))
	return err
}

// chunk writes a column chunk, copied or replaced, and updates its metadata. If was is not
// nil, an earlier Write has written the chunk, and was describes it.
func (f *File) chunk(ctx context.Context, group *thrift.Value, number, c int, was *WrittenChunk) (x chunkIndexes, err error) {
	chunk := &group.Items(groupColumns)[c]
	x.chunk = chunk
	chunk.Put(chunkFileOffset, thrift.I64, 0) // readers use the offsets in the metadata
	if off := chunk.Int(chunkOffsetIndexOffset); off > 0 {
		b, err := f.read(off, chunk.Int(chunkOffsetIndexLength), "an offset index")
		if err != nil {
			return x, err
		}
		v, _, err := thrift.ReadWithin(b, f.memory/thrift.ValueSize)
		if err != nil {
			return x, f.bad("offset index: %w", err)
		}
		x.offsets = &v
	}
	m := chunk.Field(chunkMeta)
	if f.replaced[c] == nil {
		return x, f.copyChunk(m, &x, was)
	}
	chunk.Remove(chunkColumnIndexOffset, chunkColumnIndexLength)
	ch, err := f.chunkOf(m, &f.leaves[c], number, group.Int(groupRows))
	if err != nil {
		return x, err
	}
	m.Remove(metaKeyValues, metaBloomOffset, metaBloomLength, metaGeoStatistics)
	m.Field(metaStatistics).Keep(statisticsNulls)
	m.Field(metaSizeStatistics).Remove(sizeStatisticsText)
	if x.offsets != nil {
		x.offsets.Remove(offsetIndexText)
	}
	if was != nil {
		return x, f.loadWritten(m, &x, was)
	}
	return x, f.replaceChunk(ctx, m, f.replaced[c], &ch, x.offsets)
}

// loadWritten sets the metadata of a replaced chunk to that of was.
func (f *File) loadWritten(m *thrift.Value, x *chunkIndexes, was *WrittenChunk) error {
	v, _, err := thrift.Read(was.Meta)
	if err != nil {
		return f.bad("%w", ErrResume)
	}
	v.ID = m.ID
	*m = v
	f.written = append(f.written, replacedSum{sum: was.Sum})
	if x.offsets != nil {
		v, _, err := thrift.Read(was.Offsets)
		if err != nil {
			return f.bad("%w", ErrResume)
		}
		x.offsets = &v
	}
	f.out.n += m.Int(metaPacked)
	return nil
}

// copyChunk copies a chunk and its indexes, and adjusts the offsets in its metadata.
func (f *File) copyChunk(m *thrift.Value, x *chunkIndexes, was *WrittenChunk) (err error) {
	x.column, err = f.readOptional(x.chunk.Int(chunkColumnIndexOffset), x.chunk.Int(chunkColumnIndexLength), "a column index")
	if err != nil {
		return err
	}
	if x.bloom, err = f.readBloom(m); err != nil {
		return err
	}
	f.counts.Copied++
	start, size := chunkStart(m), m.Int(metaPacked)
	moved := f.out.n - start
	if was != nil {
		f.out.n += size
	} else if err := f.copy(start, size); err != nil {
		return err
	}
	for _, id := range []int16{metaDataOffset, metaIndexOffset, metaDictOffset} {
		if off := m.Field(id); off != nil && off.Num > 0 {
			off.Num += moved
		}
	}
	if x.offsets != nil {
		for i := range x.offsets.Items(offsetIndexLocations) {
			l := &x.offsets.Items(offsetIndexLocations)[i]
			l.Set(locationOffset, l.Int(locationOffset)+moved)
		}
	}
	return nil
}

// readBloom reads the bloom filter of a chunk, if it has one.
func (f *File) readBloom(m *thrift.Value) ([]byte, error) {
	off, n := m.Int(metaBloomOffset), m.Int(metaBloomLength)
	if off <= 0 {
		return nil, nil
	}
	if n == 0 { // older writers state the length only in the filter's header
		b, err := f.read(off, min(64, f.size-off), "a bloom filter")
		if err != nil {
			return nil, err
		}
		header, k, err := thrift.Read(b)
		if err != nil {
			return nil, f.bad("bloom filter: %w", err)
		}
		n = int64(k) + header.Int(bloomBytes)
	}
	return f.readOptional(off, n, "a bloom filter")
}

// copy copies n bytes of the input from off.
func (f *File) copy(off, n int64) error {
	if off < 0 || n < 0 || off > f.size || n > f.size-off {
		return f.bad("a column chunk lies outside the file: it is damaged or cut short")
	}
	if f.copied == nil {
		f.copied = make([]byte, 1<<20)
	}
	for n > 0 {
		b := f.copied[:min(n, int64(len(f.copied)))]
		k, err := f.at.ReadAt(b, off)
		if k < len(b) {
			return f.unread(err)
		}
		if _, err := f.out.Write(b); err != nil {
			return err
		}
		off, n = off+int64(k), n-int64(k)
	}
	return nil
}
