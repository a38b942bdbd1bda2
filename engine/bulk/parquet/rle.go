package parquet

import (
	"encoding/binary"
	"math/bits"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
)

// rleDecoder decodes the hybrid of run-length encoding and bit-packing, a run at a time.
// Invalid bytes are an error. It holds at most 256 values, however long a run is.
//
// Source: apache/parquet-format, Encodings.md.
type rleDecoder struct {
	b     []byte
	width int
	left  int64 // values that remain

	packed     []byte // of the current bit-packed run
	packedLeft int64
	group      [256]uint32
}

// newRLE returns a decoder of n values of width bits.
func newRLE(b []byte, width int, n int64) (rleDecoder, error) {
	if width < 0 || width > 32 || n < 0 {
		return rleDecoder{}, thrift.ErrDamaged
	}
	return rleDecoder{b: b, width: width, left: n}, nil
}

// next returns the next values: count times value, or the group, which is valid until the
// next call. After the last value both are empty.
func (d *rleDecoder) next() (value uint32, count int64, group []uint32, err error) {
	if d.packedLeft == 0 {
		if value, count, err = d.begin(); err != nil || count > 0 || d.packedLeft == 0 {
			return value, count, nil, err
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

// begin begins the next run: it returns count times value, or sets packed and packedLeft.
// After the last value it does neither.
func (d *rleDecoder) begin() (value uint32, count int64, err error) {
	for d.packedLeft == 0 && d.left > 0 {
		head, k := binary.Uvarint(d.b)
		if k <= 0 {
			return 0, 0, thrift.ErrShort
		}
		d.b = d.b[k:]
		if head&1 == 1 {
			if err := d.beginPacked(head >> 1); err != nil {
				return 0, 0, err
			}
			continue
		}
		size := (d.width + 7) / 8
		if len(d.b) < size {
			return 0, 0, thrift.ErrShort
		}
		value = 0
		for i := range size {
			value |= uint32(d.b[i]) << (8 * i)
		}
		d.b = d.b[size:]
		// Some writers make runs of nothing.
		if count = int64(min(head>>1, uint64(d.left))); count > 0 {
			d.left -= count
			return value, count, nil
		}
	}
	return 0, 0, nil
}

// beginPacked begins a run of the given number of groups of eight. The last group may lack
// bytes that no value needs.
func (d *rleDecoder) beginPacked(groups uint64) error {
	n := uint64(d.left)
	if groups < n/8+1 {
		n = min(n, groups*8)
	}
	// The bytes may hold fewer values than the groups; values of width 0 need no bytes.
	if d.width > 0 && n > uint64(len(d.b))*8/uint64(d.width) {
		return thrift.ErrShort
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

// unpackEight decodes eight values of width bits from the start of b. Bits past the end of
// b count as zeros.
func unpackEight(dst *[8]uint32, b []byte, width int) {
	if len(b) < width+8 {
		b = append(make([]byte, 0, 40), b...)[:40]
	}
	mask := uint64(1)<<width - 1
	if width <= 8 { // all eight fit in one word
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

// countLevels counts, of n levels, those that equal maxLevel, those one below, and those
// that are 0. A level above maxLevel is an error.
func countLevels(b []byte, maxLevel int, n int64) (full, below, zero int64, err error) {
	d, err := newRLE(b, bits.Len(uint(maxLevel)), n)
	if err != nil {
		return 0, 0, 0, err
	}
	if maxLevel == 1 {
		full, err = d.countOnes()
		return full, n - full, n - full, err
	}
	var run [1]uint32
	for {
		v, k, group, err := d.next()
		if err != nil {
			return 0, 0, 0, err
		}
		if k > 0 {
			run[0] = v
			group = run[:]
		} else if k = 1; len(group) == 0 {
			return full, below, zero, nil
		}
		for _, v := range group {
			switch {
			case v > uint32(maxLevel):
				return 0, 0, 0, thrift.ErrDamaged
			case v == uint32(maxLevel):
				full += k
			case v == uint32(maxLevel)-1:
				below += k
			}
			if v == 0 {
				zero += k
			}
		}
	}
}

// countOnes counts the ones among all values of a decoder of width 1. No other method may be
// called before. A run of a value above 1 is an error.
func (d *rleDecoder) countOnes() (ones int64, err error) {
	for {
		value, count, err := d.begin()
		switch {
		case err != nil:
			return 0, err
		case value > 1:
			return 0, thrift.ErrDamaged
		case count > 0:
			ones += int64(value) * count
			continue
		case d.packedLeft == 0:
			return ones, nil
		}
		p, n := d.packed, d.packedLeft
		for ; n >= 64 && len(p) >= 8; p, n = p[8:], n-64 {
			ones += int64(bits.OnesCount64(binary.LittleEndian.Uint64(p)))
		}
		for ; n > 0; p, n = p[1:], n-8 {
			ones += int64(bits.OnesCount8(p[0] & (1<<min(n, 8) - 1)))
		}
		d.packedLeft = 0
	}
}

// levelCursor returns levels one by one. It is slow and serves to locate rows for errors.
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
	return 0, thrift.ErrShort
}

// countIndexes adds to uses how often each index occurs among the n of a page.
func countIndexes(uses []int64, b []byte, n int64) error {
	if n == 0 {
		return nil
	}
	if len(b) == 0 {
		return thrift.ErrShort
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
				return thrift.ErrDamaged
			}
			uses[v] += k
		case len(group) == 0:
			return nil
		}
		for _, v := range group {
			if uint64(v) >= uint64(len(uses)) {
				return thrift.ErrDamaged
			}
			uses[v]++
		}
	}
}

// checkIndexes returns an error unless each of the n indexes of a page is below entries.
func checkIndexes(b []byte, n int64, entries int) error {
	if n == 0 {
		return nil
	}
	if len(b) == 0 {
		return thrift.ErrShort
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
		if uint64(v) >= uint64(entries) {
			return thrift.ErrDamaged
		}
	}
}
