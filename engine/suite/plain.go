package suite

import (
	"encoding/binary"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/hctr2"
	"github.com/velonym/velonym/engine/kernel/textform"
)

// stagedPlain is staged for values that need no preparation. It goes ahead as if all
// were text of lengths that kernels take, and leaves the work to staged if not.
func (p *Plan) stagedPlain(b *Batch, w *textform.Writer, from, to int) {
	if !p.mixedRows(b, w, from, to) && !p.tryPlain(b, w, from, to) {
		b.work.paths.refused++
		p.staged(b, from, to)
	}
}

// mixedRows is tryPlain where one kernel call does all.
func (p *Plan) mixedRows(b *Batch, w *textform.Writer, from, to int) bool {
	if b.At != nil {
		return false
	}
	spans := b.Spans[2*from : 2*to]
	rows, other, ok := p.forward.cipher.SealMixedRows(w, b.Dst, b.Src, spans, b.Out[2*from:2*to])
	b.Dst = rows[:len(b.Dst)]
	if !ok {
		return false
	}
	if other != 0 {
		for i := 0; i < len(spans); i += 2 {
			if off, l := spans[i], spans[i+1]; other>>(l>>4+1)&1 != 0 && !textform.IsText(b.Src[off:][:l]) {
				return false
			}
		}
	}
	b.work.paths.mixed++
	b.Dst = rows
	return true
}

func (p *Plan) tryPlain(b *Batch, w *textform.Writer, from, to int) bool {
	f, s := &p.forward, &b.work.stage
	n := to - from
	if f.form == textform.UUID || len(b.Pre) > 4 || len(b.Post) > 4 {
		return false
	}
	spans, out := b.Spans[2*from:2*to], pairs(b.Out[2*from:2*to])
	s.at, s.m = sized(s.at, chunk), sized(s.m, chunk)
	at, blocks := s.at[:n], s.m[:n]
	size, differ, ok := measure(pairs(spans), blocks, &f.chars)
	if !ok {
		return false
	}
	start := len(b.Dst)
	if b.At != nil {
		copy(at, b.At[from:to])
		for i, m := range blocks {
			out[i] = [2]uint32{at[i], uint32(f.chars[m])}
		}
	} else {
		size += n * (len(b.Pre) + len(b.Post))
		b.Dst = grow(b.Dst, size+8)
		layRows(b.Dst[:start+size+8], start, out, at, blocks, &f.chars, word(b.Pre), word(b.Post), len(b.Pre), len(b.Post))
		b.Dst = b.Dst[:start+size]
	}
	if differ == 0 {
		b.work.paths.alike++
		ok = blocks[0] == 0 || p.sealAlike(b, w, int(blocks[0]), at, spans)
	} else {
		b.work.paths.sorted++
		ok = p.sealSorted(b, w, spans, at, blocks)
	}
	if !ok {
		b.Dst = b.Dst[:start]
	}
	return ok
}

// pairs is spans as off, len pairs.
func pairs(spans []uint32) [][2]uint32 {
	return unsafe.Slice((*[2]uint32)(unsafe.Pointer(unsafe.SliceData(spans))), len(spans)/2)
}

// The loops below are functions of their own so that all of each fits in registers.

// measure writes how many blocks each value takes, 0 for an empty one, and returns the
// length of all results, other than 0 if the blocks differ, and false if a value takes
// more than kernels do.
//
//go:noinline
func measure(spans [][2]uint32, blocks []uint16, chars *[hctr2.MaxBlocks + 1]int) (size int, differ uint32, ok bool) {
	blocks = blocks[:len(spans)]
	first := spans[0][1]>>4 + (spans[0][1]|-spans[0][1])>>31
	for i, p := range spans {
		l := p[1]
		// ⌊l/16⌋ + 1, and 0 for 0.
		m := l>>4 + (l|-l)>>31
		if m > hctr2.MaxBlocks {
			return 0, 0, false
		}
		blocks[i] = uint16(m)
		differ |= m ^ first
		size += chars[m]
	}
	return size, differ, true
}

// layRows writes the framing of rows to dst from place on, and notes where the results
// go. It writes up to 4 bytes behind the last row.
//
//go:noinline
func layRows(dst []byte, place int, out [][2]uint32, at []uint32, blocks []uint16, chars *[hctr2.MaxBlocks + 1]int, pre, post uint32, preLen, postLen int) {
	out, at = out[:len(blocks)], at[:len(blocks)]
	for i, m := range blocks {
		binary.LittleEndian.PutUint32(dst[place:], pre)
		place += preLen
		c := chars[m]
		at[i] = uint32(place)
		out[i] = [2]uint32{uint32(place), uint32(c)}
		place += c
		binary.LittleEndian.PutUint32(dst[place:], post)
		place += postLen
	}
}

// sortBlocks copies spans and places in the order of blocks; next is where those of m
// blocks begin, and ends up where they end.
//
//go:noinline
func sortBlocks(toSpans [][2]uint32, toAt []uint32, spans [][2]uint32, at []uint32, blocks []uint16, next *[hctr2.MaxBlocks + 1]int32) {
	spans, at = spans[:len(blocks)], at[:len(blocks)]
	for i, m := range blocks {
		j := next[m]
		next[m] = j + 1
		toSpans[j], toAt[j] = spans[i], at[i]
	}
}

// word is up to 4 bytes as they stand in memory.
func word(s string) uint32 {
	var b [4]byte
	copy(b[:], s)
	return binary.LittleEndian.Uint32(b[:])
}

// sealSorted enciphers values to their places, and returns false if one is no text.
func (p *Plan) sealSorted(b *Batch, w *textform.Writer, spans, at []uint32, blocks []uint16) bool {
	s := &b.work.stage
	var next [hctr2.MaxBlocks + 1]int32
	for _, m := range blocks {
		next[m]++
	}
	sum := int32(0)
	for m, c := range next {
		next[m] = sum
		sum += c
	}
	begin := next[1]
	s.gspans, s.gat = sized(s.gspans, 2*chunk), sized(s.gat, chunk)
	sortBlocks(pairs(s.gspans), s.gat, pairs(spans), at, blocks, &next)
	for m := 1; m < len(next); m++ {
		end := next[m]
		if begin < end && !p.sealAlike(b, w, m, s.gat[begin:end], s.gspans[2*begin:2*end]) {
			return false
		}
		begin = end
	}
	return true
}

// sealAlike enciphers values of m blocks to their places, and returns false if one is
// no text.
func (p *Plan) sealAlike(b *Batch, w *textform.Writer, m int, at, spans []uint32) bool {
	f := &p.forward
	if m == 1 {
		return f.cipher.SealAt(w, b.Dst, at, b.Src, spans) == len(at)
	}
	if f.cipher.SealBlocksAt(w, m, b.Dst, at, b.Src, spans) {
		return true
	}
	for i := range at {
		if !textform.IsText(b.Src[spans[2*i]:][:spans[2*i+1]]) {
			return false
		}
	}
	return true
}
