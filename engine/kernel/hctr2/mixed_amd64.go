//go:build !purego

package hctr2

import (
	"encoding/binary"
	"sync"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/internal/simd"
)

// mixedArgs are the arguments of layMixedRowsAVX512. Generators read the offsets of its fields from
// this declaration.
type mixedArgs struct {
	even, odd, low, high [16]uint32 // as in rowsArgs
	one, most, last      [16]uint32 // 1, greatest number of blocks, 15
	limit, gapLen        [16]uint32 // greatest end of a value, bytes between texts
	place                [16]uint32 // offset in dst of the next text; advanced
	//lint:ignore U1000 only the assembly uses it
	ends    [16]uint32 // the kernel's own
	spans   *uint32
	n       int // values, a multiple of 16, at least 16
	at, out *uint32
	blocks  *byte // of each value
	dst     *byte
	gap     uint64 // the text between two texts, up to 8 bytes
}

// mixedKernel is memory for the kernels of mixed values.
type mixedKernel struct {
	args mixedArgs
	mixed
}

var mixedKernels = sync.Pool{New: func() any {
	s := new(mixedKernel)
	a := &s.args
	for i := range uint32(16) {
		a.even[i], a.odd[i] = rowsTable.even[i], rowsTable.odd[i]
		a.low[i], a.high[i] = rowsTable.low[i], rowsTable.high[i]
		a.one[i], a.most[i], a.last[i] = 1, maxBlocks, 15
	}
	return s
}}

// sealMixedRows is SealMixedRows with the layout by a kernel. It requires at least 16 values, a form
// of pairs, and 16 readable bytes after each value.
func (c *Cipher) sealMixedRows(w *textform.Writer, dst, arena []byte, spans, out []uint32) (rows []byte, ok bool) {
	n := len(spans) / 2
	if simd.Active() != simd.AVX512 || n < 16 || !w.Form().Pairs() || cap(arena) < 16 {
		return dst, false
	}
	s := mixedKernels.Get().(*mixedKernel)
	defer mixedKernels.Put(s)
	rows, ok = s.lay(w, dst, arena, spans, out)
	if !ok {
		return rows, false
	}
	next, ends := s.starts(n)
	begins := next
	s.sortBlocks(pairsOf(spans), s.at[:n], s.blocks[:n], &next)
	g, tab := multiBlockGroups.Get().(*multiBlockGroup), textTablesOf(w.Form(), w.Gen())
	most := 2
	for m := 1; m <= maxBlocks && ok; m++ {
		lo, hi := begins[m], next[m]
		if lo == hi {
			continue
		}
		same := unsafe.Slice(&s.sorted[lo][0], 2*(hi-lo))
		if m == 1 {
			ok = c.SealAt(w, rows, s.places[lo:hi], arena, same) == int(hi-lo)
			continue
		}
		for i := hi; i < ends[m]; i++ {
			s.sorted[i], s.places[i] = s.sorted[hi-1], s.places[hi-1]
		}
		a := g.args(c, tab, m, int(ends[m]-lo))
		a.base, a.dst = unsafe.SliceData(arena), unsafe.SliceData(rows)
		a.spans, a.at = &s.sorted[lo][0], &s.places[lo]
		multiBlockTextAVX512(&a)
		ok = a.other == 0 || allText(arena, same)
		most = m
	}
	g.put(most)
	paths.mixed.Take()
	return rows, ok
}

// lay computes the numbers of blocks and the offsets, and writes the text between the texts. ok is
// false if a value has too many blocks.
func (s *mixedKernel) lay(w *textform.Writer, dst, arena []byte, spans, out []uint32) (rows []byte, ok bool) {
	n := len(spans) / 2
	a := &s.args
	// dst gets memory for the longest possible rows, so that their sum need not be computed first.
	gap := len(w.Pre()) + len(w.Post())
	size := 0
	for _, p := range pairsOf(spans) {
		size += int(min(p[1], 16*maxBlocks))
	}
	size = 2*size + n*(32+gap)
	dst = room(dst, size+8)
	limit := uint32(min(uint64(len(arena)), uint64(cap(arena)-16), 1<<32-1))
	for i := range 16 {
		a.limit[i], a.gapLen[i], a.place[i] = limit, uint32(gap), uint32(len(dst)+len(w.Pre()))
	}
	a.gap = uint64(word(w.Post())) | uint64(word(w.Pre()))<<(8*len(w.Post()))
	a.n = n &^ 15
	a.spans, a.out = &spans[0], &out[0]
	a.at, a.blocks, a.dst = &s.at[0], &s.blocks[0], unsafe.SliceData(dst)
	copy(dst[len(dst):cap(dst)], w.Pre())
	done := layMixedRowsAVX512(a)
	a.spans, a.out, a.dst = nil, nil, nil
	if done < a.n {
		return dst, false
	}
	place := a.place[0]
	full := dst[:cap(dst)]
	for i := done; i < n; i++ {
		off, l := spans[2*i], spans[2*i+1]
		m := l/16 + 1
		if l == 0 {
			m = 0
		}
		if m > maxBlocks || uint64(off)+uint64(l) > uint64(limit) {
			return dst, false
		}
		s.blocks[i], s.at[i] = byte(m), place
		out[2*i], out[2*i+1] = place, 32*m
		place += 32 * m
		binary.LittleEndian.PutUint64(full[place:], a.gap)
		place += uint32(gap)
	}
	return dst[:int(place)-len(w.Pre())], true
}

// starts returns where the values of each number of blocks start in the sorted arrays, and where
// their memory ends.
func (s *mixedKernel) starts(n int) (next, ends [maxBlocks + 1]uint32) {
	for _, m := range s.blocks[:n] {
		next[m]++
	}
	at := uint32(0)
	for m, k := range next {
		next[m] = at
		at += (k + 15) &^ 15
		ends[m] = at
	}
	return next, ends
}

// layMixedRowsAVX512 writes the numbers of blocks of values to blocks, the offsets of their rows,
// whose texts have 32 characters for a block, to at and out, and the text between the texts, 16
// at a time. It stops before 16 of which a value has more than the most blocks or ends after
// the limit, and returns the number of values processed. It reads n spans, and writes 8 bytes
// after each text. Branches depend only on spans. It needs AVX-512 F and clobbers ZMM and mask
// registers; the upper halves are zero at the end.
//
//go:noescape
func layMixedRowsAVX512(a *mixedArgs) int
