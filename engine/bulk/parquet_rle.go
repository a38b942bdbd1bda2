package bulk

import (
	"encoding/binary"
	"math/bits"
)

// rleDecoder decodes the RLE and bit-packing hybrid, a run at a time, from bytes
// that may say anything: what it cannot be is an error, and it holds no more than
// 256 values whatever a run's length.
//
// Source: apache/parquet-format, Encodings.md.
type rleDecoder struct {
	b     []byte
	width int
	left  int64 // values to come

	packed     []byte // of the bit-packed run under way
	packedLeft int64
	group      [256]uint32
}

// newRLE decodes n values of width bits from b.
func newRLE(b []byte, width int, n int64) (rleDecoder, error) {
	if width < 0 || width > 32 || n < 0 {
		return rleDecoder{}, errThrift
	}
	return rleDecoder{b: b, width: width, left: n}, nil
}

// next returns the next values: count times value, or the group, which is valid
// until the next call. Behind the last value both are empty.
func (d *rleDecoder) next() (value uint32, count int64, group []uint32, err error) {
	for d.packedLeft == 0 {
		if d.left == 0 {
			return 0, 0, nil, nil
		}
		head, k := binary.Uvarint(d.b)
		if k <= 0 {
			return 0, 0, nil, errThriftShort
		}
		d.b = d.b[k:]
		if head&1 == 0 {
			size := (d.width + 7) / 8
			if len(d.b) < size {
				return 0, 0, nil, errThriftShort
			}
			for i := range size {
				value |= uint32(d.b[i]) << (8 * i)
			}
			d.b = d.b[size:]
			count = int64(min(head>>1, uint64(d.left)))
			if count == 0 {
				value = 0
				continue // a run of nothing, as some writers make them
			}
			d.left -= count
			return value, count, nil, nil
		}
		if err := d.beginPacked(head >> 1); err != nil {
			return 0, 0, nil, err
		}
	}
	n := int(min(d.packedLeft, int64(len(d.group))))
	for i := 0; i < n; i += 8 {
		unpackEight((*[8]uint32)(d.group[i:]), d.packed, d.width)
		d.packed = d.packed[min(d.width, len(d.packed)):]
	}
	d.packedLeft -= int64(n)
	return 0, 0, d.group[:n], nil
}

// beginPacked begins a run of so many groups of eight. The last one may lack the
// bytes that no value needs.
func (d *rleDecoder) beginPacked(groups uint64) error {
	n := uint64(d.left)
	if groups < n/8+1 {
		n = min(n, groups*8)
	}
	// Values that all the bytes hold; one of no bits needs none.
	if d.width > 0 && n > uint64(len(d.b))*8/uint64(d.width) {
		return errThriftShort
	}
	size := uint64(len(d.b))
	if d.width == 0 {
		size = 0
	} else if groups <= size/uint64(d.width) {
		size = groups * uint64(d.width)
	}
	d.packed, d.b = d.b[:size], d.b[size:]
	d.packedLeft = int64(n)
	d.left -= int64(n)
	return nil
}

// unpackEight unpacks eight values of width bits from the start of b; bits behind its
// end are zeros.
func unpackEight(dst *[8]uint32, b []byte, width int) {
	if len(b) < width+8 {
		b = append(make([]byte, 0, 40), b...)[:40]
	}
	mask := uint64(1)<<width - 1
	if width <= 8 { // all of them in one word
		x := binary.LittleEndian.Uint64(b)
		for i := range dst {
			dst[i] = uint32(x & mask)
			x >>= uint(width) & 63
		}
		return
	}
	at := 0
	for i := range dst {
		dst[i] = uint32(binary.LittleEndian.Uint64(b[at>>3:]) >> (at & 7) & mask)
		at += width
	}
}

// countLevels counts, of n levels, those that equal most, those one below, and those
// that are 0. A level above most is an error.
func countLevels(b []byte, most int, n int64) (full, below, zero int64, err error) {
	d, err := newRLE(b, bits.Len(uint(most)), n)
	if err != nil {
		return 0, 0, 0, err
	}
	var one [1]uint32
	for {
		v, k, group, err := d.next()
		if err != nil {
			return 0, 0, 0, err
		}
		if k > 0 {
			one[0] = v
			group = one[:]
		} else if k = 1; len(group) == 0 {
			return full, below, zero, nil
		}
		for _, v := range group {
			switch {
			case v > uint32(most):
				return 0, 0, 0, errThrift
			case v == uint32(most):
				full += k
			case v == uint32(most)-1:
				below += k
			}
			if v == 0 {
				zero += k
			}
		}
	}
}

// levelCursor gives levels one by one, for a message.
type levelCursor struct {
	rle   rleDecoder
	value uint32
	run   int64
	group []uint32
}

func (c *levelCursor) next() (uint32, error) {
	if c.run == 0 && len(c.group) == 0 {
		var err error
		if c.value, c.run, c.group, err = c.rle.next(); err != nil {
			return 0, err
		}
	}
	switch {
	case c.run > 0:
		c.run--
		return c.value, nil
	case len(c.group) > 0:
		v := c.group[0]
		c.group = c.group[1:]
		return v, nil
	}
	return 0, errThriftShort
}

// deltaDecoder decodes DELTA_BINARY_PACKED 32-bit integers, one by one.
//
// Source: apache/parquet-format, Encodings.md.
type deltaDecoder struct {
	b       []byte // behind the miniblock under way
	perMini int64
	minis   int
	left    int64
	last    int32

	least  int32  // of the block: what is added to every difference
	widths []byte // of the block's miniblocks to come
	packed []byte // of the miniblock
	inMini int64  // values of it to come
	at     int    // bit in packed
	width  int
	first  bool
}

// newDelta decodes the n values that begin b. It returns what stands behind them.
func newDelta(b []byte, n int64) (d deltaDecoder, rest []byte, err error) {
	var head [4]uint64
	for i := range head {
		v, k := binary.Uvarint(b)
		if k <= 0 {
			return d, nil, errThriftShort
		}
		head[i], b = v, b[k:]
	}
	block, minis, total := head[0], head[1], head[2]
	if block == 0 || block > 1<<24 || minis == 0 || block%minis != 0 || block/minis%8 != 0 || n < 0 || total != uint64(n) {
		return d, nil, errThrift
	}
	d = deltaDecoder{b: b, perMini: int64(block / minis), minis: int(minis), left: n, last: int32(unzigzag(head[3])), first: true}
	walk := d
	for values := n - 1; values > 0; values -= walk.perMini {
		if err := walk.miniblock(); err != nil {
			return d, nil, err
		}
	}
	return d, walk.b, nil
}

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// miniblock goes to the next miniblock, and into the next block where one ends.
func (d *deltaDecoder) miniblock() error {
	if len(d.widths) == 0 {
		u, k := binary.Uvarint(d.b)
		if k <= 0 || len(d.b)-k < d.minis {
			return errThriftShort
		}
		d.least = int32(unzigzag(u))
		d.b = d.b[k:]
		d.widths, d.b = d.b[:d.minis], d.b[d.minis:]
	}
	d.width, d.widths = int(d.widths[0]), d.widths[1:]
	size := d.perMini * int64(d.width) / 8
	if d.width > 32 {
		return errThrift
	}
	if size > int64(len(d.b)) {
		return errThriftShort
	}
	d.packed, d.b = d.b[:size], d.b[size:]
	d.inMini, d.at = d.perMini, 0
	return nil
}

// next returns the next value; there must be one.
func (d *deltaDecoder) next() (int32, error) {
	if d.left--; d.left < 0 {
		return 0, errThriftShort
	}
	if d.first {
		d.first = false
		return d.last, nil
	}
	if d.inMini == 0 {
		if err := d.miniblock(); err != nil {
			return 0, err
		}
	}
	d.inMini--
	var x uint64
	if p := d.packed[d.at>>3:]; len(p) >= 8 {
		x = binary.LittleEndian.Uint64(p)
	} else {
		for i, c := range p {
			x |= uint64(c) << (8 * i)
		}
	}
	x = x >> (d.at & 7) & (1<<d.width - 1)
	d.at += d.width
	d.last += d.least + int32(uint32(x))
	return d.last, nil
}
