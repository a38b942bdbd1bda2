//go:build !purego && (amd64 || arm64)

package kernel

import (
	"encoding/binary"
	"math"
	"sync"
)

// What the kernels share: values are sorted by the number of blocks that their
// messages have, which their lengths tell, and go through a kernel in groups of
// one number. Values of more blocks than hmacSorted go through the twin, whose
// hash fills the CPU alone.
const (
	hmacChunk  = 512 // values sorted at a time
	hmacSorted = 8   // blocks
)

// hmacScratch is the working memory of a call.
type hmacScratch struct {
	order    [hmacChunk]uint16 // places of values in the chunk, by number of blocks
	starts   [hmacSorted + 2]int
	spans    [2 * hmacChunk]uint32
	counters [hmacChunk]uint64
	msgs     [16 * 64 * hmacSorted]byte // padded messages
	out      [16 * hmacChunk]byte
}

var hmacScratches = sync.Pool{New: func() any { return new(hmacScratch) }}

// hmacBlocks returns the blocks that the inner hash has behind its midstate for
// n bytes: nine more than those are the least padding.
func hmacBlocks(n int) int { return (n + 9 + 63) / 64 }

// sort fills order and starts for the values in spans: those of b blocks are
// order[starts[b]:starts[b+1]], and the long ones come last.
func (s *hmacScratch) sort(spans []uint32, before int) {
	n := len(spans) / 2
	var count [hmacSorted + 2]int
	for i := range n {
		count[min(hmacBlocks(before+int(spans[2*i+1])), hmacSorted+1)]++
	}
	at := 0
	for b := range count {
		s.starts[b] = at
		at += count[b]
	}
	next := s.starts
	for i := range n {
		b := min(hmacBlocks(before+int(spans[2*i+1])), hmacSorted+1)
		s.order[next[b]] = uint16(i)
		next[b]++
	}
}

// long hands the values of more than hmacSorted blocks to the twin.
func (s *hmacScratch) long(k *hmacKey, dst, base []byte, spans []uint32, counters []uint64) {
	for _, i := range s.order[s.starts[hmacSorted+1] : len(spans)/2] {
		ran(pathHMACLong)
		var c []uint64
		if counters != nil {
			c = counters[i : i+1]
		}
		hmacGeneric(k, dst[16*int(i):], base, spans[2*int(i):2*int(i)+2], c)
	}
}

// streams sends values, places in the chunk that all have the given number of
// blocks, through the kernel that takes padded messages in pairs.
func (s *hmacScratch) streams(k *hmacKey, dst, base []byte, spans []uint32, counters []uint64, values []uint16, blocks int) {
	size := 64 * blocks
	most := len(s.msgs) / size &^ 1
	for len(values) > 0 {
		ran(pathHMACStreams)
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
			binary.BigEndian.PutUint32(m[size-4:], uint32(64+at)*8) // hmacSorted keeps it small
		}
		// An odd one out is paired with whatever the last place holds.
		hmacPairs(k, &s.msgs[0], (n+1)/2, blocks, &s.out[0])
		for j, i := range values[:n] {
			copy(dst[16*int(i):16*int(i)+16], s.out[16*j:])
		}
		values = values[n:]
	}
}

// hmacStreams is Sum by the kernel that takes messages in pairs.
func hmacStreams(k *hmacKey, dst, base []byte, spans []uint32, counters []uint64) {
	s := hmacScratches.Get().(*hmacScratch)
	for len(spans) > 0 {
		n := min(len(spans)/2, hmacChunk)
		s.sort(spans[:2*n], hmacBefore(counters))
		for b := 1; b <= hmacSorted; b++ {
			s.streams(k, dst, base, spans, counters, s.order[s.starts[b]:s.starts[b+1]], b)
		}
		s.long(k, dst, base, spans[:2*n], counters)
		spans, dst = spans[2*n:], dst[16*n:]
		if counters != nil {
			counters = counters[n:]
		}
	}
	clear(s.msgs[:])
	hmacScratches.Put(s)
}

// hmacBefore returns the bytes that go before every value.
func hmacBefore(counters []uint64) int {
	if counters == nil {
		return 0
	}
	return 8
}

// hmacFits says whether the length of a value fits the 32 bits that the wide
// kernel has for it.
func hmacFits(n uint32) bool { return uint64(n)+64+8 <= math.MaxUint32/8 }
