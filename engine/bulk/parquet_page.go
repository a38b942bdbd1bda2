package bulk

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/parquet-go/parquet-go/format"
)

// plainDictionary is the name that old writers give to RLEDictionary in pages
// and to Plain in dictionaries.
const plainDictionary format.Encoding = 2

// dataPage is a data page, unpacked.
type dataPage struct {
	num, full int64 // values, nulls counted and not
	nulls     int64 // where a value could stand; not those of lists and groups that are not there
	rows      int64 // rows that begin in it
	lead      []byte
	rep, def  []byte // levels
	values    []byte
	isPacked  bool // V2: the values are packed
}

// open unpacks a data page and takes its levels apart. All of it is valid until
// the next page.
func (f *parquetFile) open(c *columnChunk, p *rawPage) (d dataPage, err error) {
	h := p.dataHead()
	d.num = h.int(1)
	if p.kind == format.DataPageV2 {
		err = f.openV2(c, p, h, &d)
	} else {
		err = f.openV1(c, p, h, &d)
	}
	if err != nil {
		return d, err
	}
	d.full, d.rows = d.num, d.num
	if most := c.leaf.maxDef; most > 0 {
		var below int64
		if d.full, below, _, err = countLevels(d.def, most, d.num); err != nil {
			return d, f.bad("column %s: the levels of a page are damaged", c.column)
		}
		if c.leaf.optional() {
			d.nulls = below
		}
	}
	if most := c.leaf.maxRep; most > 0 {
		if _, _, d.rows, err = countLevels(d.rep, most, d.num); err != nil {
			return d, f.bad("column %s: the levels of a page are damaged", c.column)
		}
	}
	return d, nil
}

func (f *parquetFile) openV1(c *columnChunk, p *rawPage, h *thriftValue, d *dataPage) error {
	raw, err := f.unpack(c, p.body, p.head.int(2))
	if err != nil {
		return err
	}
	rest := raw
	for _, level := range []struct {
		most     int
		encoding int16
		to       *[]byte
	}{{c.leaf.maxRep, 4, &d.rep}, {c.leaf.maxDef, 3, &d.def}} {
		if level.most == 0 {
			continue
		}
		if e := format.Encoding(h.int(level.encoding)); e != format.RLE {
			return f.bad("column %s: levels in encoding %v, which is not read here", c.column, e)
		}
		if len(rest) < 4 || uint64(binary.LittleEndian.Uint32(rest)) > uint64(len(rest)-4) {
			return f.bad("column %s: the levels of a page are damaged", c.column)
		}
		n := int(binary.LittleEndian.Uint32(rest))
		*level.to, rest = rest[4:4+n], rest[4+n:]
	}
	d.lead, d.values = raw[:len(raw)-len(rest)], rest
	return nil
}

func (f *parquetFile) openV2(c *columnChunk, p *rawPage, h *thriftValue, d *dataPage) (err error) {
	def, rep, unpacked := h.int(5), h.int(6), p.head.int(2)
	size := int64(len(p.body))
	if def < 0 || rep < 0 || def > size || rep > size-def || def+rep > unpacked {
		return f.bad("column %s: the levels of a page are damaged", c.column)
	}
	d.lead, d.rep, d.def, d.values = p.body[:rep+def], p.body[:rep], p.body[rep:rep+def], p.body[rep+def:]
	d.isPacked = true
	if b := h.field(7); b != nil && b.num == thriftFalse {
		d.isPacked = false
	}
	switch n := unpacked - def - rep; {
	case d.isPacked && (n > 0 || len(d.values) > 0):
		d.values, err = f.unpack(c, d.values, n)
	case int64(len(d.values)) != n:
		err = f.bad("column %s: a page of %d bytes states %d: it is damaged", c.column, len(d.values), n)
	}
	return err
}

// dictionaryValues finds the values of a dictionary page. They are valid until the
// next page.
func (f *parquetFile) dictionaryValues(c *columnChunk, p *rawPage) (raw []byte, spans []uint32, err error) {
	d := p.head.field(7)
	if e := format.Encoding(d.int(2)); e != format.Plain && e != plainDictionary {
		return nil, nil, f.bad("column %s: a dictionary in encoding %v, which is not read here", c.column, e)
	}
	if raw, err = f.unpack(c, p.body, p.head.int(2)); err != nil {
		return nil, nil, err
	}
	n := d.int(1)
	if n < 0 || n > int64(len(raw)/4) {
		return nil, nil, f.bad("column %s: a dictionary of %d values in %d bytes is damaged", c.column, n, len(raw))
	}
	if err := f.fits(int64(len(p.body))+2*int64(len(raw))+16*n, "column "+c.column+": a dictionary"); err != nil {
		return nil, nil, err
	}
	v := pageValues{encoding: format.Plain, b: raw, left: n}
	spans = make([]uint32, 0, 2*n)
	for v.left > 0 {
		_, some, err := v.next()
		if err != nil {
			return nil, nil, f.bad("column %s: a dictionary is damaged", c.column)
		}
		spans = append(spans, some...)
	}
	return raw, spans, nil
}

// pageValues gives the values of a page some at a time, so that what a page takes
// in memory does not grow with what a short run of it may stand for.
type pageValues struct {
	encoding format.Encoding
	b        []byte // PLAIN: the values; delta: their bytes to come
	at       int
	left     int64

	dict   []byte
	dictAt []uint32 // off, len of its values
	rle    rleDecoder
	run    int64 // of value in the run under way
	value  uint32
	group  []uint32

	lengths, prefixes deltaDecoder
	last              []byte
	decoded           int64

	arena []byte
	spans []uint32
}

// Values are transformed so many at a time, and so many bytes of those that must
// be put together first.
const (
	batchValues = 128 << 10
	batchBytes  = 8 << 20
)

// begin sets v to the values of a page.
func (v *pageValues) begin(e format.Encoding, b []byte, n int64) (err error) {
	*v = pageValues{encoding: e, b: b, left: n, dict: v.dict, dictAt: v.dictAt, arena: v.arena, spans: v.spans, last: v.last[:0]}
	if n == 0 {
		return nil // whatever stands there
	}
	switch e {
	case format.RLEDictionary, plainDictionary:
		if len(b) == 0 {
			return errThriftShort
		}
		v.rle, err = newRLE(b[1:], int(b[0]), n)
	case format.DeltaLengthByteArray:
		v.lengths, v.b, err = newDelta(b, n)
	case format.DeltaByteArray:
		if v.prefixes, v.b, err = newDelta(b, n); err == nil {
			v.lengths, v.b, err = newDelta(v.b, n)
		}
	}
	return err
}

// next returns the next values, valid until it is called again.
func (v *pageValues) next() (arena []byte, spans []uint32, err error) {
	if v.spans == nil {
		v.spans = make([]uint32, 0, 2*min(v.left, batchValues))
	}
	v.spans = v.spans[:0]
	n := min(v.left, batchValues)
	switch v.encoding {
	case format.Plain:
		arena, err = v.b, v.plain(n)
	case format.RLEDictionary, plainDictionary:
		arena, err = v.dict, v.indexed(n)
	case format.DeltaLengthByteArray:
		arena, err = v.b, v.lengthFirst(n)
	default:
		err = v.prefixed(n)
		arena = v.arena
	}
	v.left -= int64(len(v.spans) / 2)
	return arena, v.spans, err
}

func (v *pageValues) plain(n int64) error {
	b, at := v.b, v.at
	for range n {
		if len(b)-at < 4 {
			return errThriftShort
		}
		size := binary.LittleEndian.Uint32(b[at:])
		at += 4
		if uint64(size) > uint64(len(b)-at) {
			return errThriftShort
		}
		v.spans = append(v.spans, uint32(at), size)
		at += int(size)
	}
	v.at = at
	return nil
}

func (v *pageValues) indexed(n int64) error {
	entries := uint64(len(v.dictAt) / 2)
	for n > 0 {
		if v.run == 0 && len(v.group) == 0 {
			var err error
			if v.value, v.run, v.group, err = v.rle.next(); err != nil {
				return err
			}
			if v.run == 0 && len(v.group) == 0 {
				return errThriftShort
			}
		}
		if v.run > 0 {
			if uint64(v.value) >= entries {
				return errThrift
			}
			off, size := v.dictAt[2*v.value], v.dictAt[2*v.value+1]
			k := min(v.run, n)
			for range k {
				v.spans = append(v.spans, off, size)
			}
			v.run, n = v.run-k, n-k
			continue
		}
		k := min(int64(len(v.group)), n)
		for _, i := range v.group[:k] {
			if uint64(i) >= entries {
				return errThrift
			}
			v.spans = append(v.spans, v.dictAt[2*i], v.dictAt[2*i+1])
		}
		v.group, n = v.group[k:], n-k
	}
	return nil
}

func (v *pageValues) lengthFirst(n int64) error {
	for range n {
		size, err := v.lengths.next()
		if err != nil {
			return err
		}
		if size < 0 || int64(size) > int64(len(v.b)-v.at) {
			return errThrift
		}
		v.spans = append(v.spans, uint32(v.at), uint32(size))
		v.at += int(size)
	}
	return nil
}

func (v *pageValues) prefixed(n int64) error {
	v.arena = v.arena[:0]
	for range n {
		shared, err := v.prefixes.next()
		if err != nil {
			return err
		}
		size, err := v.lengths.next()
		if err != nil {
			return err
		}
		if shared < 0 || int(shared) > len(v.last) || size < 0 || int64(size) > int64(len(v.b)-v.at) {
			return errThrift
		}
		if v.decoded += int64(shared) + int64(size); v.decoded > maxPage {
			return errThrift
		}
		at := len(v.arena)
		v.arena = append(v.arena, v.last[:shared]...)
		v.arena = append(v.arena, v.b[v.at:v.at+int(size)]...)
		v.at += int(size)
		v.last = append(v.last[:0], v.arena[at:]...)
		v.spans = append(v.spans, uint32(at), uint32(len(v.arena)-at))
		if len(v.arena) >= batchBytes {
			break
		}
	}
	return nil
}

// rowsOf returns the rows, from 0 within the page, of values that are not null,
// given by their numbers, ascending.
func (d *dataPage) rowsOf(l *leaf, values []int64) ([]int64, error) {
	if l.maxDef == 0 && l.maxRep == 0 {
		return slices.Clone(values), nil
	}
	var rep, def levelCursor
	var err error
	if rep.rle, err = newRLE(d.rep, bits.Len(uint(l.maxRep)), d.num); err != nil {
		return nil, err
	}
	if def.rle, err = newRLE(d.def, bits.Len(uint(l.maxDef)), d.num); err != nil {
		return nil, err
	}
	rows := make([]int64, 0, len(values))
	row, value := int64(-1), int64(0)
	for i := int64(0); i < d.num && len(rows) < len(values); i++ {
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
