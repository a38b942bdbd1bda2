package parquet

import (
	"bytes"
	"context"
	"hash/crc32"
	"slices"

	"github.com/parquet-go/parquet-go/format"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
)

// replacedChunk is a column chunk whose values are being replaced.
type replacedChunk struct {
	columnChunk
	replacer Replacer

	once     bool    // the dictionary is replaced, and the pages that refer to it are copied
	pageRows []int64 // rows of each data page, if countUses read them

	from, dataAt, dictAt int64              // offsets in the output
	unpacked             int64              // bytes of headers and unpacked pages
	used                 map[pageKind]int64 // pages written
	row                  int64              // rows of the pages before
}

// pageKind is the key by which a chunk's encoding statistics count pages.
type pageKind struct{ page, encoding int64 }

// replaceChunk writes a chunk with its values replaced and updates its metadata m and its
// offset index, which may be nil.
func (f *File) replaceChunk(ctx context.Context, m *thrift.Value, r Replacer, c *columnChunk, offsets *thrift.Value) error {
	o := &replacedChunk{columnChunk: *c, replacer: r, from: f.out.n, used: map[pageKind]int64{}}
	f.values.dict, f.values.dictSpans = nil, nil
	f.out.sum = 0
	pages := 0
	err := f.pages(&o.columnChunk, func(page *rawPage) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if page.kind == format.DictionaryPage {
			return f.dictionary(ctx, o, page)
		}
		if offsets != nil && page.number >= len(offsets.Items(offsetIndexLocations)) {
			return o.bad("more pages than its offset index has")
		}
		at := f.out.n
		rows, err := f.dataPage(ctx, o, page)
		if err != nil {
			return err
		}
		if offsets != nil {
			loc := &offsets.Items(offsetIndexLocations)[page.number]
			loc.Put(locationOffset, thrift.I64, at)
			loc.Put(locationSize, thrift.I32, f.out.n-at)
		}
		if page.number == 0 {
			o.dataAt = at
		}
		o.row += rows
		pages++
		return nil
	})
	if err != nil {
		return err
	}
	if o.row != c.rows {
		return o.bad("pages of %d rows in a row group of %d: it is damaged", o.row, c.rows)
	}
	if offsets != nil && pages != len(offsets.Items(offsetIndexLocations)) {
		return o.bad("fewer pages than its offset index has")
	}
	if o.dataAt == 0 {
		o.dataAt = f.out.n
	}
	f.written = append(f.written, replacedSum{f.out.sum, o.once, o.pageRows})
	switch {
	case o.leaf.output != nil:
		f.counts.Restored++
	case o.leaf.layout != nil:
		f.counts.Typed++
	}
	m.Put(metaType, thrift.I32, int64(o.leaf.physical()))
	m.Put(metaUnpacked, thrift.I64, o.unpacked)
	m.Put(metaPacked, thrift.I64, f.out.n-o.from)
	m.Put(metaDataOffset, thrift.I64, o.dataAt)
	m.Remove(metaIndexOffset, metaDictOffset)
	if o.dictAt > 0 {
		m.Put(metaDictOffset, thrift.I64, o.dictAt) // even if the input did not give it
	}
	o.setEncodings(m)
	return nil
}

// setEncodings sets the lists of encodings in a chunk's metadata to those used.
func (o *replacedChunk) setEncodings(m *thrift.Value) {
	list := []int64{int64(format.RLE)} // of the levels
	kinds := make([]pageKind, 0, len(o.used))
	for k := range o.used {
		kinds = append(kinds, k)
	}
	slices.SortFunc(kinds, func(a, b pageKind) int {
		return slices.Compare([]int64{b.page, b.encoding}, []int64{a.page, a.encoding})
	})
	stats := thrift.Value{ID: metaEncodingStats, Kind: thrift.List, Elem: thrift.Struct}
	for _, k := range kinds {
		if !slices.Contains(list, k.encoding) {
			list = append(list, k.encoding)
		}
		stats.List = append(stats.List, thrift.Value{Kind: thrift.Struct, List: []thrift.Value{
			{ID: encodingStatsPage, Kind: thrift.I32, Num: k.page},
			{ID: encodingStatsEncoding, Kind: thrift.I32, Num: k.encoding},
			{ID: encodingStatsCount, Kind: thrift.I32, Num: o.used[k]}}})
	}
	all := thrift.Value{ID: metaEncodings, Kind: thrift.List, Elem: thrift.I32}
	for _, e := range list {
		all.List = append(all.List, thrift.Value{Kind: thrift.I32, Num: e})
	}
	m.Replace(all)
	if m.Field(metaEncodingStats) != nil {
		m.Replace(stats)
	}
}

// writePage writes a page whose body is the concatenation of parts.
func (f *File) writePage(o *replacedChunk, page *rawPage, parts ...[]byte) error {
	n, sum := int64(0), uint32(0)
	for _, b := range parts {
		n += int64(len(b))
		sum = crc32.Update(sum, crc32.IEEETable, b)
	}
	if n > maxPage {
		return o.bad("a page of results is over %d MiB", maxPage>>20)
	}
	h := &page.head
	h.Put(pagePacked, thrift.I32, n)
	h.Set(pageCRC, int64(int32(sum)))
	head := h.Append(nil)
	o.unpacked += int64(len(head)) + h.Int(pageUnpacked)
	e := h.Field(pageDict).Int(dictEncoding)
	if page.kind != format.DictionaryPage {
		e = int64(page.encoding())
	}
	o.used[pageKind{int64(page.kind), e}]++
	if _, err := f.out.Write(head); err != nil {
		return err
	}
	for _, b := range parts {
		if _, err := f.out.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// pack compresses a page; the result is valid until the next call.
func (f *File) pack(o *replacedChunk, b []byte) ([]byte, error) {
	if len(b) > maxPage {
		return nil, o.bad("a page of results is over %d MiB", maxPage>>20)
	}
	if o.codec == format.Uncompressed {
		return b, nil
	}
	out, err := codecOf(o.codec).Encode(f.packed[:0], b)
	if err != nil {
		return nil, o.bad("a page cannot be packed: %w", err)
	}
	f.packed = out
	return out, nil
}

// dictionary replaces the values of a dictionary page if equal values get equal results; the
// pages that refer to it will then be copied. Otherwise it drops the dictionary from the
// output, keeps it in memory, and its pages will be written as values.
func (f *File) dictionary(ctx context.Context, o *replacedChunk, page *rawPage) error {
	raw, spans, err := f.dictionaryValues(&o.columnChunk, page)
	if err != nil {
		return err
	}
	raw = bytes.Clone(raw) // pages are unpacked into its memory
	f.values.dict, f.values.dictSpans = raw, spans
	if o.once, err = o.replacer.Once(ctx, raw, spans); err != nil {
		return err
	}
	if !o.once {
		f.counts.Dropped++
		return nil
	}
	f.counts.Dictionaries++
	head := page.head
	uses, err := f.countUses(ctx, o, len(spans)/2)
	if err != nil {
		return err
	}
	spans = slices.Clone(spans)
	total := int64(0)
	for i, n := range uses {
		if n == 0 {
			spans[2*i+1] = 0 // no row refers to it: the output must not hold it
		} else {
			total += n
		}
	}
	if err := f.fits(3*int64(len(raw))+int64(len(spans))*12, o.leaf.name(), "a dictionary"); err != nil {
		return err
	}
	b := Batch{Arena: raw, Spans: spans, Uses: uses, Total: total}
	if f.plain, err = f.replaceBatch(ctx, o, f.plain[:0], &b); err != nil {
		return err
	}
	page = &rawPage{head: head, kind: format.DictionaryPage}
	page.head.Put(pageUnpacked, thrift.I32, int64(len(f.plain)))
	d := page.head.Field(pageDict)
	d.Put(dictEncoding, thrift.I32, int64(format.Plain))
	d.Remove(dictSorted)
	packed, err := f.pack(o, f.plain)
	if err != nil {
		return err
	}
	o.dictAt = f.out.n
	return f.writePage(o, page, packed)
}

// countUses reads all data pages and counts how many values refer to each entry of the
// dictionary. It passes the number of nulls to the replacer and records the rows of each
// page.
func (f *File) countUses(ctx context.Context, o *replacedChunk, entries int) ([]int64, error) {
	uses := make([]int64, entries)
	err := f.pages(&o.columnChunk, func(page *rawPage) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if page.kind == format.DictionaryPage {
			return nil
		}
		d, err := f.open(&o.columnChunk, page)
		if err != nil {
			return err
		}
		o.pageRows = append(o.pageRows, d.rows)
		if !page.isIndexes() {
			return nil
		}
		o.replacer.Nulls(d.nulls)
		if err := countIndexes(uses, d.data, d.values); err != nil {
			return o.bad("a page refers to what its dictionary does not hold")
		}
		return nil
	})
	return uses, err
}

// dataPage writes a data page and returns how many rows begin in it. It replaces the values
// unless they are indexes of a replaced dictionary.
func (f *File) dataPage(ctx context.Context, o *replacedChunk, page *rawPage) (rows int64, err error) {
	h := page.dataHead()
	if page.kind == format.DataPageV2 {
		h.Field(dataV2Statistics).Keep(statisticsNulls)
	} else {
		h.Field(dataStatistics).Keep(statisticsNulls)
	}
	if o.once && page.isIndexes() {
		f.counts.IndexPages++
		return o.pageRows[page.number], f.writePage(o, page, page.body)
	}
	d, err := f.open(&o.columnChunk, page)
	if err != nil {
		return 0, err
	}
	o.replacer.Nulls(d.nulls)
	if err := f.replacePage(ctx, o, page, &d); err != nil {
		return 0, err
	}
	return d.rows, f.writeData(o, page, &d)
}

// replacePage replaces the values of a data page; the results are in f.plain, after the
// levels if those are compressed with them.
func (f *File) replacePage(ctx context.Context, o *replacedChunk, page *rawPage, d *dataPage) error {
	e := page.encoding()
	if !page.isIndexes() && !o.leaf.allowsEncoding(e) {
		return o.bad("values in encoding %v, which is not read here", e)
	}
	switch e {
	case format.DeltaLengthByteArray, format.DeltaByteArray, format.DeltaBinaryPacked:
		f.counts.Delta++
	case format.Plain:
		f.counts.PlainPages++
	case format.ByteStreamSplit:
		f.counts.Split++
	}
	if 4*d.values > maxPage {
		return o.bad("a page of results is over %d MiB", maxPage>>20)
	}
	if err := f.values.begin(o.leaf, e, d.data, d.values); err != nil {
		return o.bad("a page is damaged: %w", err)
	}
	plain := f.plain[:0]
	if page.kind == format.DataPage {
		plain = append(plain, d.lead...)
	}
	held := int64(len(page.body)) + page.head.Int(pageUnpacked) + int64(len(f.values.dict)) + 4*int64(len(f.values.dictSpans))
	for done := int64(0); done < d.values; {
		arena, spans, err := f.values.next()
		if err != nil {
			return o.bad("a page is damaged: %w", err)
		}
		b := Batch{Arena: arena, Spans: spans, Total: int64(len(spans) / 2), page: d, first: done}
		if plain, err = f.replaceBatch(ctx, o, plain, &b); err != nil {
			return err
		}
		done += b.Total
		// Reserve memory for the rest at once: a slice that grows copies and leaves garbage.
		likely := int64(len(plain)) * d.values / done
		if err := f.fits(held+2*likely, o.leaf.name(), "a page with its results"); err != nil {
			return err
		}
		if more := likely + likely/32 - int64(len(plain)); done < d.values && int64(cap(plain)-len(plain)) < more {
			plain = slices.Grow(plain, int(more))
		}
	}
	f.plain = plain
	return nil
}

// writeData writes a data page of the values in f.plain.
func (f *File) writeData(o *replacedChunk, page *rawPage, d *dataPage) error {
	h := page.dataHead()
	if page.kind == format.DataPage {
		h.Put(dataEncoding, thrift.I32, int64(format.Plain))
		page.head.Put(pageUnpacked, thrift.I32, int64(len(f.plain)))
		packed, err := f.pack(o, f.plain)
		if err != nil {
			return err
		}
		return f.writePage(o, page, packed)
	}
	h.Put(dataV2Encoding, thrift.I32, int64(format.Plain))
	page.head.Put(pageUnpacked, thrift.I32, int64(len(d.lead)+len(f.plain)))
	packed := f.plain
	switch {
	case len(f.plain) == 0: // readers do not decompress an empty page
		h.Replace(thrift.Value{ID: dataV2Compressed, Kind: thrift.False, Num: thrift.False})
	case d.isPacked:
		var err error
		if packed, err = f.pack(o, f.plain); err != nil {
			return err
		}
	}
	return f.writePage(o, page, d.lead, packed)
}
