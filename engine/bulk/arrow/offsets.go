package arrow

import (
	"encoding/binary"
	"math"
	"runtime"
	"unsafe"
)

// The loops over offsets of 32 bits handle four per iteration: apart from the transform and
// the sockets, a call over HTTP spends most of its time here.

// wholeSpans means that an offset and a length can be stored at any address as one number of
// 64 bits.
const wholeSpans = runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"

// gatherNarrow sets the spans of values, relative to the first value, from their offsets, of
// which there is one more than values. ok is false unless the offsets ascend within size
// bytes.
func gatherNarrow(spans []uint32, offsets []byte, size uint64) (low, high uint64, ok bool) {
	base := binary.LittleEndian.Uint32(offsets)
	last, signs := base, base
	offsets = offsets[4 : 4+2*len(spans)]
	i := 0
	for ; wholeSpans && i+8 <= len(spans) && 2*i+16 <= len(offsets); i += 8 {
		o, to := (*[16]byte)(offsets[2*i:]), (*[4]uint64)(unsafe.Pointer((*[8]uint32)(spans[i:])))
		a, b := binary.LittleEndian.Uint32(o[:]), binary.LittleEndian.Uint32(o[4:])
		c, d := binary.LittleEndian.Uint32(o[8:]), binary.LittleEndian.Uint32(o[12:])
		signs |= a | b | c | d | (a - last) | (b - a) | (c - b) | (d - c)
		to[0] = uint64(last-base) | uint64(a-last)<<32
		to[1] = uint64(a-base) | uint64(b-a)<<32
		to[2] = uint64(b-base) | uint64(c-b)<<32
		to[3] = uint64(c-base) | uint64(d-c)<<32
		last = d
	}
	for ; i < len(spans); i += 2 {
		next := binary.LittleEndian.Uint32(offsets[2*i:])
		spans[i], spans[i+1] = last-base, next-last
		signs |= next | (next - last)
		last = next
	}
	return uint64(base), uint64(last), int32(signs) >= 0 && uint64(last) <= size
}

// gatherWide is gatherNarrow for offsets of 64 bits.
func gatherWide(spans []uint32, offsets []byte, size uint64) (low, high uint64, ok bool) {
	base := binary.LittleEndian.Uint64(offsets)
	last, ok := base, base <= size
	for i := 0; i < len(spans); i += 2 {
		next := binary.LittleEndian.Uint64(offsets[4*i+8:])
		ok = ok && next >= last && next <= size && next-base <= math.MaxUint32
		spans[i], spans[i+1] = uint32(last-base), uint32(next-last)
		last = next
	}
	return base, last, ok
}

// countNarrow returns the number of empty values between offsets and the bytes of all values.
// ok is as for gatherNarrow.
func countNarrow(offsets []byte, size uint64) (empty int, bytes int64, ok bool) {
	const ones, tops = 1<<32 | 1, 1<<63 | 1<<31
	base := binary.LittleEndian.Uint32(offsets)
	// Each number of 64 bits holds two differences of 32. One that is at least 0 borrows nothing
	// from the upper one; a negative one makes ok false.
	var signs, full uint64
	i := 0
	for ; i+20 <= len(offsets); i += 16 {
		o := (*[20]byte)(offsets[i:])
		a := binary.LittleEndian.Uint64(o[4:])
		b := binary.LittleEndian.Uint64(o[12:])
		u, v := a-binary.LittleEndian.Uint64(o[:]), b-binary.LittleEndian.Uint64(o[8:])
		signs |= a | b | u | v
		full += (u+(tops-ones))>>31&ones + (v+(tops-ones))>>31&ones
	}
	n := i / 4
	empty = n - int(uint32(full)) - int(full>>32)
	last := binary.LittleEndian.Uint32(offsets[i:])
	for i += 4; i+4 <= len(offsets); i += 4 {
		next := binary.LittleEndian.Uint32(offsets[i:])
		signs |= uint64(next | (next - last))
		if next == last {
			empty++
		}
		last = next
	}
	return empty, int64(last) - int64(base), signs&tops == 0 && int32(base) >= 0 && uint64(last) <= size
}

// countWide is countNarrow for offsets of 64 bits.
func countWide(offsets []byte, size uint64) (empty int, bytes int64, ok bool) {
	base := binary.LittleEndian.Uint64(offsets)
	last, ok := base, base <= size
	for i := 8; i+8 <= len(offsets); i += 8 {
		next := binary.LittleEndian.Uint64(offsets[i:])
		ok = ok && next >= last && next <= size
		if next == last {
			empty++
		}
		last = next
	}
	return empty, int64(last - base), ok
}

// setNarrow writes the end of each result, the first of which begins at end, and returns the
// end of the last. lengths holds two elements per result, of which the second is its length.
func setNarrow(to []byte, end uint32, lengths []uint32) uint64 {
	i := 0
	for ; i+16 <= len(to) && i/2+8 <= len(lengths); i += 16 {
		o, l := (*[16]byte)(to[i:]), (*[8]uint32)(lengths[i/2:])
		a := end + l[1]
		b := a + l[3]
		c := b + l[5]
		end = c + l[7]
		binary.LittleEndian.PutUint64(o[:], uint64(a)|uint64(b)<<32)
		binary.LittleEndian.PutUint64(o[8:], uint64(c)|uint64(end)<<32)
	}
	for ; i < len(to); i += 4 {
		end += lengths[i/2+1]
		binary.LittleEndian.PutUint32(to[i:], end)
	}
	return uint64(end)
}

// setWide is setNarrow for offsets of 64 bits. If lengths is nil, all results have the given
// length.
func setWide(to []byte, end uint64, lengths []uint32, length int) uint64 {
	for i := 0; i+8 <= len(to); i += 8 {
		if lengths != nil {
			length = int(lengths[i/4+1])
		}
		end += uint64(length)
		binary.LittleEndian.PutUint64(to[i:], end)
	}
	return end
}

// setEqual is setNarrow for results of one length.
func setEqual(to []byte, end, length uint32) uint64 {
	i := 0
	for ; i+16 <= len(to); i += 16 {
		o := (*[16]byte)(to[i:])
		a, b := end+length, end+2*length
		c := end + 3*length
		end += 4 * length
		binary.LittleEndian.PutUint64(o[:], uint64(a)|uint64(b)<<32)
		binary.LittleEndian.PutUint64(o[8:], uint64(c)|uint64(end)<<32)
	}
	for ; i < len(to); i += 4 {
		end += length
		binary.LittleEndian.PutUint32(to[i:], end)
	}
	return uint64(end)
}

// highest returns the highest of unsigned numbers of 1, 2, 4 or 8 bytes.
func highest(numbers []byte, width int) (most uint64) {
	switch width {
	case 1:
		for _, v := range numbers {
			most = max(most, uint64(v))
		}
	case 2:
		for i := 0; i+2 <= len(numbers); i += 2 {
			most = max(most, uint64(binary.LittleEndian.Uint16(numbers[i:])))
		}
	case 4:
		var a, b uint32
		i := 0
		for ; i+8 <= len(numbers); i += 8 {
			two := binary.LittleEndian.Uint64(numbers[i:])
			a, b = max(a, uint32(two)), max(b, uint32(two>>32))
		}
		for ; i+4 <= len(numbers); i += 4 {
			a = max(a, binary.LittleEndian.Uint32(numbers[i:]))
		}
		most = uint64(max(a, b))
	default:
		for i := 0; i+8 <= len(numbers); i += 8 {
			most = max(most, binary.LittleEndian.Uint64(numbers[i:]))
		}
	}
	return most
}
