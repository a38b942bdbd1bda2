package bulk

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"runtime/debug"

	"github.com/parquet-go/parquet-go/format"
)

// verify reads an output again before it gets its name: the footer, where every
// chunk lies, and all pages of the chunks whose values were replaced. Anything that
// another reader would stumble over ends the run; want is the footer that was
// meant. What goes to standard output cannot be read again.
func (p *parquetRun) verify(ctx context.Context, t *target, want *thriftValue) error {
	if cap(p.plain)+cap(p.packed)+cap(p.unpacker.buf) > 64<<20 { // reading takes as much again
		p.plain, p.packed, p.body, p.unpacker.buf, p.values = nil, nil, nil, nil, pageValues{}
		debug.FreeOSMemory()
	}
	info, err := t.lock.Stat()
	if err != nil {
		return t.writeError(err)
	}
	v := &verifier{parquetFile: parquetFile{name: t.name, at: t.lock, size: info.Size(), memory: 1 << 62}, p: p}
	defer v.unpacker.close()
	if err := v.all(ctx, want); err != nil {
		if err == ErrInterrupted {
			return err
		}
		return damaged{fmt.Errorf("the output does not read back, which is a fault of this program or of the disk; nothing of it is kept: %w", err)}
	}
	return nil
}

// verifier reads an output.
type verifier struct {
	parquetFile
	p      *parquetRun
	values pageValues
	end    int64 // of the chunks gone through
}

func (v *verifier) all(ctx context.Context, want *thriftValue) error {
	if v.size != v.p.out.n {
		return v.bad("has %d bytes, not the %d written", v.size, v.p.out.n)
	}
	meta, begin, err := v.footer()
	if err != nil {
		return err
	}
	leaves, err := v.readSchema(meta)
	if err != nil {
		return err
	}
	b, err := v.pread(begin, v.size-8-begin, "the footer")
	if err != nil {
		return err
	}
	if !bytes.Equal(b, want.append(nil)) {
		return v.bad("the footer is not what was written")
	}
	sums := v.p.sums
	groups := meta.items(4)
	if len(leaves) != len(v.p.leaves) || len(groups) != len(want.items(4)) || meta.int(3) != want.int(3) {
		return v.bad("footer: %d columns, %d row groups, %d rows", len(leaves), len(groups), meta.int(3))
	}
	v.end = 4
	for i := range groups {
		rg := &groups[i]
		if len(rg.items(1)) != len(leaves) || rg.int(3) != want.items(4)[i].int(3) {
			return v.bad("footer: row group %d has %d columns, %d rows", i+1, len(rg.items(1)), rg.int(3))
		}
		unpacked := int64(0)
		for c := range leaves {
			if ctx.Err() != nil {
				return ErrInterrupted
			}
			cc := &rg.items(1)[c]
			m := cc.field(3)
			unpacked += m.int(6)
			if err := v.place(m, &leaves[c], begin); err != nil {
				return err
			}
			if v.p.chosen[c] == nil {
				continue
			}
			if len(sums) == 0 {
				return v.bad("column %s was not written", quoteName(leaves[c].name()))
			}
			v.p.paths.verified++
			if err := v.chunk(cc, m, &leaves[c], rg.int(3), sums[0]); err != nil {
				return fmt.Errorf("row group %d: %w", i+1, err)
			}
			sums = sums[1:]
		}
		if unpacked != rg.int(2) {
			return v.bad("footer: row group %d has %d bytes unpacked, its columns %d", i+1, rg.int(2), unpacked)
		}
	}
	return nil
}

// place holds a chunk's place against those before it: they lie one behind the
// other, and before the footer.
func (v *verifier) place(m *thriftValue, l *leaf, footer int64) error {
	start, size := chunkStart(m), m.int(7)
	if size == 0 {
		return nil
	}
	if start != v.end || size < 0 || size > footer-start {
		return v.bad("footer: column %s lies at %d, %d bytes, and %d is where it begins", quoteName(l.name()), start, size, v.end)
	}
	v.end = start + size
	return nil
}

// chunk reads a chunk that was replaced; want is the sum of what was written.
func (v *verifier) chunk(cc, m *thriftValue, l *leaf, rows int64, want uint32) error {
	c, err := v.chunkOf(m, l, rows)
	if err != nil {
		return err
	}
	if cc.field(6) != nil || m.field(8) != nil || m.field(14) != nil || m.field(17) != nil {
		return v.bad("column %s: what is kept of the original values is still there", c.column)
	}
	for _, f := range m.field(12).fields() {
		if f.id != 3 {
			return v.bad("column %s: statistics of the original values are still there", c.column)
		}
	}
	var locations []thriftValue
	if at := cc.int(4); at > 0 {
		b, err := v.pread(at, cc.int(5), "an offset index")
		if err != nil {
			return err
		}
		index, n, err := readThrift(b)
		if err != nil || n != len(b) {
			return v.bad("column %s: its offset index is damaged", c.column)
		}
		locations = index.items(1)
	}
	listed := map[format.Encoding]bool{}
	for _, e := range m.items(2) {
		listed[format.Encoding(e.num)] = true
	}
	unpacked, dataAt, dictAt, pages, begun, sum := int64(0), int64(0), int64(0), 0, int64(0), uint32(0)
	v.values.dict, v.values.dictAt = nil, nil
	err = v.pages(&c, func(p *rawPage) error {
		unpacked += int64(len(p.raw)) + p.head.int(2)
		sum = crc32.Update(crc32.Update(sum, castagnoli, p.raw), castagnoli, p.body)
		if crc := p.head.field(4); crc != nil && int64(int32(crc32.ChecksumIEEE(p.body))) != crc.num {
			return v.bad("column %s: a page has another checksum", c.column)
		}
		if p.kind == format.DictionaryPage {
			dictAt = p.at
			raw, spans, err := v.dictionaryValues(&c, p)
			if err != nil {
				return err
			}
			v.values.dict, v.values.dictAt = append([]byte(nil), raw...), spans
			return nil
		}
		if dataAt == 0 {
			dataAt = p.at
		}
		if cc.int(4) > 0 {
			if p.number >= len(locations) || locations[p.number].int(1) != p.at || locations[p.number].int(2) != int64(len(p.raw)+len(p.body)) {
				return v.bad("column %s: its offset index has another place for a page", c.column)
			}
		}
		if !listed[p.encoding()] {
			return v.bad("column %s: the encoding %v of a page is not listed", c.column, p.encoding())
		}
		pages++
		n, err := v.data(&c, p)
		begun += n
		return err
	})
	switch {
	case err != nil:
		return err
	case dictAt != m.int(11):
		return v.bad("column %s: its dictionary lies at %d, the footer says %d", c.column, dictAt, m.int(11))
	case pages > 0 && dataAt != m.int(9):
		return v.bad("column %s: its data lie at %d, the footer says %d", c.column, dataAt, m.int(9))
	case unpacked != m.int(6):
		return v.bad("column %s: %d bytes unpacked, the footer says %d", c.column, unpacked, m.int(6))
	case sum != want:
		return v.bad("column %s: it is not what was written", c.column)
	case begun != rows:
		return v.bad("column %s: %d rows in a row group of %d", c.column, begun, rows)
	case cc.int(4) > 0 && pages != len(locations):
		return v.bad("column %s: %d pages, its offset index has %d", c.column, pages, len(locations))
	}
	return nil
}

// data reads a page to its last value and returns the rows that begin in it.
func (v *verifier) data(c *columnChunk, p *rawPage) (rows int64, err error) {
	d, err := v.open(c, p)
	if err != nil {
		return 0, err
	}
	e := p.encoding()
	switch {
	case p.isIndexes():
		if err := checkIndexes(d.values, d.full, len(v.values.dictAt)/2); err != nil {
			return 0, v.bad("column %s: a page refers to what its dictionary does not hold", c.column)
		}
	case e == format.Plain:
		if err := v.values.begin(e, d.values, d.full); err != nil {
			return 0, v.bad("column %s: a page is damaged", c.column)
		}
		for v.values.left > 0 {
			if _, _, err := v.values.next(); err != nil {
				return 0, v.bad("column %s: a page is damaged", c.column)
			}
		}
		if v.values.at != len(d.values) {
			return 0, v.bad("column %s: a page goes on behind its values", c.column)
		}
	default:
		return 0, v.bad("column %s: a page in encoding %v, which is not written", c.column, e)
	}
	return d.rows, nil
}

// checkIndexes says whether each of the n indexes of a page is below most.
func checkIndexes(b []byte, n int64, most int) error {
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
		if err != nil || k == 0 && len(group) == 0 {
			return err
		}
		for _, i := range group {
			v = max(v, i)
		}
		if uint64(v) >= uint64(most) {
			return errThrift
		}
	}
}
