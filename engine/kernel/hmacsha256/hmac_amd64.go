//go:build !purego

package hmacsha256

import "github.com/velonym/velonym/internal/simd"

// lanes is the number of values that hmacAVX512 hashes in parallel. A group of fewer than few is
// left to narrower kernels, since hmacAVX512 needs as long for one value as for sixteen.
const (
	lanes = 16
	few   = 6
)

func (h *HMAC) sum(dst, base []byte, spans []uint32, counters []uint64) {
	switch {
	case simd.Active() == simd.AVX512:
		sumAVX512(h.k, dst, base, spans, counters)
	case simd.Active() == simd.AVX2 && simd.SHA():
		sumStreams(h.k, dst, base, spans, counters)
	default: // crypto/sha256 has an AVX2 kernel of its own
		sumGeneric(h.k, dst, base, spans, counters)
	}
}

// sumAVX512 is Sum by the kernel of sixteen lanes.
func sumAVX512(k *midstates, dst, base []byte, spans []uint32, counters []uint64) {
	before := counterLen(counters)
	s := scratches.Get().(*scratch)
	for len(spans) > 0 {
		n := min(len(spans)/2, chunk)
		least, most := spans[1], spans[1]
		for i := 1; i < n; i++ {
			least, most = min(least, spans[2*i+1]), max(most, spans[2*i+1])
		}
		blocks := blocksOf(before + int(most))
		whole := 0
		if fits32(most) && blocks == blocksOf(before+int(least)) && n >= lanes {
			paths.alike.Take()
			// All have the same number of blocks, as identifiers usually do: no sorting is needed,
			// and the kernel writes the results to dst.
			whole = n / lanes * lanes
			groups(k, base, spans, counters, whole/lanes, blocks, before+int(most) <= 15, dst)
		}
		if whole < n {
			c := counters
			if c != nil {
				c = c[whole:]
			}
			sumSorted(s, k, dst[16*whole:], base, spans[2*whole:2*n], c)
		}
		spans, dst = spans[2*n:], dst[16*n:]
		if counters != nil {
			counters = counters[n:]
		}
	}
	clear(s.msgs[:])
	scratches.Put(s)
}

// sumSorted is Sum for a chunk of values of any lengths.
func sumSorted(s *scratch, k *midstates, dst, base []byte, spans []uint32, counters []uint64) {
	paths.sorted.Take()
	s.sort(spans, counterLen(counters))
	for b := 1; b <= maxBlocks; b++ {
		values := s.order[s.starts[b]:s.starts[b+1]]
		if len(values)%lanes < few && simd.SHA() || len(values) < 3 {
			few := values[len(values)/lanes*lanes:]
			values = values[:len(values)-len(few)]
			if simd.SHA() {
				s.streams(k, dst, base, spans, counters, few, b)
			} else {
				for _, i := range few {
					var c []uint64
					if counters != nil {
						c = counters[i : i+1]
					}
					sumGeneric(k, dst[16*int(i):], base, spans[2*int(i):2*int(i)+2], c)
				}
			}
		}
		if len(values) == 0 {
			continue
		}
		n := 0
		for _, i := range values {
			s.spans[2*n], s.spans[2*n+1] = spans[2*i], spans[2*i+1]
			if counters != nil {
				s.counters[n] = counters[i]
			}
			n++
		}
		for ; n%lanes != 0; n++ { // lanes without a value repeat the last one
			s.spans[2*n], s.spans[2*n+1] = s.spans[2*n-2], s.spans[2*n-1]
			s.counters[n] = s.counters[n-1]
		}
		var c []uint64
		if counters != nil {
			c = s.counters[:]
		}
		groups(k, base, s.spans[:], c, n/lanes, b, false, s.out[:])
		for j, i := range values {
			copy(dst[16*int(i):16*int(i)+16], s.out[16*j:])
		}
	}
	s.sumLong(k, dst, base, spans, counters)
}

// groups calls the kernel for groups of sixteen values, at least one.
func groups(k *midstates, base []byte, spans []uint32, counters []uint64, groups, blocks int, short bool, dst []byte) {
	var p *byte // nothing is read of an empty arena
	if len(base) > 0 {
		p = &base[0]
	}
	var c *uint64
	if counters != nil {
		c = &counters[0]
	}
	fits := 0
	if short && counters == nil {
		fits = 1
	}
	hmacAVX512(&k.words, p, &spans[0], c, groups, blocks, fits, &dst[0])
}

// pairs calls hmacSHANI with the key's words in its order.
func pairs(k *midstates, msgs *byte, pairs, blocks int, dst *byte) {
	hmacSHANI(&k.fours, msgs, pairs, blocks, dst)
}

// hmacAVX512 writes the first 16 bytes of the HMACs of 16·groups values, one
// after the other, to dst. All have the given number of blocks after the
// midstate; short is 1 if blocks is 1, there are no counters, and all values
// have at most 15 bytes. mid is the inner midstate and then the outer one. It
// reads the values, spans and counters (nil: none) and nothing around them:
// loads are masked. Lengths decide loads and masks; keys, counters and the bytes
// of values are only in vector registers. dst must not overlap any of them.
// It needs AVX-512 F, BW, VL and BMI2, and groups ≥ 1, and clobbers ZMM and mask
// registers; the upper halves are zero at the end.
//
//go:noescape
func hmacAVX512(mid *[2][8]uint32, base *byte, spans *uint32, counters *uint64, groups, blocks, short int, dst *byte)

// hmacSHANI writes the first 16 bytes of the HMACs of 2·pairs messages of the
// given number of blocks of 64 bytes each, padded, one after the other, to dst.
// mid is the inner midstate and then the outer one, words in the order F E B A
// H G D C. No branch or address depends on keys or messages. It reads
// 128·blocks·pairs bytes at msgs and writes 32·pairs at dst. It needs SHA-NI, SSSE3
// and SSE4.1, and pairs ≥ 1, and clobbers XMM registers.
//
//go:noescape
func hmacSHANI(mid *[2][8]uint32, msgs *byte, pairs, blocks int, dst *byte)
