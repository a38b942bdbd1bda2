package parquet

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/parquet-go/parquet-go/format"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
)

// reader reads the parts of a file, which is not trusted.
type reader struct {
	name   string
	at     io.ReaderAt
	size   int64
	memory int64 // limit of the bytes of a footer, or of a page and its results

	unpacker unpacker
	body     []byte // of the current page
}

// read reads exactly n bytes at off.
func (f *reader) read(off, n int64, what string) ([]byte, error) {
	return f.readInto(nil, off, n, what)
}

// readInto is read into the memory of b if its capacity suffices.
func (f *reader) readInto(b []byte, off, n int64, what string) ([]byte, error) {
	if n < 0 || off < 0 || off > f.size || n > f.size-off {
		return nil, f.bad("%s lies outside the file: it is damaged or cut short", what)
	}
	if int64(cap(b)) < n {
		b = make([]byte, n)
	}
	b = b[:n]
	if k, err := f.at.ReadAt(b, off); int64(k) < n {
		return nil, f.unread(err)
	}
	return b, nil
}

// readOptional is read for a part that a file need not have; off is 0 then.
func (f *reader) readOptional(off, n int64, what string) ([]byte, error) {
	if off <= 0 || n <= 0 {
		return nil, nil
	}
	return f.read(off, n, what)
}

// footer reads the file's metadata and returns where it begins.
func (f *reader) footer() (meta *thrift.Value, begin int64, err error) {
	n, err := f.footerLength()
	if err != nil {
		return nil, 0, err
	}
	if err := f.fits(n, "", "the footer"); err != nil {
		return nil, 0, err
	}
	begin = f.size - 8 - n
	b, err := f.read(begin, n, "the footer")
	if err != nil {
		return nil, 0, err
	}
	v, _, err := thrift.ReadWithin(b, (f.memory-n)/thrift.ValueSize)
	if errors.Is(err, thrift.ErrRoom) {
		return nil, 0, f.bad("%w", &MemoryError{What: "the footer", Need: n, Limit: f.memory, Footer: true})
	}
	if err != nil {
		return nil, 0, f.bad("footer: %w", err)
	}
	if v.Field(fileEncryption) != nil {
		return nil, 0, f.bad("the Parquet file is encrypted; decrypt it first")
	}
	return &v, begin, nil
}

// footerLength reads the magic numbers and the length of the footer.
func (f *reader) footerLength() (int64, error) {
	head, err := f.read(0, min(f.size, 4), "the start")
	if err != nil {
		return 0, err
	}
	var tail []byte
	if f.size >= 12 {
		if tail, err = f.read(f.size-8, 8, "the end"); err != nil {
			return 0, err
		}
	}
	isParquet := string(head) == magic
	switch {
	case string(head) == magicEncrypted || tail != nil && string(tail[4:]) == magicEncrypted:
		return 0, f.bad("the Parquet file is encrypted; decrypt it first")
	case tail != nil && string(tail[4:]) == magic && isParquet:
	case isParquet:
		return 0, f.bad("the Parquet file is cut short: it begins as one and does not end as one; copy it again")
	default:
		return 0, f.bad("is no Parquet file")
	}
	n := int64(binary.LittleEndian.Uint32(tail))
	if n > f.size-12 {
		return 0, f.bad("the Parquet file is damaged or cut short: its footer of %d bytes would begin before the file", n)
	}
	return n, nil
}

const (
	magic          = "PAR1"
	magicEncrypted = "PARE"
)

// columnChunk describes a column chunk and the position of its pages.
type columnChunk struct {
	file        string
	leaf        *leaf
	codec       format.CompressionCodec
	start, size int64
	values      int64 // nulls included
	rows        int64 // of its row group
	group       int   // number of its row group, from 1
	page        int   // current data page, from 1, for errors
}

// chunkStart returns the offset of a chunk's first page: that of its dictionary if the
// footer states one, else that of its data, which is the dictionary's in files of old
// writers. A chunk that consists of a dictionary may state no offset of data.
func chunkStart(m *thrift.Value) int64 {
	data, dictionary := m.Int(metaDataOffset), m.Int(metaDictOffset)
	if dictionary > 0 && (dictionary < data || data <= 0) {
		return dictionary
	}
	return data
}

// chunkOf reads m, the ColumnMetaData of a chunk in a row group of the given number of rows.
func (f *reader) chunkOf(m *thrift.Value, l *leaf, group int, rows int64) (columnChunk, error) {
	c := columnChunk{file: f.name, leaf: l, codec: format.CompressionCodec(m.Int(metaCodec)),
		start: chunkStart(m), size: m.Int(metaPacked), values: m.Int(metaValues), rows: rows, group: group}
	if c.size < 0 || c.size > 0 && c.start < 4 || c.start < 0 || c.start > f.size || c.size > f.size-c.start {
		return c, c.bad("a column chunk lies outside the file: it is damaged or cut short")
	}
	if c.values < 0 || c.rows < 0 || l.maxRep == 0 && c.values != c.rows {
		return c, c.bad("a column chunk of %d values in a row group of %d rows is damaged", c.values, c.rows)
	}
	return c, nil
}

// knownCodec reports whether pages of the codec can be read. LZO has no free
// implementation, and the old LZ4 has two framings.
func knownCodec(c format.CompressionCodec) bool {
	switch c {
	case format.Uncompressed, format.Snappy, format.Gzip, format.Brotli, format.Zstd, format.Lz4Raw:
		return true
	}
	return false
}
