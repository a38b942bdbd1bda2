package bulk

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
)

// Parquet: the chunks of the replaced columns are read page by page and written
// anew; all other chunks are copied byte for byte, and the footer is edited to
// say where everything is now. Whatever tells of the original values of a
// replaced column goes: statistics of chunks, pages and the column index, bloom
// filters, and the part of a sort order that begins with the column. What was
// written is read again before it gets its name (parquet_verify.go).
//
// Source: apache/parquet-format, README and parquet.thrift; numbers below are
// field ids there.

// parquetRun is a Parquet file under way.
type parquetRun struct {
	*run
	parquetFile
	src    *source
	out    *positionWriter
	leaves []leaf
	chosen map[int]*parquetColumn // by leaf
	buf    []byte
	tally  tally
	seen   *distinct
	row    int64     // rows of the row groups before
	v      *pipeline // for progress and journal: marks count column chunks
	jnl    *journal  // nil where the run cannot be resumed
	mark   mark      // what is written

	sums          []uint32   // of the replaced chunks, as they were written
	values        pageValues // of the page under way
	plain, packed []byte     // its results
	pairs         []byte
	paths         *parquetPaths
}

// parquetPaths counts, for tests, how often each way of doing the work was taken.
type parquetPaths struct {
	copied       int // chunks, byte for byte
	dictionaries int // replaced once for all pages that refer to them
	indexPages   int // left as they are behind such a dictionary
	undone       int // dictionaries dropped, their pages written out
	plain, delta int // pages of values
	batches      int // of values transformed at a time
	verified     int // chunks of outputs read again
}

// replaced is what a journal keeps of a column chunk whose values were replaced,
// for the footer of the run that goes on: how the chunk and its pages lie, no value.
type replaced struct {
	Meta    []byte `json:"meta"`              // ColumnMetaData
	Offsets []byte `json:"offsets,omitempty"` // OffsetIndex
	Sum     uint32 `json:"sum"`               // CRC-32C of its bytes
}

// parquetColumn is a replaced column.
type parquetColumn struct {
	name string
	job  int // index of Job.Columns
	g    *group
	doc  bool
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// positionWriter knows how much it wrote.
type positionWriter struct {
	w   *bufio.Writer
	n   int64
	sum uint32 // of what was written since it was set to 0
}

func (p *positionWriter) Write(b []byte) (int, error) {
	n, err := p.w.Write(b)
	p.n += int64(n)
	p.sum = crc32.Update(p.sum, castagnoli, b)
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
	p := &parquetRun{run: r, src: src, chosen: map[int]*parquetColumn{}, seen: r.dist, paths: r.parquetPaths,
		parquetFile: parquetFile{name: src.name, at: src.at, size: src.size, memory: r.MaxMemory}}
	if p.paths == nil {
		p.paths = &parquetPaths{}
	}
	defer p.unpacker.close()
	meta, _, err := p.footer()
	if err != nil {
		return err
	}
	if p.leaves, err = p.readSchema(meta); err != nil {
		return err
	}
	if err := p.choose(meta); err != nil {
		return err
	}
	if err := p.check(meta); err != nil {
		return err
	}
	t := &target{name: "nothing", w: io.Discard}
	p.v = &pipeline{src: src, hi: src.size}
	if !r.DryRun {
		if t, err = r.openTarget(out, src.info, r.Resume); err != nil {
			return err
		}
		if p.jnl, err = r.openJournal(src, t, p.v, Parquet, None); err != nil {
			t.abandon(r.Resume)
			return err
		}
		r.targets = append(r.targets, t)
		r.sum.Outputs = append(r.sum.Outputs, t.name)
	}
	w := &outputErrors{t: t}
	p.out = &positionWriter{w: bufio.NewWriterSize(w, 1<<20)}
	p.mark.Reject = r.rejected
	switch {
	case p.jnl.resumes():
		r.sum.Resumed = true
		p.mark = p.jnl.state.Mark
		if p.jnl.state.Done {
			r.sum.add(p.mark.Tally, p.mark.Out)
			r.countJobColumns(p.mark.Tally)
			r.rejected = p.mark.Reject
			return nil
		}
		if err := r.resumeAt(ctx, p.jnl, t, p.v, src); err != nil {
			return err
		}
		if _, err := t.lock.Seek(p.mark.Out, io.SeekStart); err != nil {
			return t.writeError(err)
		}
		p.tally = p.mark.Tally
		p.tally.Rows = 0 // counted again with the row groups
	case t.f != nil:
		if err := t.f.Truncate(0); err != nil {
			return t.writeError(err)
		}
	}
	err = p.all(ctx, meta)
	if err == nil {
		err = p.out.w.Flush()
	}
	r.sum.add(p.tally, p.out.n)
	r.countJobColumns(p.tally)
	r.warnKnown(src.name, p.tally)
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
	if err == nil && t.f != nil {
		err = p.verify(ctx, t, meta)
	}
	if err == nil && !r.DryRun {
		err = t.finish()
	}
	if p.jnl != nil {
		p.mark.Out, p.mark.Tally = p.out.n, p.tally
		p.jnl.end(err == nil, p.mark, len(r.Inputs) > 1)
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
			x, err := p.chunk(ctx, cc, c, rg.int(3), was)
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
		rg.put(2, thriftI64, total)
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
		p.tally.Rows += rg.int(3)
	}
	for _, x := range indexes {
		if x.column != nil {
			x.chunk.put(6, thriftI64, p.out.n)
			if _, err := p.out.Write(x.column); err != nil {
				return err
			}
		}
	}
	for _, x := range indexes {
		if x.offsets != nil {
			b := x.offsets.append(nil)
			x.chunk.put(4, thriftI64, p.out.n)
			x.chunk.put(5, thriftI32, int64(len(b)))
			if _, err := p.out.Write(b); err != nil {
				return err
			}
		}
	}
	for _, x := range indexes { // apart: readers take the indexes for one block
		if x.bloom != nil {
			x.chunk.field(3).put(14, thriftI64, p.out.n)
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
	p.progress(p.v, mark{Tally: p.tally}, false)
	if p.jnl == nil {
		return nil
	}
	if isReplaced {
		was := replaced{Meta: x.chunk.field(3).append(nil), Sum: p.sums[len(p.sums)-1]}
		if x.offsets != nil {
			was.Offsets = x.offsets.append(nil)
		}
		p.mark.Replaced = append(p.mark.Replaced, was)
	}
	if err := p.out.w.Flush(); err != nil {
		return err
	}
	p.mark.Chunk, p.mark.In, p.mark.Out, p.mark.Tally = chunks, p.v.read.Load(), p.out.n, p.tally
	return p.jnl.reached(p.mark)
}

// again takes a replaced chunk's metadata from the journal.
func (p *parquetRun) again(m *thriftValue, x *index, was *replaced) error {
	v, _, err := readThrift(was.Meta)
	if err != nil {
		return p.bad("%w", errJournal)
	}
	v.id = m.id
	*m = v
	p.sums = append(p.sums, was.Sum)
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
func (p *parquetRun) chunk(ctx context.Context, cc *thriftValue, c int, rows int64, was *replaced) (x index, err error) {
	col := p.chosen[c]
	cc.put(2, thriftI64, 0) // readers take the place from the metadata
	column, columnLen := cc.int(6), cc.int(7)
	if col != nil {
		cc.remove(6, 7)
	}
	x.chunk = cc
	if off := cc.int(4); off > 0 {
		b, err := p.pread(off, cc.int(5), "an offset index")
		if err != nil {
			return x, err
		}
		v, _, err := readThriftWithin(b, p.memory/thriftValueSize)
		if err != nil {
			return x, p.bad("offset index: %w", err)
		}
		x.offsets = &v
	}
	m := cc.field(3)
	start, size := chunkStart(m), m.int(7)
	if col != nil {
		ch, err := p.chunkOf(m, &p.leaves[c], rows)
		if err != nil {
			return x, err
		}
		m.remove(8, 14, 15, 17)
		keepOnly(m.field(12), 3)
		m.field(16).remove(1)
		if x.offsets != nil {
			x.offsets.remove(2)
		}
		if was != nil {
			return x, p.again(m, &x, was)
		}
		return x, p.replace(ctx, m, col, &ch, x.offsets)
	}
	if x.column, err = p.optional(column, columnLen, "a column index"); err != nil {
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
	p.paths.copied++
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
