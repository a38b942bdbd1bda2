package parquet

import (
	"encoding/binary"

	"github.com/velonym/velonym/engine/bulk/internal/thrift"
)

// deltaDecoder decodes DELTA_BINARY_PACKED integers, one by one. Sums wrap around at 64
// bits; a 32-bit integer is the lower half of its sum.
//
// Source: apache/parquet-format, Encodings.md.
type deltaDecoder struct {
	b        []byte // behind the current miniblock
	perMini  int64
	minis    int
	left     int64
	last     int64
	maxWidth int // bits of a difference

	minDelta int64  // of the block; added to every difference
	widths   []byte // of the block's remaining miniblocks
	packed   []byte // of the miniblock
	inMini   int64  // values that remain in it
	at       int    // bit offset in packed
	width    int
	first    bool
}

// newDelta returns a decoder of the n integers of so many bits at the start of b, and the
// bytes after them.
func newDelta(b []byte, n int64, bits int) (d deltaDecoder, rest []byte, err error) {
	var head [4]uint64
	for i := range head {
		v, k := binary.Uvarint(b)
		if k <= 0 {
			return d, nil, thrift.ErrShort
		}
		head[i], b = v, b[k:]
	}
	block, minis, total := head[0], head[1], head[2]
	if block == 0 || block > 1<<24 || minis == 0 || block%minis != 0 || block/minis%8 != 0 || n < 0 || total != uint64(n) {
		return d, nil, thrift.ErrDamaged
	}
	d = deltaDecoder{b: b, perMini: int64(block / minis), minis: int(minis), left: n, last: unzigzag(head[3]), maxWidth: bits, first: true}
	ahead := d
	for values := n - 1; values > 0; values -= ahead.perMini {
		if err := ahead.miniblock(); err != nil {
			return d, nil, err
		}
	}
	return d, ahead.b, nil
}

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// miniblock moves to the next miniblock, if need be of the next block.
func (d *deltaDecoder) miniblock() error {
	if len(d.widths) == 0 {
		u, k := binary.Uvarint(d.b)
		if k <= 0 || len(d.b)-k < d.minis {
			return thrift.ErrShort
		}
		d.minDelta = unzigzag(u)
		d.b = d.b[k:]
		d.widths, d.b = d.b[:d.minis], d.b[d.minis:]
	}
	d.width, d.widths = int(d.widths[0]), d.widths[1:]
	size := d.perMini * int64(d.width) / 8
	if d.width > d.maxWidth {
		return thrift.ErrDamaged
	}
	if size > int64(len(d.b)) {
		return thrift.ErrShort
	}
	d.packed, d.b = d.b[:size], d.b[size:]
	d.inMini, d.at = d.perMini, 0
	return nil
}

// next returns the next value; there must be one.
func (d *deltaDecoder) next() (int64, error) {
	if d.left--; d.left < 0 {
		return 0, thrift.ErrShort
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
	x >>= d.at & 7
	if d.at&7+d.width > 64 { // the ninth byte
		x |= uint64(d.packed[d.at>>3+8]) << (64 - d.at&7)
	}
	x &= 1<<d.width - 1
	d.at += d.width
	d.last += d.minDelta + int64(x)
	return d.last, nil
}
