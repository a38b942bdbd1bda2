package parquet

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/parquet-go/parquet-go/format"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
)

// dataPage is a data page, unpacked.
type dataPage struct {
	levels   int64  // values, nulls included
	values   int64  // values that are not null
	nulls    int64  // nulls of the column itself, not of lists and groups around it
	rows     int64  // rows that begin in the page
	lead     []byte // the encoded levels, which precede the values
	rep, def []byte // repetition and definition levels
	data     []byte // the values
	isPacked bool   // V2: the values are compressed
}

// open decompresses a data page and counts its levels. The result is valid until the next
// page.
func (f *reader) open(c *columnChunk, p *rawPage) (d dataPage, err error) {
	h := p.dataHead()
	d.levels = h.Int(dataValues)
	if p.kind == format.DataPageV2 {
		err = f.openV2(c, p, h, &d)
	} else {
		err = f.openV1(c, p, h, &d)
	}
	if err != nil {
		return d, err
	}
	d.values, d.rows = d.levels, d.levels
	if maxLevel := c.leaf.maxDef; maxLevel > 0 {
		var below int64
		if d.values, below, _, err = countLevels(d.def, maxLevel, d.levels); err != nil {
			return d, c.bad("the levels of a page are damaged")
		}
		if c.leaf.optional() {
			d.nulls = below
		}
	}
	if maxLevel := c.leaf.maxRep; maxLevel > 0 {
		if _, _, d.rows, err = countLevels(d.rep, maxLevel, d.levels); err != nil {
			return d, c.bad("the levels of a page are damaged")
		}
	}
	return d, nil
}

func (f *reader) openV1(c *columnChunk, p *rawPage, h *thrift.Value, d *dataPage) error {
	raw, err := f.unpack(c, p.body, p.head.Int(dictEncoding))
	if err != nil {
		return err
	}
	rest := raw
	for _, level := range []struct {
		maxLevel int
		encoding int16
		to       *[]byte
	}{{c.leaf.maxRep, dataRepetitionEncoding, &d.rep}, {c.leaf.maxDef, dataDefinitionEncoding, &d.def}} {
		if level.maxLevel == 0 {
			continue
		}
		if e := format.Encoding(h.Int(level.encoding)); e != format.RLE {
			return c.bad("levels in encoding %v, which is not read here", e)
		}
		if len(rest) < 4 || uint64(binary.LittleEndian.Uint32(rest)) > uint64(len(rest)-4) {
			return c.bad("the levels of a page are damaged")
		}
		n := int(binary.LittleEndian.Uint32(rest))
		*level.to, rest = rest[4:4+n], rest[4+n:]
	}
	d.lead, d.data = raw[:len(raw)-len(rest)], rest
	return nil
}

func (f *reader) openV2(c *columnChunk, p *rawPage, h *thrift.Value, d *dataPage) (err error) {
	def, rep, unpacked := h.Int(dataV2DefinitionLength), h.Int(dataV2RepetitionLength), p.head.Int(pageUnpacked)
	size := int64(len(p.body))
	if def < 0 || rep < 0 || def > size || rep > size-def || def+rep > unpacked {
		return c.bad("the levels of a page are damaged")
	}
	d.lead, d.rep, d.def, d.data = p.body[:rep+def], p.body[:rep], p.body[rep:rep+def], p.body[rep+def:]
	d.isPacked = true
	if b := h.Field(dataV2Compressed); b != nil && b.Num == thrift.False {
		d.isPacked = false
	}
	switch n := unpacked - def - rep; {
	case d.isPacked && (n > 0 || len(d.data) > 0):
		d.data, err = f.unpack(c, d.data, n)
	case int64(len(d.data)) != n:
		err = c.bad("a page of %d bytes states %d: it is damaged", len(d.data), n)
	}
	return err
}

// dictionaryValues decompresses a dictionary page and finds its values. The result is valid
// until the next page.
func (f *reader) dictionaryValues(c *columnChunk, p *rawPage) (raw []byte, spans []uint32, err error) {
	d := p.head.Field(pageDict)
	if e := format.Encoding(d.Int(dictEncoding)); e != format.Plain && e != plainDictionary {
		return nil, nil, c.bad("a dictionary in encoding %v, which is not read here", e)
	}
	if raw, err = f.unpack(c, p.body, p.head.Int(dictEncoding)); err != nil {
		return nil, nil, err
	}
	n := d.Int(dictValues)
	if n >= 0 && c.leaf.layout != nil {
		return f.dictionaryTexts(c, raw, n)
	}
	if n < 0 || n > int64(len(raw)/4) {
		return nil, nil, c.bad("a dictionary of %d values in %d bytes is damaged", n, len(raw))
	}
	if err := f.fits(int64(len(p.body))+2*int64(len(raw))+16*n, c.leaf.name(), "a dictionary"); err != nil {
		return nil, nil, err
	}
	v := pageValues{encoding: format.Plain, b: raw, left: n}
	spans = make([]uint32, 0, 2*n)
	for v.left > 0 {
		_, some, err := v.next()
		if err != nil {
			return nil, nil, c.bad("a dictionary is damaged")
		}
		spans = append(spans, some...)
	}
	return raw, spans, nil
}

// rowsOf returns the rows, from 0 within the page, of values given by their ascending
// numbers, nulls not counted.
func (d *dataPage) rowsOf(l *leaf, values []int64) ([]int64, error) {
	if l.maxDef == 0 && l.maxRep == 0 {
		return slices.Clone(values), nil
	}
	var rep, def levelCursor
	var err error
	if rep.rle, err = newRLE(d.rep, bits.Len(uint(l.maxRep)), d.levels); err != nil {
		return nil, err
	}
	if def.rle, err = newRLE(d.def, bits.Len(uint(l.maxDef)), d.levels); err != nil {
		return nil, err
	}
	rows := make([]int64, 0, len(values))
	row, value := int64(-1), int64(0)
	for i := int64(0); i < d.levels && len(rows) < len(values); i++ {
		begins, present := uint32(0), uint32(l.maxDef)
		if l.maxRep > 0 {
			if begins, err = rep.next(); err != nil {
				return nil, err
			}
		}
		if l.maxDef > 0 {
			if present, err = def.next(); err != nil {
				return nil, err
			}
		}
		if begins == 0 {
			row++
		}
		if present != uint32(l.maxDef) {
			continue
		}
		if value == values[len(rows)] {
			rows = append(rows, row)
		}
		value++
	}
	return rows, nil
}
