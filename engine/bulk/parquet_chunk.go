package bulk

import (
	"bytes"
	"context"
	"hash/crc32"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// chunkOut is a column chunk whose values are being replaced.
type chunkOut struct {
	columnChunk
	col *parquetColumn

	once bool    // the dictionary is replaced, and the pages that refer to it stay
	rows []int64 // of each data page, where the chunk was gone through before

	from, dataAt, dictAt int64              // in the output
	unpacked             int64              // bytes of headers and unpacked pages
	used                 map[[2]int64]int64 // page type, encoding → pages
	row                  int64              // rows of the pages before
}

// replace writes a chunk with its values replaced and has its metadata m and its
// offset index say so.
func (p *parquetRun) replace(ctx context.Context, m *thriftValue, col *parquetColumn, c *columnChunk, offsets *thriftValue) error {
	o := &chunkOut{columnChunk: *c, col: col, from: p.out.n, used: map[[2]int64]int64{}}
	p.values.dict, p.values.dictAt = nil, nil
	p.out.sum = 0
	pages := 0
	err := p.pages(c, func(page *rawPage) error {
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		if page.kind == format.DictionaryPage {
			return p.dictionary(ctx, o, page)
		}
		if offsets != nil && page.number >= len(offsets.items(1)) {
			return p.bad("column %s: more pages than its offset index has", c.column)
		}
		at := p.out.n
		rows, err := p.data(ctx, o, page)
		if err != nil {
			return err
		}
		if offsets != nil {
			loc := &offsets.items(1)[page.number]
			loc.put(1, thriftI64, at)
			loc.put(2, thriftI32, p.out.n-at)
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
		return p.bad("column %s: pages of %d rows in a row group of %d: it is damaged", c.column, o.row, c.rows)
	}
	if offsets != nil && pages != len(offsets.items(1)) {
		return p.bad("column %s: fewer pages than its offset index has", c.column)
	}
	if o.dataAt == 0 {
		o.dataAt = p.out.n
	}
	p.sums = append(p.sums, p.out.sum)
	m.put(6, thriftI64, o.unpacked)
	m.put(7, thriftI64, p.out.n-o.from)
	m.put(9, thriftI64, o.dataAt)
	m.remove(10, 11)
	if o.dictAt > 0 {
		m.put(11, thriftI64, o.dictAt) // whether it was said before or not
	}
	o.encodings(m)
	return nil
}

// encodings sets the lists of encodings of a chunk to those used.
func (o *chunkOut) encodings(m *thriftValue) {
	list := []int64{int64(format.RLE)} // of the levels
	keys := make([][2]int64, 0, len(o.used))
	for k := range o.used {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b [2]int64) int { return slices.Compare(b[:], a[:]) })
	stats := thriftValue{id: 13, kind: thriftList, elem: thriftStruct}
	for _, k := range keys {
		if !slices.Contains(list, k[1]) {
			list = append(list, k[1])
		}
		stats.list = append(stats.list, thriftValue{kind: thriftStruct, list: []thriftValue{
			{id: 1, kind: thriftI32, num: k[0]}, {id: 2, kind: thriftI32, num: k[1]}, {id: 3, kind: thriftI32, num: o.used[k]}}})
	}
	all := thriftValue{id: 2, kind: thriftList, elem: thriftI32}
	for _, e := range list {
		all.list = append(all.list, thriftValue{kind: thriftI32, num: e})
	}
	m.replace(all)
	if m.field(13) != nil {
		m.replace(stats)
	}
}

// write writes a page of the body that parts are together.
func (p *parquetRun) write(o *chunkOut, page *rawPage, parts ...[]byte) error {
	n, sum := int64(0), uint32(0)
	for _, b := range parts {
		n += int64(len(b))
		sum = crc32.Update(sum, crc32.IEEETable, b)
	}
	if n > maxPage {
		return p.bad("column %s: a page of results is over %d MiB", o.column, maxPage>>20)
	}
	h := &page.head
	h.put(3, thriftI32, n)
	h.set(4, int64(int32(sum)))
	head := h.append(nil)
	o.unpacked += int64(len(head)) + h.int(2)
	e := h.field(7).int(2)
	if page.kind != format.DictionaryPage {
		e = int64(page.encoding())
	}
	o.used[[2]int64{int64(page.kind), e}]++
	if _, err := p.out.Write(head); err != nil {
		return err
	}
	for _, b := range parts {
		if _, err := p.out.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// pack packs a page; the result is valid until the next call.
func (p *parquetRun) pack(o *chunkOut, b []byte) ([]byte, error) {
	if len(b) > maxPage {
		return nil, p.bad("column %s: a page of results is over %d MiB", o.column, maxPage>>20)
	}
	if o.codec == format.Uncompressed {
		return b, nil
	}
	out, err := parquet.LookupCompressionCodec(o.codec).Encode(p.packed[:0], b)
	if err != nil {
		return nil, p.bad("column %s: a page cannot be packed: %w", o.column, err)
	}
	p.packed = out
	return out, nil
}

// dictionary replaces the values of a dictionary page, once each, where equal
// values get equal results and a server does not count them; the pages that refer
// to it stay as they are. Else it is kept for the pages, which are written without.
func (p *parquetRun) dictionary(ctx context.Context, o *chunkOut, page *rawPage) error {
	raw, spans, err := p.dictionaryValues(&o.columnChunk, page)
	if err != nil {
		return err
	}
	raw = bytes.Clone(raw) // the pages are unpacked over it
	p.values.dict, p.values.dictAt = raw, spans
	if !o.col.doc && o.col.g.remote == nil {
		if o.once, err = p.deterministic(ctx, o, raw, spans); err != nil {
			return err
		}
	}
	if !o.once {
		p.paths.undone++
		return nil
	}
	p.paths.dictionaries++
	head := page.head
	uses, err := p.uses(ctx, o, len(spans)/2)
	if err != nil {
		return err
	}
	spans = slices.Clone(spans)
	total := int64(0)
	for i, n := range uses {
		if n == 0 {
			spans[2*i+1] = 0 // no value of any row: nothing of it is kept
		} else {
			total += n
		}
	}
	if err := p.fits(3*int64(len(raw))+int64(len(spans))*12, "column "+o.column+": a dictionary"); err != nil {
		return err
	}
	b := batch{arena: raw, spans: spans, uses: uses, of: total}
	if p.plain, err = p.transform(ctx, o, p.plain[:0], &b); err != nil {
		return err
	}
	if len(b.bad) > 0 {
		if err := p.whereUsed(o, b.bad); err != nil {
			return err
		}
	}
	page = &rawPage{head: head, kind: format.DictionaryPage}
	page.head.put(2, thriftI32, int64(len(p.plain)))
	d := page.head.field(7)
	d.put(2, thriftI32, int64(format.Plain))
	d.remove(3)
	packed, err := p.pack(o, p.plain)
	if err != nil {
		return err
	}
	o.dictAt = p.out.n
	return p.write(o, page, packed)
}

// uses counts how many values each of the entries of a dictionary stands for, and
// the rows of each page, which it goes through for that.
func (p *parquetRun) uses(ctx context.Context, o *chunkOut, entries int) ([]int64, error) {
	uses := make([]int64, entries)
	err := p.pages(&o.columnChunk, func(page *rawPage) error {
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		if page.kind == format.DictionaryPage {
			return nil
		}
		d, err := p.open(&o.columnChunk, page)
		if err != nil {
			return err
		}
		o.rows = append(o.rows, d.rows)
		if !page.isIndexes() {
			return nil
		}
		p.tally.Empty += d.nulls
		p.countColumn(o.col, columnTally{Empty: d.nulls})
		if err := countIndexes(uses, d.values, d.full); err != nil {
			return p.bad("column %s: a page refers to what its dictionary does not hold", o.column)
		}
		return nil
	})
	return uses, err
}

// countIndexes adds to uses how often each index is among the n of a page.
func countIndexes(uses []int64, b []byte, n int64) error {
	if n == 0 {
		return nil
	}
	if len(b) == 0 {
		return errThriftShort
	}
	d, err := newRLE(b[1:], int(b[0]), n)
	if err != nil {
		return err
	}
	for {
		v, k, group, err := d.next()
		switch {
		case err != nil:
			return err
		case k > 0:
			if uint64(v) >= uint64(len(uses)) {
				return errThrift
			}
			uses[v] += k
		case len(group) == 0:
			return nil
		}
		for _, v := range group {
			if uint64(v) >= uint64(len(uses)) {
				return errThrift
			}
			uses[v]++
		}
	}
}

// deterministic says whether the first value that has a result has it twice.
func (p *parquetRun) deterministic(ctx context.Context, o *chunkOut, raw []byte, spans []uint32) (bool, error) {
	for i := 0; i < len(spans); i += 2 {
		if spans[i+1] == 0 {
			continue
		}
		b := &o.col.g.batch
		b.At, b.Pre, b.Post = nil, "", ""
		b.Src, b.Spans, b.Dst = raw, []uint32{spans[i], spans[i+1], spans[i], spans[i+1]}, b.Dst[:0]
		if err := o.col.g.transform(ctx, true); err != nil {
			return false, p.bad("column %s: %w", o.column, err)
		}
		if len(b.Bad) == 0 && b.Out[1] > 0 {
			return bytes.Equal(b.Dst[b.Out[0]:][:b.Out[1]], b.Dst[b.Out[2]:][:b.Out[3]]), nil
		}
	}
	return true, nil
}

// data writes a data page, its values replaced unless they are those of a replaced
// dictionary, and returns how many rows begin in it.
func (p *parquetRun) data(ctx context.Context, o *chunkOut, page *rawPage) (rows int64, err error) {
	h := page.dataHead()
	if page.kind == format.DataPageV2 {
		keepOnly(h.field(8), 3)
	} else {
		keepOnly(h.field(5), 3)
	}
	if o.once && page.isIndexes() {
		p.paths.indexPages++
		return o.rows[page.number], p.write(o, page, page.body)
	}
	d, err := p.open(&o.columnChunk, page)
	if err != nil {
		return 0, err
	}
	p.tally.Empty += d.nulls
	p.countColumn(o.col, columnTally{Empty: d.nulls})
	e := page.encoding()
	switch e {
	case format.DeltaLengthByteArray, format.DeltaByteArray:
		p.paths.delta++
	case format.Plain:
		p.paths.plain++
	case format.RLEDictionary, plainDictionary:
	default:
		return 0, p.bad("column %s: values in encoding %v, which is not read here", o.column, e)
	}
	if 4*d.full > maxPage {
		return 0, p.bad("column %s: a page of results is over %d MiB", o.column, maxPage>>20)
	}
	if err := p.values.begin(e, d.values, d.full); err != nil {
		return 0, p.bad("column %s: a page is damaged: %w", o.column, err)
	}
	plain := p.plain[:0]
	if page.kind == format.DataPage {
		plain = append(plain, d.lead...)
	}
	held := int64(len(page.body)) + page.head.int(2) + int64(len(p.values.dict)) + 4*int64(len(p.values.dictAt))
	for done := int64(0); done < d.full; {
		arena, spans, err := p.values.next()
		if err != nil {
			return 0, p.bad("column %s: a page is damaged: %w", o.column, err)
		}
		b := batch{arena: arena, spans: spans, page: &d, first: done, of: int64(len(spans) / 2)}
		if plain, err = p.transform(ctx, o, plain, &b); err != nil {
			return 0, err
		}
		done += b.of
		// Room for the rest at once: a slice that grows leaves what it was behind.
		likely := int64(len(plain)) * d.full / done
		if err := p.fits(held+2*likely, "column "+o.column+": a page with its results"); err != nil {
			return 0, err
		}
		if more := likely + likely/32 - int64(len(plain)); done < d.full && int64(cap(plain)-len(plain)) < more {
			plain = slices.Grow(plain, int(more))
		}
	}
	p.plain = plain
	if page.kind == format.DataPage {
		h.put(2, thriftI32, int64(format.Plain))
		page.head.put(2, thriftI32, int64(len(plain)))
		packed, err := p.pack(o, plain)
		if err != nil {
			return 0, err
		}
		return d.rows, p.write(o, page, packed)
	}
	h.put(4, thriftI32, int64(format.Plain))
	page.head.put(2, thriftI32, int64(len(d.lead)+len(plain)))
	packed := plain
	switch {
	case len(plain) == 0: // nothing is not packed
		h.replace(thriftValue{id: 7, kind: thriftFalse, num: thriftFalse})
	case d.isPacked:
		if packed, err = p.pack(o, plain); err != nil {
			return 0, err
		}
	}
	return d.rows, p.write(o, page, d.lead, packed)
}
