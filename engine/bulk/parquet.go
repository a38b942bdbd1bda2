package bulk

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/format"
)

// Parquet: the chunks of the replaced columns are read page by page and written
// anew; all other chunks are copied byte for byte, and the footer is edited to
// say where everything is now. Whatever tells of the original values of a
// replaced column goes: statistics of chunks, pages and the column index, bloom
// filters, and the part of a sort order that begins with the column.
//
// Source: apache/parquet-format, README and parquet.thrift; numbers below are
// field ids there.

// maxPage bounds a page, in bytes, packed or not.
const maxPage = 512 << 20

// plainDictionary is the name that old writers give to RLEDictionary in pages
// and to Plain in dictionaries.
const plainDictionary format.Encoding = 2

// leaf is a column of values in a schema.
type leaf struct {
	path           []string
	kind           format.Type
	decimal        bool
	maxDef, maxRep int
}

func (l *leaf) name() string { return strings.Join(l.path, ".") }

// parquetRun is a Parquet file under way.
type parquetRun struct {
	*run
	src    *source
	out    *positionWriter
	leaves []leaf
	chosen map[int]*parquetColumn // by leaf
	buf    []byte
	sum    tally
	seen   *distinct
	row    int64     // rows of the row groups before
	v      *conveyor // for progress and journal: marks count column chunks
	jot    *journal  // nil where the run cannot be resumed
	mark   mark      // what is written

	unpacker unpacker
}

// replaced is what a journal keeps of a column chunk whose values were replaced,
// for the footer of the run that goes on: how the chunk and its pages lie, no value.
type replaced struct {
	Meta    []byte `json:"meta"`              // ColumnMetaData
	Offsets []byte `json:"offsets,omitempty"` // OffsetIndex
}

// parquetColumn is a replaced column.
type parquetColumn struct {
	name string
	g    *group
	doc  bool

	// of the chunk
	dict   []byte   // values of the dictionary, where pages must be written without
	dictAt []uint32 // off, len pairs
}

// positionWriter knows how much it wrote.
type positionWriter struct {
	w *bufio.Writer
	n int64
}

func (p *positionWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.n += int64(n)
	return n, err
}

// parquet runs a Parquet file.
func (r *run) parquet(ctx context.Context, src *source, out string) (err error) {
	if src.packed != None {
		return fmt.Errorf("%s: is a %s file around Parquet, which compresses by itself; unpack it first", src.name, src.packed)
	}
	if src.at == nil {
		return usagef("%s: Parquet is read from its end: give a file, not a pipe", src.name)
	}
	switch {
	case r.OnError == Keep:
		return usagef("%s: rows of Parquet cannot be kept out; use --on-error null", src.name)
	case r.Compress != AutoCompression && r.Compress != None:
		return usagef("%s: Parquet compresses by itself", src.name)
	}
	p := &parquetRun{run: r, src: src, chosen: map[int]*parquetColumn{}, seen: r.dist}
	defer p.unpacker.close()
	meta, err := p.footer()
	if err != nil {
		return err
	}
	if err := p.schema(meta); err != nil {
		return err
	}
	if err := p.check(meta); err != nil {
		return err
	}
	t := &target{name: "nothing", w: io.Discard}
	p.v = &conveyor{src: src, hi: src.size}
	if !r.DryRun {
		if t, err = r.openTarget(out, src.info, r.Resume); err != nil {
			return err
		}
		if p.jot, err = r.openJournal(src, t, p.v, Parquet, None); err != nil {
			t.release()
			return err
		}
		r.targets = append(r.targets, t)
		r.sum.Outputs = append(r.sum.Outputs, t.name)
	}
	w := &outputErrors{t: t}
	p.out = &positionWriter{w: bufio.NewWriterSize(w, 1<<20)}
	p.mark.Reject = r.rejected
	switch {
	case p.jot.resumes():
		r.sum.Resumed = true
		p.mark = p.jot.state.Mark
		if p.jot.state.Done {
			r.sum.add(p.mark.Tally, p.mark.Out)
			r.rejected = p.mark.Reject
			return nil
		}
		if err := r.goOn(ctx, p.jot, t, p.v, src); err != nil {
			return err
		}
		if _, err := t.lock.Seek(p.mark.Out, io.SeekStart); err != nil {
			return t.writeError(err)
		}
		p.sum = p.mark.Tally
		p.sum.Rows = 0 // counted again with the row groups
	case t.f != nil:
		if err := t.f.Truncate(0); err != nil {
			return t.writeError(err)
		}
	}
	err = p.all(ctx, meta)
	if err == nil {
		err = p.out.w.Flush()
	}
	r.sum.add(p.sum, p.out.n)
	r.sum.BytesIn += src.size
	if err == nil {
		p.v.read.Store(src.size)
	}
	r.progress(p.v, mark{}, true)
	if w.err != nil {
		err = w.err
	}
	if err == nil {
		err = src.unchanged()
	}
	if err == nil && !r.DryRun {
		err = t.finish()
	}
	if p.jot != nil {
		p.mark.Out, p.mark.Tally = p.out.n, p.sum
		p.jot.end(err == nil, p.mark, len(r.Inputs) > 1)
	}
	return err
}

// outputErrors words the errors of the output, so that they are told from those
// of the input.
type outputErrors struct {
	t   *target
	err error
}

func (o *outputErrors) Write(b []byte) (int, error) {
	n, err := o.t.w.Write(b)
	if err != nil {
		o.err = o.t.writeError(err)
	}
	return n, err
}

// damaged is an error of a Parquet file that another attempt would meet again.
type damaged struct{ error }

func (d damaged) Unwrap() error { return d.error }

// bad is an error of the file.
func (p *parquetRun) bad(format string, args ...any) error {
	return damaged{fmt.Errorf("%s: "+format, append([]any{p.src.name}, args...)...)}
}

// unread is an error of reading it.
func (p *parquetRun) unread(err error) error {
	return fmt.Errorf("%s: %w", p.src.name, bareErr(err))
}

// pread reads exactly n bytes at off.
func (p *parquetRun) pread(off, n int64, what string) ([]byte, error) {
	if n < 0 || off < 0 || off > p.src.size || n > p.src.size-off {
		return nil, p.bad("%s lies outside the file: it is damaged or cut short", what)
	}
	b := make([]byte, n)
	if _, err := p.src.at.ReadAt(b, off); err != nil && err != io.EOF {
		return nil, p.unread(err)
	} else if err == io.EOF && n > 0 {
		if k, _ := p.src.at.ReadAt(b, off); int64(k) < n {
			return nil, p.bad("%w: it became shorter while it was read", ErrChanged)
		}
	}
	return b, nil
}

// footer reads the file's metadata.
func (p *parquetRun) footer() (*thriftValue, error) {
	if p.src.size < 12 {
		return nil, p.bad("is no Parquet file")
	}
	tail, err := p.pread(p.src.size-8, 8, "the end")
	if err != nil {
		return nil, err
	}
	switch string(tail[4:]) {
	case "PAR1":
	case "PARE":
		return nil, p.bad("the Parquet file is encrypted; decrypt it first")
	default:
		return nil, p.bad("is no Parquet file, or is cut short")
	}
	n := int64(binary.LittleEndian.Uint32(tail))
	b, err := p.pread(p.src.size-8-n, n, "the footer")
	if err != nil {
		return nil, err
	}
	meta, _, err := readThrift(b)
	if err != nil {
		return nil, p.bad("footer: %w", err)
	}
	if meta.field(8) != nil {
		return nil, p.bad("the Parquet file is encrypted; decrypt it first")
	}
	return &meta, nil
}

// schema flattens the schema and finds the columns.
func (p *parquetRun) schema(meta *thriftValue) error {
	elements := meta.items(2)
	at := 0
	var walk func(path []string, def, rep, depth int) error
	walk = func(path []string, def, rep, depth int) error {
		if at >= len(elements) || depth > 100 {
			return p.bad("footer: the schema is damaged")
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
			for range children {
				if err := walk(path, def, rep, depth+1); err != nil {
					return err
				}
			}
			return nil
		}
		p.leaves = append(p.leaves, leaf{path, format.Type(e.int(1)), e.field(6) != nil && e.int(6) == 5, def, rep})
		return nil
	}
	if err := walk(nil, 0, 0, 0); err != nil {
		return err
	}
	var names []string
	for i := range p.leaves {
		names = append(names, p.leaves[i].name())
	}
	groups := map[int]*group{}
	for _, c := range p.Columns {
		at, n := -1, 0
		for i, name := range names {
			switch {
			case c.Number > 0:
			case name == c.Name:
				at, n = i, 1
			case strings.HasPrefix(name, c.Name+".") && (at < 0 || names[at] != c.Name):
				at = i // the only leaf below a list or group will do
				n++
			}
		}
		if c.Number > 0 && c.Number <= len(names) {
			at, n = c.Number-1, 1
		}
		switch {
		case n == 0 && c.Number > 0:
			return p.bad("no column %d; there are %d", c.Number, len(names))
		case n == 0:
			return p.bad("no column %s; there are %s", quoteName(c.Name), listNames(names))
		case n > 1:
			return p.bad("column %s holds several; name one of %s", quoteName(c.Name), listNames(names))
		case p.chosen[at] != nil:
			return usagef("column %s is given twice", quoteName(c.Name))
		}
		if k := p.leaves[at].kind; k != format.ByteArray {
			return p.bad("column %s is of type %v; only strings and binary values (BYTE_ARRAY) can be replaced", quoteName(names[at]), k)
		}
		if p.leaves[at].decimal {
			return p.bad("column %s holds decimal numbers; only strings and binary values can be replaced", quoteName(names[at]))
		}
		var key any = c.Plan
		if c.Remote != nil {
			key = c.Remote
		}
		gi := p.groups[key]
		if groups[gi] == nil {
			groups[gi] = newGroup(c, p.docs[gi], nil)
		}
		p.chosen[at] = &parquetColumn{name: names[at], g: groups[gi], doc: p.docs[gi] != nil}
	}
	return nil
}

// check refuses what cannot be done before anything is written.
func (p *parquetRun) check(meta *thriftValue) error {
	for i := range meta.items(4) {
		rg := &meta.items(4)[i]
		if len(rg.items(1)) != len(p.leaves) {
			return p.bad("footer: row group %d has %d columns, the schema %d", i+1, len(rg.items(1)), len(p.leaves))
		}
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
			if p.chosen[c] != nil {
				if codec := format.CompressionCodec(m.int(4)); !knownCodec(codec) {
					return p.bad("column %s is compressed with codec %v (%d), which is not read here", quoteName(p.leaves[c].name()), codec, codec)
				}
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

// index is what was read of a chunk's indexes, to be written behind the data.
type index struct {
	chunk   *thriftValue
	offsets *thriftValue // the offset index, edited
	column  []byte       // the column index, as it was
	bloom   []byte       // the bloom filter, as it was
}

// all writes the file. What an interrupted run wrote is gone through for its
// metadata alone.
func (p *parquetRun) all(ctx context.Context, meta *thriftValue) error {
	const magic = "PAR1"
	if p.mark.Chunk > 0 {
		p.out.n = int64(len(magic))
	} else if _, err := io.WriteString(p.out, magic); err != nil {
		return err
	}
	done, chunks, made := p.mark.Chunk, 0, p.mark.Replaced
	groups := meta.items(4)
	if p.Parts > 0 { // whole row groups: a share is a Parquet file of its own
		lo, hi := len(groups)*(p.Part-1)/p.Parts, len(groups)*p.Part/p.Parts
		groups = groups[lo:hi]
		meta.field(4).list = groups
		rows := int64(0)
		for i := range groups {
			rows += groups[i].int(3)
			groups[i].set(7, int64(i))
		}
		meta.set(3, rows)
	}
	var indexes []index
	for i := range groups {
		rg := &groups[i]
		start := p.out.n
		total, packed := int64(0), int64(0)
		for c := range rg.items(1) {
			cc := &rg.items(1)[c]
			if ctx.Err() != nil {
				return ErrInterrupted
			}
			var was *replaced // what an interrupted run made of it
			chunks++
			if chunks <= done {
				was = &replaced{}
				if p.chosen[c] != nil {
					if len(made) == 0 {
						return p.bad("%w", errJournal)
					}
					was, made = &made[0], made[1:]
				}
			}
			x, err := p.chunk(ctx, cc, c, was)
			if err != nil {
				return err
			}
			indexes = append(indexes, x)
			total += cc.field(3).int(6)
			packed += cc.field(3).int(7)
			switch {
			case chunks > done:
				err = p.reached(chunks, p.chosen[c] != nil, x)
			case chunks == done && p.out.n != p.mark.Out:
				err = p.bad("%w", errJournal)
			}
			if err != nil {
				return err
			}
		}
		rg.set(2, total)
		rg.set(5, start)
		rg.set(6, packed)
		for k, s := range rg.items(4) {
			if p.chosen[int(s.int(1))] != nil {
				rg.field(4).list = rg.items(4)[:k]
				if k == 0 {
					rg.remove(4)
				}
				break
			}
		}
		p.row += rg.int(3)
		p.sum.Rows += rg.int(3)
	}
	for _, x := range indexes {
		if x.column != nil {
			x.chunk.set(6, p.out.n)
			if _, err := p.out.Write(x.column); err != nil {
				return err
			}
		}
	}
	for _, x := range indexes {
		if x.offsets != nil {
			b := x.offsets.append(nil)
			x.chunk.set(4, p.out.n)
			x.chunk.set(5, int64(len(b)))
			if _, err := p.out.Write(b); err != nil {
				return err
			}
		}
	}
	for _, x := range indexes { // apart: readers take the indexes for one block
		if x.bloom != nil {
			x.chunk.field(3).set(14, p.out.n)
			if _, err := p.out.Write(x.bloom); err != nil {
				return err
			}
		}
	}
	b := meta.append(nil)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(b)))
	_, err := p.out.Write(append(b, "PAR1"...))
	return err
}

// reached notes that a column chunk is written.
func (p *parquetRun) reached(chunks int, isReplaced bool, x index) error {
	p.v.read.Store(min(p.out.n, p.src.size))
	p.progress(p.v, mark{Tally: p.sum}, false)
	if p.jot == nil {
		return nil
	}
	if isReplaced {
		was := replaced{Meta: x.chunk.field(3).append(nil)}
		if x.offsets != nil {
			was.Offsets = x.offsets.append(nil)
		}
		p.mark.Replaced = append(p.mark.Replaced, was)
	}
	if err := p.out.w.Flush(); err != nil {
		return err
	}
	p.mark.Chunk, p.mark.In, p.mark.Out, p.mark.Tally = chunks, p.v.read.Load(), p.out.n, p.sum
	return p.jot.reached(p.mark)
}

// again takes a replaced chunk's metadata from the journal.
func (p *parquetRun) again(m *thriftValue, x *index, was *replaced) error {
	v, _, err := readThrift(was.Meta)
	if err != nil {
		return p.bad("%w", errJournal)
	}
	v.id = m.id
	*m = v
	if x.offsets != nil {
		v, _, err := readThrift(was.Offsets)
		if err != nil {
			return p.bad("%w", errJournal)
		}
		x.offsets = &v
	}
	p.out.n += m.int(7)
	return nil
}

// chunk writes a column chunk, copied or with its values replaced, and updates
// its metadata. A chunk that an interrupted run wrote, of which was tells, is not
// written again.
func (p *parquetRun) chunk(ctx context.Context, cc *thriftValue, c int, was *replaced) (x index, err error) {
	m := cc.field(3)
	x.chunk = cc
	if off := cc.int(4); off > 0 {
		b, err := p.pread(off, cc.int(5), "an offset index")
		if err != nil {
			return x, err
		}
		v, _, err := readThrift(b)
		if err != nil {
			return x, p.bad("offset index: %w", err)
		}
		x.offsets = &v
	}
	start := m.int(9)
	if d := m.int(11); d > 0 && d < start {
		start = d
	}
	size := m.int(7)
	cc.set(2, 0)
	if col := p.chosen[c]; col != nil {
		cc.remove(6, 7)
		m.remove(8, 14, 15, 17)
		keepOnly(m.field(12), 3)
		m.field(16).remove(1)
		if x.offsets != nil {
			x.offsets.remove(2)
		}
		if was != nil {
			return x, p.again(m, &x, was)
		}
		return x, p.replace(ctx, m, col, &p.leaves[c], start, size, x.offsets)
	}
	if x.column, err = p.optional(cc.int(6), cc.int(7), "a column index"); err != nil {
		return x, err
	}
	if off := m.int(14); off > 0 {
		n := m.int(15)
		if n == 0 { // older writers leave the length to the filter's header
			head, err := p.pread(off, min(64, p.src.size-off), "a bloom filter")
			if err != nil {
				return x, err
			}
			h, k, err := readThrift(head)
			if err != nil {
				return x, p.bad("bloom filter: %w", err)
			}
			n = int64(k) + h.int(1)
		}
		if x.bloom, err = p.optional(off, n, "a bloom filter"); err != nil {
			return x, err
		}
	}
	moved := p.out.n - start
	if was != nil {
		p.out.n += size
	} else if err := p.copy(start, size); err != nil {
		return x, err
	}
	for _, id := range []int16{9, 10, 11} {
		if f := m.field(id); f != nil && f.num > 0 {
			f.num += moved
		}
	}
	if x.offsets != nil {
		for i := range x.offsets.items(1) {
			loc := &x.offsets.items(1)[i]
			loc.set(1, loc.int(1)+moved)
		}
	}
	return x, nil
}

// keepOnly removes all fields but one.
func keepOnly(v *thriftValue, id int16) {
	if v == nil {
		return
	}
	var drop []int16
	for _, f := range v.list {
		if f.id != id {
			drop = append(drop, f.id)
		}
	}
	v.remove(drop...)
}

// optional reads a part that may not be there.
func (p *parquetRun) optional(off, n int64, what string) ([]byte, error) {
	if off <= 0 || n <= 0 {
		return nil, nil
	}
	return p.pread(off, n, what)
}

// copy writes bytes of the input as they are.
func (p *parquetRun) copy(off, n int64) error {
	if off < 0 || n < 0 || off > p.src.size || n > p.src.size-off {
		return p.bad("a column chunk lies outside the file: it is damaged or cut short")
	}
	if p.buf == nil {
		p.buf = make([]byte, 1<<20)
	}
	for n > 0 {
		b := p.buf[:min(n, int64(len(p.buf)))]
		k, err := p.src.at.ReadAt(b, off)
		if k < len(b) {
			if err == io.EOF {
				err = fmt.Errorf("%w: it became shorter while it was read", ErrChanged)
			}
			return p.unread(err)
		}
		if _, err := p.out.Write(b); err != nil {
			return err
		}
		off, n = off+int64(k), n-int64(k)
	}
	return nil
}

// replace writes a chunk with its values replaced.
func (p *parquetRun) replace(ctx context.Context, m *thriftValue, col *parquetColumn, l *leaf, start, size int64, offsets *thriftValue) error {
	codec := parquet.LookupCompressionCodec(format.CompressionCodec(m.int(4)))
	from := p.out.n
	unpacked := int64(0)
	used := map[[2]int64]int64{} // page type, encoding → pages
	dataAt, dictAt := int64(0), int64(0)
	col.dict, col.dictAt = nil, nil
	page, values := 0, int64(0)
	for at := start; at < start+size; {
		h, headLen, err := p.pageHeader(at, start+size-at)
		if err != nil {
			return err
		}
		at += int64(headLen)
		n := h.int(3)
		if n < 0 || n > maxPage || h.int(2) < 0 || h.int(2) > maxPage || n > start+size-at {
			return p.bad("column %s: a page of %d bytes, %d unpacked, is damaged or over %d MiB", quoteName(col.name), n, h.int(2), maxPage>>20)
		}
		body, err := p.pread(at, n, "a page")
		if err != nil {
			return err
		}
		at += n
		if ctx.Err() != nil {
			return ErrInterrupted
		}
		kind := format.PageType(h.int(1))
		pageAt := p.out.n
		drop := false
		switch kind {
		case format.DictionaryPage:
			d := h.field(7)
			if e := format.Encoding(d.int(2)); e != format.Plain && e != plainDictionary {
				return p.bad("column %s: a dictionary in encoding %v", quoteName(col.name), e)
			}
			d.remove(3)
			body, drop, err = p.dictionary(ctx, col, codec, &h, body)
			dictAt = pageAt
		case format.DataPage, format.DataPageV2:
			body, err = p.data(ctx, col, l, codec, &h, body, values)
			id := int16(5)
			if kind == format.DataPageV2 {
				id = 8
			}
			values += h.field(id).int(1)
			if dataAt == 0 {
				dataAt = pageAt
			}
		default:
			return p.bad("column %s: a page of type %v", quoteName(col.name), kind)
		}
		if err != nil {
			return err
		}
		if drop {
			dictAt = 0
			continue
		}
		h.set(3, int64(len(body)))
		h.set(4, int64(int32(crc32.ChecksumIEEE(body))))
		head := h.append(nil)
		if _, err := p.out.Write(head); err != nil {
			return err
		}
		if _, err := p.out.Write(body); err != nil {
			return err
		}
		unpacked += int64(len(head)) + h.int(2)
		id := map[format.PageType]int16{format.DictionaryPage: 7, format.DataPage: 5, format.DataPageV2: 8}[kind]
		enc := h.field(id).int(2)
		if kind == format.DataPageV2 {
			enc = h.field(id).int(4)
		}
		used[[2]int64{int64(kind), enc}]++
		if kind != format.DictionaryPage {
			if locs := offsets; locs != nil {
				if page >= len(locs.items(1)) {
					return p.bad("column %s: more pages than its offset index has", quoteName(col.name))
				}
				loc := &locs.items(1)[page]
				loc.set(1, pageAt)
				loc.set(2, int64(len(head)+len(body)))
			}
			page++
		}
		if col.doc {
			if err := p.counters.check(); err != nil {
				return p.bad("%w", err)
			}
		}
	}
	m.set(6, unpacked)
	m.set(7, p.out.n-from)
	m.set(9, dataAt)
	if dictAt > 0 {
		m.set(11, dictAt)
	} else {
		m.remove(11)
	}
	p.encodings(m, used)
	return nil
}

// encodings sets the lists of encodings of a chunk to those used.
func (p *parquetRun) encodings(m *thriftValue, used map[[2]int64]int64) {
	list := []int64{int64(format.RLE)} // of the levels
	keys := make([][2]int64, 0, len(used))
	for k := range used {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b [2]int64) int { return slices.Compare(b[:], a[:]) })
	var stats []thriftValue
	for _, k := range keys {
		if !slices.Contains(list, k[1]) {
			list = append(list, k[1])
		}
		stats = append(stats, thriftValue{kind: thriftStruct, list: []thriftValue{
			{id: 1, kind: thriftI32, num: k[0]}, {id: 2, kind: thriftI32, num: k[1]}, {id: 3, kind: thriftI32, num: used[k]}}})
	}
	if f := m.field(2); f != nil {
		f.list = nil
		for _, e := range list {
			f.list = append(f.list, thriftValue{kind: thriftI32, num: e})
		}
	}
	if f := m.field(13); f != nil {
		f.list = stats
	}
}

// pageHeader reads the header at off; it is somewhere below 100 bytes unless it
// holds long statistics.
func (p *parquetRun) pageHeader(off, most int64) (h thriftValue, n int, err error) {
	for size := int64(512); ; size *= 8 {
		b, err := p.pread(off, min(size, most), "a page header")
		if err != nil {
			return h, 0, err
		}
		h, n, err = readThrift(b)
		switch {
		case err == nil:
			return h, n, nil
		case errors.Is(err, errThriftShort) && size < most && size < maxPage:
			continue
		}
		return h, 0, p.bad("page header: %w", err)
	}
}

// damage calls a decoder of the library, some of which panic at what is no valid
// page, and makes that an error.
func damage(decode func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = errUnpack
		}
	}()
	return decode()
}

func (p *parquetRun) unpack(col *parquetColumn, codec compress.Codec, body []byte, n int64) ([]byte, error) {
	b, err := p.unpacker.unpack(codec.CompressionCodec(), body, n)
	if err != nil {
		return nil, p.bad("column %s: a page cannot be unpacked: %w", quoteName(col.name), err)
	}
	if int64(len(b)) != n {
		return nil, p.bad("column %s: a page unpacks to %d bytes, not %d: it is damaged", quoteName(col.name), len(b), n)
	}
	return b, nil
}

func (p *parquetRun) pack(col *parquetColumn, codec compress.Codec, b []byte) ([]byte, error) {
	if len(b) > maxPage {
		return nil, p.bad("column %s: a page of results is over %d MiB", quoteName(col.name), maxPage>>20)
	}
	out, err := codec.Encode(nil, b)
	if err != nil {
		return nil, p.bad("column %s: a page cannot be packed: %w", quoteName(col.name), err)
	}
	return out, nil
}

// dictionary replaces the values of a dictionary page, once each; the pages that
// refer to it stay as they are. Where equal values get different results it
// keeps the values for the pages and has the dictionary dropped.
func (p *parquetRun) dictionary(ctx context.Context, col *parquetColumn, codec compress.Codec, h *thriftValue, body []byte) (out []byte, drop bool, err error) {
	raw, err := p.unpack(col, codec, body, h.int(2))
	if err != nil {
		return nil, false, err
	}
	spans, err := p.plainSpans(col, raw)
	if err != nil {
		return nil, false, err
	}
	once := false
	if !col.doc {
		if once, err = p.deterministic(ctx, col, raw, spans); err != nil {
			return nil, false, err
		}
	}
	if !once {
		col.dict, col.dictAt = raw, spans
		return nil, true, nil
	}
	plain, err := p.values(ctx, col, nil, raw, spans, nil)
	if err != nil {
		return nil, false, err
	}
	h.set(2, int64(len(plain)))
	h.field(7).set(2, int64(format.Plain))
	out, err = p.pack(col, codec, plain)
	return out, false, err
}

// deterministic says whether the first value that has a result has it twice.
func (p *parquetRun) deterministic(ctx context.Context, col *parquetColumn, raw []byte, spans []uint32) (bool, error) {
	for i := 0; i < len(spans); i += 2 {
		if spans[i+1] == 0 {
			continue
		}
		b := &col.g.batch
		b.Src, b.Spans, b.Dst = raw, []uint32{spans[i], spans[i+1], spans[i], spans[i+1]}, b.Dst[:0]
		if err := col.g.transform(ctx, true); err != nil {
			return false, p.bad("column %s: %w", quoteName(col.name), err)
		}
		if len(b.Bad) == 0 && b.Out[1] > 0 {
			return bytes.Equal(b.Dst[b.Out[0]:][:b.Out[1]], b.Dst[b.Out[2]:][:b.Out[3]]), nil
		}
	}
	return true, nil
}

// data replaces the values of a data page.
func (p *parquetRun) data(ctx context.Context, col *parquetColumn, l *leaf, codec compress.Codec, h *thriftValue, body []byte, first int64) ([]byte, error) {
	v2 := format.PageType(h.int(1)) == format.DataPageV2
	d, encID, statID := h.field(5), int16(2), int16(5)
	if v2 {
		d, encID, statID = h.field(8), 4, 8
	}
	if d == nil {
		return nil, p.bad("column %s: a page without its header", quoteName(col.name))
	}
	keepOnly(d.field(statID), 3)
	enc := format.Encoding(d.int(encID))
	isDict := enc == plainDictionary || enc == format.RLEDictionary
	if isDict && col.dict == nil {
		return body, nil // it refers to the replaced dictionary
	}
	packed := true
	levels := 0
	var raw []byte
	var err error
	var defs []byte   // definition levels
	count := d.int(1) // values that are not null
	if v2 {
		if f := d.field(7); f != nil && f.num == thriftFalse {
			packed = false
		}
		levels = int(d.int(5) + d.int(6))
		if levels < 0 || levels > len(body) || int64(levels) > h.int(2) {
			return nil, p.bad("column %s: the levels of a page are damaged", quoteName(col.name))
		}
		if packed && len(body) > levels {
			if raw, err = p.unpack(col, codec, body[levels:], h.int(2)-int64(levels)); err != nil {
				return nil, err
			}
		} else {
			raw = body[levels:]
		}
		if rep := int(d.int(6)); rep >= 0 && rep <= levels {
			defs = body[rep:levels]
		}
		count -= d.int(2)
	} else {
		if raw, err = p.unpack(col, codec, body, h.int(2)); err != nil {
			return nil, err
		}
		for i, most := range []int{l.maxRep, l.maxDef} {
			if most == 0 {
				continue
			}
			if levelEnc := format.Encoding(d.int(int16(4 - i))); levelEnc != format.RLE {
				return nil, p.bad("column %s: levels in encoding %v", quoteName(col.name), levelEnc)
			}
			if levels+4 > len(raw) || uint64(binary.LittleEndian.Uint32(raw[levels:])) > uint64(len(raw)-levels-4) {
				return nil, p.bad("column %s: the levels of a page are damaged", quoteName(col.name))
			}
			n := int(binary.LittleEndian.Uint32(raw[levels:]))
			if i == 1 {
				present := int64(0)
				defs = raw[levels+4:][:n]
				if err := eachRLE(defs, bitsFor(most), d.int(1), func(v uint32, k int64) bool {
					if int(v) == most {
						present += k
					}
					return true
				}); err != nil {
					return nil, p.bad("column %s: the levels of a page are damaged", quoteName(col.name))
				}
				count = present
			}
			levels += 4 + n
		}
	}
	values := raw
	if !v2 {
		values = raw[levels:]
	}
	if count < 0 || count > int64(maxPage) {
		return nil, p.bad("column %s: a page of %d values", quoteName(col.name), count)
	}
	var spans []uint32
	arena := values
	switch {
	case isDict:
		arena = col.dict
		if count > 0 {
			if len(values) == 0 || values[0] > 32 {
				return nil, p.bad("column %s: a page is damaged", quoteName(col.name))
			}
			damaged := false
			err = eachRLE(values[1:], int(values[0]), count, func(v uint32, k int64) bool {
				if uint64(v) >= uint64(len(col.dictAt)/2) {
					damaged = true
					return false
				}
				for range k {
					spans = append(spans, col.dictAt[2*v], col.dictAt[2*v+1])
				}
				return true
			})
			if err != nil || damaged {
				return nil, p.bad("column %s: a page refers to what its dictionary does not hold", quoteName(col.name))
			}
		}
	case enc == format.Plain:
		if spans, err = p.plainSpans(col, values); err != nil {
			return nil, err
		}
	case enc == format.DeltaLengthByteArray || enc == format.DeltaByteArray:
		if spans, arena, err = deltaSpans(enc, values); err != nil {
			return nil, p.bad("column %s: a page is damaged: %w", quoteName(col.name), err)
		}
	default:
		return nil, p.bad("column %s: values in encoding %v", quoteName(col.name), enc)
	}
	if int64(len(spans)/2) != count {
		return nil, p.bad("column %s: a page holds %d values, not %d: it is damaged", quoteName(col.name), len(spans)/2, count)
	}
	d.set(encID, int64(format.Plain))
	lead := raw[:levels:levels]
	if v2 {
		lead = nil
	}
	var rowOf func(i int) int64
	if l.maxRep == 0 {
		rowOf = func(i int) int64 {
			row := p.row + first + 1
			if l.maxDef == 0 {
				return row + int64(i)
			}
			left := int64(i) + 1
			_ = eachRLE(defs, bitsFor(l.maxDef), d.int(1), func(v uint32, k int64) bool { // valid: see above, or for a message only
				if int(v) == l.maxDef {
					if k >= left {
						row += left - 1
						return false
					}
					left -= k
				}
				row += k
				return true
			})
			return row
		}
	}
	plain, err := p.values(ctx, col, lead, arena, spans, rowOf)
	if err != nil {
		return nil, err
	}
	if v2 {
		h.set(2, int64(levels+len(plain)))
		out := plain
		if packed {
			if out, err = p.pack(col, codec, plain); err != nil {
				return nil, err
			}
		}
		return append(slices.Clip(body[:levels:levels]), out...), nil
	}
	h.set(2, int64(len(plain)))
	return p.pack(col, codec, plain)
}

// plainSpans finds the values of PLAIN byte arrays.
func (p *parquetRun) plainSpans(col *parquetColumn, b []byte) ([]uint32, error) {
	spans := make([]uint32, 0, len(b)/8)
	for at := 0; at < len(b); {
		if len(b)-at < 4 {
			return nil, p.bad("column %s: a page is damaged", quoteName(col.name))
		}
		n := binary.LittleEndian.Uint32(b[at:])
		at += 4
		if uint64(n) > uint64(len(b)-at) {
			return nil, p.bad("column %s: a page is damaged", quoteName(col.name))
		}
		spans = append(spans, uint32(at), n)
		at += int(n)
	}
	return spans, nil
}

// deltaSpans decodes the two delta encodings.
func deltaSpans(enc format.Encoding, b []byte) (spans []uint32, arena []byte, err error) {
	var offsets []uint32
	err = damage(func() (err error) {
		if enc == format.DeltaByteArray {
			var e delta.ByteArrayEncoding
			arena, offsets, err = e.DecodeByteArray(nil, b, nil)
		} else {
			var e delta.LengthByteArrayEncoding
			arena, offsets, err = e.DecodeByteArray(nil, b, nil)
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	for i := 0; i+1 < len(offsets); i++ {
		if offsets[i] > offsets[i+1] || uint64(offsets[i+1]) > uint64(len(arena)) {
			return nil, nil, errThrift
		}
		spans = append(spans, offsets[i], offsets[i+1]-offsets[i])
	}
	return spans, arena, nil
}

// values transforms values and appends them to dst as PLAIN byte arrays. rowOf
// gives the row of a value, for messages; nil where it is not known.
func (p *parquetRun) values(ctx context.Context, col *parquetColumn, dst, arena []byte, spans []uint32, rowOf func(i int) int64) ([]byte, error) {
	b := &col.g.batch
	own := spans
	if len(p.Null) > 0 {
		own = slices.Clone(spans)
		for i := 0; i < len(own); i += 2 {
			for _, n := range p.Null {
				if string(arena[own[i]:][:own[i+1]]) == n {
					own[i+1] = 0
				}
			}
		}
	}
	b.At, b.Pre, b.Post, b.Src, b.Spans, b.Dst = nil, "", "", arena, own, b.Dst[:0]
	if !p.DryRun {
		if err := col.g.leave(ctx); err != nil {
			return nil, err
		}
	}
	if col.g.remote != nil || col.doc || p.workers == 1 {
		if err := col.g.transform(ctx, p.OnError != Fail || p.DryRun); err != nil {
			return nil, p.bad("column %s: %w", quoteName(col.name), err)
		}
	} else {
		col.g.plan.TransformParallel(b, p.workers)
	}
	p.seen.add(arena, own, col.g.pseudonyms)
	if col.doc {
		p.counters.add(arena, own)
	}
	p.sum.Errors += int64(len(b.Bad))
	for _, bad := range b.Bad {
		e := Error{File: p.src.name, Column: col.name, Code: bad.Code, Why: col.g.cause(bad, p.OnError == Fail && !p.DryRun)}
		if rowOf != nil {
			e.Row = rowOf(bad.Index)
		}
		if p.OnError == Fail && !p.DryRun {
			return nil, &e
		}
		if len(p.run.sum.Failures) < maxFailures {
			p.run.sum.Failures = append(p.run.sum.Failures, Failure{e.File, e.Row, e.Column, e.Code.String()})
		}
	}
	bad := b.Bad
	need := len(dst) + len(b.Dst) + 2*len(spans)
	for i := 0; i < len(spans); i += 2 {
		if own[i+1] == 0 {
			need += int(spans[i+1])
		}
	}
	dst = slices.Grow(dst, need-len(dst))
	for i := 0; i < len(spans)/2; i++ {
		res := b.Dst[b.Out[2*i]:][:b.Out[2*i+1]]
		switch {
		case len(bad) > 0 && bad[0].Index == i:
			bad, res = bad[1:], nil
		case len(res) == 0 && own[2*i+1] > 0: // White_Space alone, and a norm step
			p.sum.Empty++
		case own[2*i+1] == 0:
			res = arena[spans[2*i]:][:spans[2*i+1]]
			p.sum.Empty++
		default:
			p.sum.Values++
		}
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(res)))
		dst = append(dst, res...)
	}
	return dst, nil
}

// bitsFor returns the width of levels up to most.
func bitsFor(most int) int {
	n := 0
	for ; most > 0; most >>= 1 {
		n++
	}
	return n
}

// eachRLE calls f for the runs of n values in the RLE and bit-packing hybrid of
// parquet-format's Encodings.md.
func eachRLE(b []byte, width int, n int64, f func(v uint32, k int64) bool) error {
	for n > 0 {
		head, k := binary.Uvarint(b)
		if k <= 0 {
			return errThriftShort
		}
		b = b[k:]
		if head&1 == 0 {
			size := (width + 7) / 8
			if len(b) < size {
				return errThriftShort
			}
			v := uint32(0)
			for i := range size {
				v |= uint32(b[i]) << (8 * i)
			}
			b = b[size:]
			run := min(int64(head>>1), n)
			if run <= 0 {
				return errThrift
			}
			if !f(v, run) {
				return nil
			}
			n -= run
			continue
		}
		groups := head >> 1
		if groups == 0 || groups > uint64(len(b)) && width > 0 || groups > 1<<40 {
			return errThrift
		}
		size := int(groups) * width
		if size > len(b) {
			size = len(b) // the last group may be cut short
		}
		packed := b[:size]
		b = b[size:]
		acc, have := uint64(0), 0
		for i := uint64(0); i < groups*8 && n > 0; i++ {
			for have < width {
				if len(packed) == 0 {
					return errThriftShort
				}
				acc |= uint64(packed[0]) << have
				packed = packed[1:]
				have += 8
			}
			v := uint32(acc & (1<<width - 1))
			acc >>= width
			have -= width
			if !f(v, 1) {
				return nil
			}
			n--
		}
	}
	return nil
}
