package parquet

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"runtime/debug"

	"github.com/parquet-go/parquet-go/format"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
)

// Verify reads the output of Write: the footer, the offset of every chunk, and all pages of
// the replaced chunks. It returns an error for anything that other readers could not read,
// and if a byte of the footer or of a replaced chunk differs from what was written. It
// returns the error of ctx unchanged.
func (f *File) Verify(ctx context.Context, name string, at io.ReaderAt, size int64) error {
	if cap(f.plain)+cap(f.packed)+cap(f.unpacker.buf) > 64<<20 { // reading needs as much memory again
		f.plain, f.packed, f.body, f.unpacker.buf, f.values = nil, nil, nil, nil, pageValues{}
		debug.FreeOSMemory()
	}
	v := &verifier{reader: reader{name: name, at: at, size: size, memory: 1 << 62}, f: f}
	defer v.unpacker.close()
	return v.file(ctx)
}

// verifier reads an output.
type verifier struct {
	reader
	f       *File
	values  pageValues
	entries int   // of the chunk's dictionary
	end     int64 // offset behind the chunks read so far
}

func (v *verifier) file(ctx context.Context) error {
	if v.size != v.f.out.n {
		return v.bad("has %d bytes, not the %d written", v.size, v.f.out.n)
	}
	meta, begin, err := v.footer()
	if err != nil {
		return err
	}
	leaves, err := v.readSchema(meta)
	if err != nil {
		return err
	}
	b, err := v.read(begin, v.size-8-begin, "the footer")
	if err != nil {
		return err
	}
	want := v.f.meta
	if !bytes.Equal(b, want.Append(nil)) {
		return v.bad("the footer is not what was written")
	}
	groups := meta.Items(fileRowGroups)
	if len(leaves) != len(v.f.leaves) || len(groups) != len(want.Items(fileRowGroups)) || meta.Int(fileRows) != want.Int(fileRows) {
		return v.bad("footer: %d columns, %d row groups, %d rows", len(leaves), len(groups), meta.Int(fileRows))
	}
	v.end = int64(len(magic))
	written := v.f.written
	for i := range groups {
		if n := want.Items(fileRowGroups)[i].Int(groupRows); len(groups[i].Items(groupColumns)) != len(leaves) || groups[i].Int(groupRows) != n {
			return v.bad("footer: row group %d has %d columns, %d rows", i+1, len(groups[i].Items(groupColumns)), groups[i].Int(groupRows))
		}
		if written, err = v.rowGroup(ctx, &groups[i], i+1, leaves, begin, written); err != nil {
			return err
		}
	}
	return nil
}

// rowGroup reads a row group. written lists the replaced chunks of this and later row groups;
// it returns those of the later ones.
func (v *verifier) rowGroup(ctx context.Context, group *thrift.Value, number int, leaves []leaf, footer int64, written []replacedSum) ([]replacedSum, error) {
	unpacked := int64(0)
	for c := range leaves {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		chunk := &group.Items(groupColumns)[c]
		m := chunk.Field(chunkMeta)
		unpacked += m.Int(metaUnpacked)
		if err := v.checkOffset(m, &leaves[c], footer); err != nil {
			return nil, err
		}
		if v.f.replaced[c] == nil {
			continue
		}
		if len(written) == 0 {
			return nil, v.bad("column %s was not written", quote(leaves[c].name()))
		}
		v.f.counts.Verified++
		ch, err := v.chunkOf(m, &leaves[c], number, group.Int(groupRows))
		if err == nil {
			err = v.chunk(chunk, m, &ch, written[0])
		}
		if err != nil {
			return nil, fmt.Errorf("row group %d: %w", number, err)
		}
		written = written[1:]
	}
	if unpacked != group.Int(groupUnpacked) {
		return nil, v.bad("footer: row group %d has %d bytes unpacked, its columns %d", number, group.Int(groupUnpacked), unpacked)
	}
	return written, nil
}

// checkOffset checks that chunks are contiguous and end before the footer.
func (v *verifier) checkOffset(m *thrift.Value, l *leaf, footer int64) error {
	start, size := chunkStart(m), m.Int(metaPacked)
	if size == 0 {
		return nil
	}
	if start != v.end || size < 0 || size > footer-start {
		return v.bad("footer: column %s lies at %d, %d bytes, and %d is where it begins", quote(l.name()), start, size, v.end)
	}
	v.end = start + size
	return nil
}

// chunkRead is what reading the pages of a chunk found.
type chunkRead struct {
	unpacked, dataAt, dictAt int64
	pages                    int
	rows                     int64
	sum                      uint32
	written                  *replacedSum
}

// chunk reads a replaced chunk and compares it with want.
func (v *verifier) chunk(chunk, m *thrift.Value, c *columnChunk, want replacedSum) error {
	if err := v.checkNothingKept(chunk, m, c); err != nil {
		return err
	}
	locations, err := v.locations(chunk, c)
	if err != nil {
		return err
	}
	listed := map[format.Encoding]bool{}
	for _, e := range m.Items(metaEncodings) {
		listed[format.Encoding(e.Num)] = true
	}
	got := chunkRead{written: &want}
	v.entries = 0
	err = v.pages(c, func(p *rawPage) error {
		if p.kind != format.DictionaryPage && chunk.Int(chunkOffsetIndexOffset) > 0 {
			if p.number >= len(locations) || locations[p.number].Int(locationOffset) != p.at || locations[p.number].Int(locationSize) != int64(len(p.raw)+len(p.body)) {
				return c.bad("its offset index has another place for a page")
			}
		}
		if p.kind != format.DictionaryPage && !listed[p.encoding()] {
			return c.bad("the encoding %v of a page is not listed", p.encoding())
		}
		return v.readPage(c, p, &got)
	})
	switch {
	case err != nil:
		return err
	case got.dictAt != m.Int(metaDictOffset):
		return c.bad("its dictionary lies at %d, the footer says %d", got.dictAt, m.Int(metaDictOffset))
	case got.pages > 0 && got.dataAt != m.Int(metaDataOffset):
		return c.bad("its data lie at %d, the footer says %d", got.dataAt, m.Int(metaDataOffset))
	case got.unpacked != m.Int(metaUnpacked):
		return c.bad("%d bytes unpacked, the footer says %d", got.unpacked, m.Int(metaUnpacked))
	case got.sum != want.sum:
		return c.bad("it is not what was written")
	case got.rows != c.rows:
		return c.bad("%d rows in a row group of %d", got.rows, c.rows)
	case chunk.Int(chunkOffsetIndexOffset) > 0 && got.pages != len(locations):
		return c.bad("%d pages, its offset index has %d", got.pages, len(locations))
	}
	return nil
}

// checkNothingKept checks that a chunk's metadata reveals nothing of the original values.
func (v *verifier) checkNothingKept(chunk, m *thrift.Value, c *columnChunk) error {
	if chunk.Field(chunkColumnIndexOffset) != nil || m.Field(metaKeyValues) != nil || m.Field(metaBloomOffset) != nil || m.Field(metaGeoStatistics) != nil {
		return c.bad("what is kept of the original values is still there")
	}
	for _, s := range m.Field(metaStatistics).Fields() {
		if s.ID != statisticsNulls {
			return c.bad("statistics of the original values are still there")
		}
	}
	return nil
}

// locations reads the offset index of a chunk, if it has one.
func (v *verifier) locations(chunk *thrift.Value, c *columnChunk) ([]thrift.Value, error) {
	at := chunk.Int(chunkOffsetIndexOffset)
	if at <= 0 {
		return nil, nil
	}
	b, err := v.read(at, chunk.Int(chunkOffsetIndexLength), "an offset index")
	if err != nil {
		return nil, err
	}
	index, n, err := thrift.Read(b)
	if err != nil || n != len(b) {
		return nil, c.bad("its offset index is damaged")
	}
	return index.Items(offsetIndexLocations), nil
}

// readPage decodes all values of a page.
func (v *verifier) readPage(c *columnChunk, p *rawPage, got *chunkRead) error {
	got.unpacked += int64(len(p.raw)) + p.head.Int(pageUnpacked)
	got.sum = crc32.Update(crc32.Update(got.sum, castagnoli, p.raw), castagnoli, p.body)
	if crc := p.head.Field(pageCRC); crc != nil && int64(int32(crc32.ChecksumIEEE(p.body))) != crc.Num {
		return c.bad("a page has another checksum")
	}
	if p.kind == format.DictionaryPage {
		got.dictAt = p.at
		return v.dictionary(c, p)
	}
	if got.dataAt == 0 {
		got.dataAt = p.at
	}
	got.pages++
	// Write has decoded a page that is a copy; comparing the checksum is enough.
	if w := got.written; w.copied && p.isIndexes() && p.number < len(w.pageRows) {
		v.f.counts.Unread++
		got.rows += w.pageRows[p.number]
		return nil
	}
	d, err := v.open(c, p)
	if err != nil {
		return err
	}
	got.rows += d.rows
	e := p.encoding()
	switch {
	case p.isIndexes():
		if err := checkIndexes(d.data, d.values, v.entries); err != nil {
			return c.bad("a page refers to what its dictionary does not hold")
		}
	case e == format.Plain:
		return v.plainPage(c, &d)
	default:
		return c.bad("a page in encoding %v, which is not written", e)
	}
	return nil
}

// dictionary decodes all values of a dictionary.
func (v *verifier) dictionary(c *columnChunk, p *rawPage) error {
	if c.leaf.kind == format.ByteArray {
		_, spans, err := v.dictionaryValues(c, p)
		v.entries = len(spans) / 2
		return err
	}
	d := p.head.Field(pageDict)
	raw, err := v.unpack(c, p.body, p.head.Int(pageUnpacked))
	if err != nil {
		return err
	}
	n := d.Int(dictValues)
	if int64(len(raw)) != n*widthOf(c.leaf.element) {
		return c.bad("a dictionary of %d values has %d bytes", n, len(raw))
	}
	v.entries = int(n)
	return nil
}

// plainPage reads the values of a page in PLAIN encoding.
func (v *verifier) plainPage(c *columnChunk, d *dataPage) error {
	if kind := c.leaf.kind; kind != format.ByteArray {
		if width := widthOf(c.leaf.element); int64(len(d.data)) != d.values*width {
			return c.bad("a page of %d values has %d bytes", d.values, len(d.data))
		}
		return nil
	}
	if err := v.values.begin(c.leaf, format.Plain, d.data, d.values); err != nil {
		return c.bad("a page is damaged")
	}
	for v.values.left > 0 {
		if _, _, err := v.values.next(); err != nil {
			return c.bad("a page is damaged")
		}
	}
	if v.values.at != len(d.data) {
		return c.bad("a page goes on behind its values")
	}
	return nil
}
