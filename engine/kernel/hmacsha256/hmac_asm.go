//go:build !purego && (amd64 || arm64)

package hmacsha256

import (
	"encoding/binary"
	"math"
	"sync"
)

// What the kernels share: values are sorted by the number of blocks that their
// messages have, which their lengths tell, and go through a kernel in groups of
// one number. Values of more blocks than maxBlocks go through the twin, whose
// hash fills the CPU alone.
const (
	chunk     = 512 // values sorted at a time
	maxBlocks = 8   // blocks
)

// scratch is the working memory of a call.
type scratch struct {
	order    [chunk]uint16 // places of values in the chunk, by number of blocks
	starts   [maxBlocks + 2]int
	spans    [2 * chunk]uint32
	counters [chunk]uint64
	msgs     [16 * 64 * maxBlocks]byte // padded messages
	out      [16 * chunk]byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// blocksOf returns the blocks that the inner hash has behind its midstate for
// n bytes: nine more than those are the least padding.
func blocksOf(n int) int { return (n + 9 + 63) / 64 }

// sort fills order and starts for the values in spans: those of b blocks are
// order[starts[b]:starts[b+1]], and the long ones come last.
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

// long hands the values of more than maxBlocks blocks to the twin.
func (s *scratch) long(k *midstates, dst, base []byte, spans []uint32, counters []uint64) {
	for _, i := range s.order[s.starts[maxBlocks+1] : len(spans)/2] {
		paths.long.Take()
		var c []uint64
		if counters != nil {
			c = counters[i : i+1]
		}
		sumGeneric(k, dst[16*int(i):], base, spans[2*int(i):2*int(i)+2], c)
	}
}

// streams sends values, places in the chunk that all have the given number of
// blocks, through the kernel that takes padded messages in pairs.
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
		// An odd one out is paired with whatever the last place holds.
		pairs(k, &s.msgs[0], (n+1)/2, blocks, &s.out[0])
		for j, i := range values[:n] {
			copy(dst[16*int(i):16*int(i)+16], s.out[16*j:])
		}
		values = values[n:]
	}
}

// sumStreams is Sum by the kernel that takes messages in pairs.
func sumStreams(k *midstates, dst, base []byte, spans []uint32, counters []uint64) {
	s := scratches.Get().(*scratch)
	for len(spans) > 0 {
		n := min(len(spans)/2, chunk)
		s.sort(spans[:2*n], counterLen(counters))
		for b := 1; b <= maxBlocks; b++ {
			s.streams(k, dst, base, spans, counters, s.order[s.starts[b]:s.starts[b+1]], b)
		}
		s.long(k, dst, base, spans[:2*n], counters)
		spans, dst = spans[2*n:], dst[16*n:]
		if counters != nil {
			counters = counters[n:]
		}
	}
	clear(s.msgs[:])
	scratches.Put(s)
}

// counterLen returns the bytes that go before every value.
func counterLen(counters []uint64) int {
	if counters == nil {
		return 0
	}
	return 8
}

// fits32 says whether the length of a value fits the 32 bits that the wide
// kernel has for it.
func fits32(n uint32) bool { return uint64(n)+64+8 <= math.MaxUint32/8 }
