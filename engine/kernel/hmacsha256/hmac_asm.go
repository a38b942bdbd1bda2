//go:build !purego && (amd64 || arm64)

package hmacsha256

import (
	"encoding/binary"
	"math"
	"sync"
)

// Values are sorted by the number of blocks of their messages, and a kernel hashes those of one
// number together. The twin hashes values of more than maxBlocks, for which parallel hashing gains
// nothing.
const (
	chunk     = 512 // values sorted at a time
	maxBlocks = 8   // blocks
)

// scratch is the working memory of a call.
type scratch struct {
	order    [chunk]uint16 // indexes of values in the chunk, by number of blocks
	starts   [maxBlocks + 2]int
	spans    [2 * chunk]uint32
	counters [chunk]uint64
	msgs     [16 * 64 * maxBlocks]byte // padded messages
	out      [16 * chunk]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// blocksOf returns the number of blocks that the inner hash of n bytes has after its midstate. The
// padding has at least nine bytes.
func blocksOf(n int) int { return (n + 9 + 63) / 64 }

// sort sets order and starts for the values in spans: those of b blocks are
// order[starts[b]:starts[b+1]], and those of more than maxBlocks come last.
func (s *scratch) sort(spans []uint32, before int) {
	n := len(spans) / 2
	var count [maxBlocks + 2]int
	for i := range n {
		count[min(blocksOf(before+int(spans[2*i+1])), maxBlocks+1)]++
	}
	at := 0
	for b := range count {
		s.starts[b] = at
		at += count[b]
	}
	next := s.starts
	for i := range n {
		b := min(blocksOf(before+int(spans[2*i+1])), maxBlocks+1)
		s.order[next[b]] = uint16(i)
		next[b]++
	}
}

// sumLong hashes the values of more than maxBlocks blocks by the twin.
func (s *scratch) sumLong(k *midstates, dst, base []byte, spans []uint32, counters []uint64) {
	for _, i := range s.order[s.starts[maxBlocks+1] : len(spans)/2] {
		paths.long.Take()
		var c []uint64
		if counters != nil {
			c = counters[i : i+1]
		}
		sumGeneric(k, dst[16*int(i):], base, spans[2*int(i):2*int(i)+2], c)
	}
}

// streams hashes values, given by their indexes in the chunk and all of the given number of blocks,
// by the kernel for pairs of padded messages.
func (s *scratch) streams(k *midstates, dst, base []byte, spans []uint32, counters []uint64, values []uint16, blocks int) {
	size := 64 * blocks
	most := len(s.msgs) / size &^ 1
	for len(values) > 0 {
		paths.streams.Take()
		n := min(len(values), most)
		for j, i := range values[:n] {
			m := s.msgs[j*size : (j+1)*size]
			at := 0
			if counters != nil {
				binary.BigEndian.PutUint64(m, counters[i])
				at = 8
			}
			off, l := spans[2*i], spans[2*i+1]
			at += copy(m[at:], base[off:off+l])
			clear(m[at:])
			m[at] = 0x80
			binary.BigEndian.PutUint32(m[size-4:], uint32(64+at)*8) // maxBlocks keeps it small
		}
		// The last one of an odd number is paired with old content of msgs, whose result is ignored.
		pairs(k, &s.msgs[0], (n+1)/2, blocks, &s.out[0])
		for j, i := range values[:n] {
			copy(dst[16*int(i):16*int(i)+16], s.out[16*j:])
		}
		values = values[n:]
	}
}

// sumStreams is Sum by the kernel for pairs of messages.
func sumStreams(k *midstates, dst, base []byte, spans []uint32, counters []uint64) {
	s := scratches.Get().(*scratch)
	for len(spans) > 0 {
		n := min(len(spans)/2, chunk)
		s.sort(spans[:2*n], counterLen(counters))
		for b := 1; b <= maxBlocks; b++ {
			s.streams(k, dst, base, spans, counters, s.order[s.starts[b]:s.starts[b+1]], b)
		}
		s.sumLong(k, dst, base, spans[:2*n], counters)
		spans, dst = spans[2*n:], dst[16*n:]
		if counters != nil {
			counters = counters[n:]
		}
	}
	clear(s.msgs[:])
	scratches.Put(s)
}

// counterLen returns the number of bytes that precede every value.
func counterLen(counters []uint64) int {
	if counters == nil {
		return 0
	}
	return 8
}

// fits32 reports whether the length of a value's message in bits fits the 32 bits that hmacAVX512
// has for it.
func fits32(n uint32) bool { return uint64(n)+64+8 <= math.MaxUint32/8 }
