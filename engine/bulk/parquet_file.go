package bulk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/format"
)

// Bounds of a page: of its body, packed or not, and of its header.
const (
	maxPage       = 512 << 20
	maxPageHeader = 16 << 20
)

// parquetFile reads a Parquet file that may hold anything: every size and count is
// held against the bytes that are there, and against memory, before it is believed.
type parquetFile struct {
	name   string
	at     io.ReaderAt
	size   int64
	memory int64 // bytes that a footer, or a page and its results, may take

	unpacker unpacker
	body     []byte // of the page under way
}

// damaged is an error of a Parquet file that another attempt would meet again.
type damaged struct{ error }

func (d damaged) Unwrap() error { return d.error }

// bad is an error of the file.
func (f *parquetFile) bad(format string, args ...any) error {
	return damaged{fmt.Errorf("%s: "+format, append([]any{f.name}, args...)...)}
}

// unread is an error of reading it.
func (f *parquetFile) unread(err error) error {
	return fmt.Errorf("%s: %w", f.name, bareErr(err))
}

// pread reads exactly n bytes at off.
func (f *parquetFile) pread(off, n int64, what string) ([]byte, error) {
	return f.preadInto(nil, off, n, what)
}

// preadInto reads into the capacity of b, if it has that many bytes.
func (f *parquetFile) preadInto(b []byte, off, n int64, what string) ([]byte, error) {
	if n < 0 || off < 0 || off > f.size || n > f.size-off {
		return nil, f.bad("%s lies outside the file: it is damaged or cut short", what)
	}
	if int64(cap(b)) < n {
		b = make([]byte, n)
	}
	b = b[:n]
	if k, err := f.at.ReadAt(b, off); int64(k) < n {
		if err == io.EOF {
			return nil, f.bad("%w: it became shorter while it was read", ErrChanged)
		}
		return nil, f.unread(err)
	}
	return b, nil
}

// fits refuses what would take more memory than the run may use.
func (f *parquetFile) fits(need int64, what string) error {
	if need <= f.memory {
		return nil
	}
	return f.bad("%s needs about %d MiB, more than --max-memory allows, %d MiB; raise it, or have the file written with smaller pages",
		what, (need+1<<20-1)>>20, max(f.memory>>20, 1))
}

// footer reads the file's metadata and says where it begins.
func (f *parquetFile) footer() (meta *thriftValue, begin int64, err error) {
	head, err := f.pread(0, min(f.size, 4), "the start")
	if err != nil {
		return nil, 0, err
	}
	var tail []byte
	if f.size >= 12 {
		if tail, err = f.pread(f.size-8, 8, "the end"); err != nil {
			return nil, 0, err
		}
	}
	isParquet := string(head) == "PAR1"
	switch {
	case string(head) == "PARE" || tail != nil && string(tail[4:]) == "PARE":
		return nil, 0, f.bad("the Parquet file is encrypted; decrypt it first")
	case tail != nil && string(tail[4:]) == "PAR1" && isParquet:
	case isParquet:
		return nil, 0, f.bad("the Parquet file is cut short: it begins as one and does not end as one; copy it again")
	default:
		return nil, 0, f.bad("is no Parquet file")
	}
	n := int64(binary.LittleEndian.Uint32(tail))
	if n > f.size-12 {
		return nil, 0, f.bad("the Parquet file is damaged or cut short: its footer of %d bytes would begin before the file", n)
	}
	if err := f.fits(n, "the footer"); err != nil {
		return nil, 0, err
	}
	begin = f.size - 8 - n
	b, err := f.pread(begin, n, "the footer")
	if err != nil {
		return nil, 0, err
	}
	v, _, err := readThriftWithin(b, (f.memory-n)/thriftValueSize)
	if errors.Is(err, errThriftRoom) {
		return nil, 0, f.bad("the footer of %d MiB unfolds to more than --max-memory allows, %d MiB; raise it", n>>20, max(f.memory>>20, 1))
	}
	if err != nil {
		return nil, 0, f.bad("footer: %w", err)
	}
	if v.field(8) != nil {
		return nil, 0, f.bad("the Parquet file is encrypted; decrypt it first")
	}
	return &v, begin, nil
}

// columnChunk is where the pages of a column chunk lie.
type columnChunk struct {
	column      string
	leaf        *leaf
	codec       format.CompressionCodec
	start, size int64
	values      int64 // nulls counted
	rows        int64 // of its row group
}

// chunkStart returns where the first page of a chunk lies: its dictionary, where the
// footer tells of one, else its data, before which writers of old put one in silence.
// A chunk that is nothing but a dictionary may have no place for its data.
func chunkStart(m *thriftValue) int64 {
	data, dictionary := m.int(9), m.int(11)
	if dictionary > 0 && (dictionary < data || data <= 0) {
		return dictionary
	}
	return data
}

// chunkOf reads m, a ColumnMetaData.
func (f *parquetFile) chunkOf(m *thriftValue, l *leaf, rows int64) (columnChunk, error) {
	c := columnChunk{column: quoteName(l.name()), leaf: l, codec: format.CompressionCodec(m.int(4)),
		start: chunkStart(m), size: m.int(7), values: m.int(5), rows: rows}
	if c.size < 0 || c.size > 0 && c.start < 4 || c.start < 0 || c.start > f.size || c.size > f.size-c.start {
		return c, f.bad("column %s: a column chunk lies outside the file: it is damaged or cut short", c.column)
	}
	if c.values < 0 || c.rows < 0 || l.maxRep == 0 && c.values != c.rows {
		return c, f.bad("column %s: a column chunk of %d values in a row group of %d rows is damaged", c.column, c.values, c.rows)
	}
	return c, nil
}

// rawPage is a page as it stands in the file.
type rawPage struct {
	at     int64       // of its header
	raw    []byte      // the header as it stands there
	head   thriftValue // PageHeader
	kind   format.PageType
	body   []byte // valid until the next page
	number int    // of data pages before it
}

// dataHead returns the header of a data page.
func (p *rawPage) dataHead() *thriftValue {
	if p.kind == format.DataPageV2 {
		return p.head.field(8)
	}
	return p.head.field(5)
}

// encoding returns that of the values of a data page.
func (p *rawPage) encoding() format.Encoding {
	if p.kind == format.DataPageV2 {
		return format.Encoding(p.dataHead().int(4))
	}
	return format.Encoding(p.dataHead().int(2))
}

// isIndexes says whether the values of a data page are indexes of a dictionary.
func (p *rawPage) isIndexes() bool {
	e := p.encoding()
	return e == plainDictionary || e == format.RLEDictionary
}

// hasNumbers says whether a struct is there and its fields 1 to n are numbers.
func hasNumbers(v *thriftValue, n int16) bool {
	for id := int16(1); id <= n; id++ {
		if f := v.field(id); f == nil || f.kind != thriftI32 {
			return false
		}
	}
	return v != nil
}

// pages calls each for the pages of a chunk, whose headers have what their kinds
// must have: one dictionary at the most, before all data.
func (f *parquetFile) pages(c *columnChunk, each func(p *rawPage) error) error {
	end := c.start + c.size
	data, seen := 0, int64(0)
	dictionary := false
	for at := c.start; at < end; {
		p := rawPage{at: at, number: data}
		var err error
		if p.head, p.raw, err = f.pageHeader(at, end-at); err != nil {
			return err
		}
		at += int64(len(p.raw))
		if !hasNumbers(&p.head, 3) {
			return f.bad("column %s: a page without its header", c.column)
		}
		packed, unpacked := p.head.int(3), p.head.int(2)
		if packed < 0 || packed > maxPage || unpacked < 0 || unpacked > maxPage || packed > end-at {
			return f.bad("column %s: a page of %d bytes, %d unpacked, is damaged or over %d MiB", c.column, packed, unpacked, maxPage>>20)
		}
		if err := f.fits(packed+unpacked, "column "+c.column+": a page"); err != nil {
			return err
		}
		if p.body, err = f.preadInto(f.body, at, packed, "a page"); err != nil {
			return err
		}
		f.body = p.body
		at += packed
		switch p.kind = format.PageType(p.head.int(1)); p.kind {
		case format.DictionaryPage:
			if dictionary || data > 0 {
				return f.bad("column %s: a dictionary page that is out of place", c.column)
			}
			if !hasNumbers(p.head.field(7), 2) {
				return f.bad("column %s: a page without its header", c.column)
			}
			dictionary = true
		case format.DataPage, format.DataPageV2:
			d := p.dataHead()
			if p.kind == format.DataPage && !hasNumbers(d, 4) || p.kind == format.DataPageV2 && !hasNumbers(d, 6) {
				return f.bad("column %s: a page without its header", c.column)
			}
			n := d.int(1)
			if n < 0 || n > c.values-seen {
				return f.bad("column %s: a page of %d values, of which the column chunk has %d more: it is damaged", c.column, n, c.values-seen)
			}
			seen += n
			if p.isIndexes() && !dictionary {
				return f.bad("column %s: a page refers to a dictionary that is not there", c.column)
			}
			data++
		default:
			return f.bad("column %s: a page of type %v, which is not read here", c.column, p.kind)
		}
		if err := each(&p); err != nil {
			return err
		}
	}
	if seen != c.values {
		return f.bad("column %s: pages of %d values in a column chunk of %d: it is damaged", c.column, seen, c.values)
	}
	return nil
}

// pageHeader reads the header at off; it is somewhere below 100 bytes unless it
// holds long statistics.
func (f *parquetFile) pageHeader(off, most int64) (h thriftValue, raw []byte, err error) {
	most = min(most, maxPageHeader)
	for size := int64(512); ; size *= 8 {
		b, err := f.pread(off, min(size, most), "a page header")
		if err != nil {
			return h, nil, err
		}
		var n int
		h, n, err = readThriftWithin(b, 1<<16)
		switch {
		case err == nil:
			return h, b[:n], nil
		case errors.Is(err, errThriftShort) && size < most:
			continue
		}
		return h, nil, f.bad("page header: %w", err)
	}
}

// unpack returns the n bytes that body holds, valid until the next call.
func (f *parquetFile) unpack(c *columnChunk, body []byte, n int64) ([]byte, error) {
	b, err := f.unpacker.unpack(c.codec, body, n)
	if err != nil {
		return nil, f.bad("column %s: a page cannot be unpacked: %w", c.column, err)
	}
	if int64(len(b)) != n {
		return nil, f.bad("column %s: a page unpacks to %d bytes, not %d: it is damaged", c.column, len(b), n)
	}
	return b, nil
}
