//go:build !purego

package kernel

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/velonym/velonym/internal/simd"
)

// longArgs is what the kernels over many messages read; assembly knows the offsets.
type longArgs struct {
	sched   unsafe.Pointer // 0
	enc     unsafe.Pointer // 8
	base    unsafe.Pointer // 16
	spans   unsafe.Pointer // 24
	n       int            // 32: values, a multiple of 16; counted down
	dst     unsafe.Pointer // 40
	at      unsafe.Pointer // 48
	m       int            // 56: blocks of a message, at least 2
	scratch unsafe.Pointer // 64: longScratch for m blocks, aligned
	other   uint64         // 72: result: not 0 if a byte is no plain text
	last    int            // 80: 16 (m - 1)
	heads   uintptr        // 88: the kernel's own
	left    int            // 96: the kernel's own
}

// longScratch is what a kernel keeps of a round: S, UU and m blocks of 64 values.
func longScratch(m int) int { return (2 + m) * 16 * 64 }

// longGroup is memory for the kernels: their own, and a group of values to fill up.
type longGroup struct {
	blocks [(2+maxBlocks)*16*64 + 64]byte
	arena  [16 * 16 * maxBlocks]byte
	out    [16 * 16 * maxBlocks]byte
	spans  [32]uint32
	at     [16]uint32
	text   [16 * 32 * maxBlocks]byte
	staged bool // arena and out were used
}

var longGroups = sync.Pool{New: func() any { return new(longGroup) }}

// put gives g back without the blocks that values of m blocks left in it.
func (g *longGroup) put(m int) {
	clear(g.blocks[:longScratch(m)+64])
	if g.staged {
		clear(g.arena[:16*16*m])
		clear(g.out[:16*16*m])
		g.staged = false
	}
	longGroups.Put(g)
}

// textTables is what kernels that write pairs of characters read; assembly knows the
// offsets. Pair62 looks characters up by the quotient q = ⌊b/62⌋, as 62q, whose last
// six bits differ, and by b - 62q; Hex by the first half, and by the last six bits of b.
type textTables struct {
	quot   [128]byte // 0: by b / 2
	first  [64]byte  // 128
	second [64]byte  // 192
	mark   [64]byte  // 256
	pair   [128]byte // 320
	length [64]byte  // 448
	lane   [64]byte  // 512
	c16    [64]byte  // 576
	c20    [64]byte  // 640
	c5e    [64]byte  // 704
	one    [16]byte  // 768
	markK  uint64    // 784
	takeK  uint64    // 792
}

var textTabs [Hex + 1][maxGen]atomic.Pointer[textTables]

// textTablesOf remembers what newTextTables made.
func textTablesOf(f Form, gen int) *textTables {
	p := &textTabs[f][gen]
	t := p.Load()
	if t == nil {
		t = newTextTables(f, gen)
		p.Store(t)
	}
	return t
}

// newTextTables is for Pair62 or Hex.
func newTextTables(f Form, gen int) *textTables {
	t := &textTables{markK: 0x0001000100010001}
	t.one[0] = 1
	if f == Pair62 {
		t.takeK = ^uint64(0)
	}
	for b := range 256 {
		q, rest, mark := b/62*62, b%62, alphabet62[(5*gen+b/62)%62]
		pair := pairs62[b]
		if f == Hex {
			q, rest = b>>4, b
			pair = pairs16[b]
			mark = pair[0]
		}
		t.quot[b/2] = byte(q)
		t.first[q%64], t.second[rest%64], t.mark[q%64] = pair[0], pair[1], mark
	}
	for i := range 64 {
		t.length[i], t.lane[i] = byte(8*(i/16)+4), byte(i%16)
		t.c16[i], t.c20[i], t.c5e[i] = 16, 0x20, 0x5e
		// First characters are bytes 0 to 63 of the two, second ones 64 to 127.
		t.pair[i], t.pair[64+i] = byte(i/2+i%2*64), byte(32+i/2+i%2*64)
	}
	return t
}

func (g *longGroup) args(c *Cipher, t *textTables, m, n int) longArgs {
	p := unsafe.Pointer(&g.blocks[0])
	return longArgs{
		sched: unsafe.Pointer(c.s), enc: unsafe.Pointer(t), n: n, m: m, last: 16 * (m - 1),
		scratch: unsafe.Add(p, -int(uintptr(p))&63),
	}
}

// sealBlocksAt is told whether whole blocks of every value may be read.
func (c *Cipher) sealBlocksAt(w *Writer, m int, dst []byte, at []uint32, arena []byte, spans []uint32, whole bool) (plain bool) {
	n := len(spans) / 2
	if simd.Active() != simd.AVX512 || m < 2 {
		c.sealBlocksOneByOne((*Cipher).cryptWith, w, m, dst, at, arena, spans)
		return false
	}
	g := longGroups.Get().(*longGroup)
	defer g.put(m)
	pairs := w.form == Pair62 || w.form == Hex
	tab := textTablesOf(Hex, 0)
	if pairs {
		tab = textTablesOf(w.form, w.gen)
	}
	var other uint64
	// Groups that may be read whole blocks at a time, straight from the arena.
	direct := 0
	if pairs {
		// All at once where the caller left some slack, else group by group.
		if direct = n &^ 15; !whole {
			for direct = 0; direct+16 <= n && fitsWhole(arena, spans[2*direct:2*direct+32], m); {
				direct += 16
			}
		}
		a := g.args(c, tab, m, direct)
		a.base, a.dst = unsafe.Pointer(unsafe.SliceData(arena)), unsafe.Pointer(unsafe.SliceData(dst))
		if direct > 0 {
			ran(pathLongDirect)
			a.spans, a.at = unsafe.Pointer(unsafe.SliceData(spans)), unsafe.Pointer(unsafe.SliceData(at))
			longTextAVX512((*byte)(unsafe.Pointer(&a)))
			other |= a.other
		}
		if whole && direct < n {
			ran(pathLongFilled)
			// The last one fills the lanes that are left, and writes its text again.
			for i := range 16 {
				j := direct + min(i, n-direct-1)
				g.spans[2*i], g.spans[2*i+1], g.at[i] = spans[2*j], spans[2*j+1], at[j]
			}
			a.n, a.spans, a.at = 16, unsafe.Pointer(&g.spans), unsafe.Pointer(&g.at)
			longTextAVX512((*byte)(unsafe.Pointer(&a)))
			other |= a.other
			direct = n
		}
	}
	chars := w.form.EncodedLen(16 * m)
	for from := direct; from < n; from += 16 {
		k := min(16, n-from)
		g.staged = true
		ran(pathLongStaged)
		for i := range 16 {
			j := from + min(i, k-1) // the last one fills the lanes that are left
			off, l := spans[2*j], spans[2*j+1]
			copy(g.arena[16*m*i:], arena[off:][:l])
			g.spans[2*i], g.spans[2*i+1] = uint32(16*m*i), l
		}
		a := g.args(c, tab, m, 16)
		a.base, a.spans, a.dst = unsafe.Pointer(&g.arena), unsafe.Pointer(&g.spans), unsafe.Pointer(&g.out)
		if pairs {
			for i := range g.at {
				g.at[i] = uint32(chars * i)
			}
			a.dst, a.at = unsafe.Pointer(&g.text), unsafe.Pointer(&g.at)
			longTextAVX512((*byte)(unsafe.Pointer(&a)))
			other |= a.other
			for i := range k {
				copy(dst[at[from+i]:], g.text[chars*i:][:chars])
			}
			continue
		}
		longSealAVX512((*byte)(unsafe.Pointer(&a)))
		for i := range k {
			w.form.Encode(dst[at[from+i]:][:chars], g.out[16*m*i:][:16*m], w.gen)
		}
	}
	return pairs && other == 0
}

// layArgs is what the layout kernel reads; assembly knows the offsets.
type layArgs struct {
	place, step, chars, blocks, limit [16]uint32 // 0, 64, 128, 192, 256
	even, odd, low, high              [16]uint32 // 320, 384, 448, 512
	spans                             unsafe.Pointer
	n                                 int // 584: values, a multiple of 16
	at, out, text                     unsafe.Pointer
	stride                            int
	gap                               uint64 // 624: what stands between two texts
	len                               int    // 632: characters of a text
}

// layTable holds what is the same for all.
var layTable = func() (a layArgs) {
	for i := range uint32(16) {
		a.even[i], a.odd[i] = 2*i, 2*i+1
		a.low[i], a.high[i] = i/2+i%2*16, i/2+8+i%2*16
	}
	return a
}()

// sealBlocksRows needs dst to have room for all rows and 8 bytes more.
func (c *Cipher) sealBlocksRows(w *Writer, m int, dst, arena []byte, spans, out, at []uint32) (n int, plain bool) {
	n = len(spans) / 2 &^ 15
	if simd.Active() != simd.AVX512 || n == 0 || w.form != Pair62 && w.form != Hex || len(w.pre) > 4 || len(w.post) > 4 || cap(arena) < 16 {
		return 0, false
	}
	a := layTable
	chars := w.form.EncodedLen(16 * m)
	a.stride, a.len, a.n = len(w.pre)+chars+len(w.post), chars, n
	limit := uint32(min(uint64(len(arena)), uint64(cap(arena)-16), 1<<32-1))
	for i := range uint32(16) {
		a.place[i] = uint32(len(dst)+len(w.pre)) + i*uint32(a.stride)
		a.step[i], a.chars[i], a.blocks[i], a.limit[i] = uint32(16*a.stride), uint32(chars), uint32(m-1), limit
	}
	a.gap = uint64(word(w.post)) | uint64(word(w.pre))<<(8*len(w.post))
	a.spans, a.at, a.out = unsafe.Pointer(&spans[0]), unsafe.Pointer(&at[0]), unsafe.Pointer(&out[0])
	a.text = unsafe.Pointer(&dst[:cap(dst)][len(dst)+len(w.pre)])
	copy(dst[len(dst):cap(dst)], w.pre)
	if n = layRowsAVX512((*byte)(unsafe.Pointer(&a))); n == 0 {
		return 0, false
	}
	g := longGroups.Get().(*longGroup)
	defer g.put(m)
	b := g.args(c, textTablesOf(w.form, w.gen), m, n)
	b.base, b.spans = unsafe.Pointer(unsafe.SliceData(arena)), unsafe.Pointer(&spans[0])
	b.dst, b.at = unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(&at[0])
	longTextAVX512((*byte)(unsafe.Pointer(&b)))
	ran(pathLongRows)
	return n, b.other == 0
}

// mixArgs is what the layout kernel of mixed values reads; assembly knows the offsets.
type mixArgs struct {
	even, odd, low, high, one, most, last [16]uint32 // 0, 64, 128, 192, 256, 320, 384
	limit, gapLen, place, ends            [16]uint32 // 448, 512, 576, 640
	spans                                 unsafe.Pointer
	n                                     int // 712: values, a multiple of 16
	at, out, blocks, dst                  unsafe.Pointer
	gap                                   uint64 // 752: what stands between two texts
}

// mixed is memory for values that are sorted by their blocks.
type mixed struct {
	args   mixArgs
	blocks [MixedMost]byte
	at     [MixedMost]uint32
	// Sorted, and every group filled up to a multiple of 16 by its last.
	gspans [2 * MixedMost][2]uint32
	gat    [2 * MixedMost]uint32
}

var mixes = sync.Pool{New: func() any {
	s := new(mixed)
	a := &s.args
	for i := range uint32(16) {
		a.even[i], a.odd[i] = layTable.even[i], layTable.odd[i]
		a.low[i], a.high[i] = layTable.low[i], layTable.high[i]
		a.one[i], a.most[i], a.last[i] = 1, maxBlocks, 15
	}
	return s
}}

func (c *Cipher) sealMixedRows(w *Writer, dst, arena []byte, spans, out []uint32) (rows []byte, other uint32, ok bool) {
	n := len(spans) / 2
	if simd.Active() != simd.AVX512 || n < 16 || w.form != Pair62 && w.form != Hex || len(w.pre) > 4 || len(w.post) > 4 || cap(arena) < 16 {
		return dst, 0, false
	}
	s := mixes.Get().(*mixed)
	defer mixes.Put(s)
	rows, ok = s.lay(w, dst, arena, spans, out)
	if !ok {
		return dst, 0, false
	}
	next, ends := s.starts(n)
	begins := next
	sortMixed(s, pairsOf(spans), &next)
	g, tab := longGroups.Get().(*longGroup), textTablesOf(w.form, w.gen)
	most := 2
	for m := 1; m <= maxBlocks; m++ {
		lo, hi := begins[m], next[m]
		if lo == hi {
			continue
		}
		if m == 1 {
			one := unsafe.Slice(&s.gspans[lo][0], 2*(hi-lo))
			if c.SealAt(w, rows, s.gat[lo:hi], arena, one) != int(hi-lo) {
				rows, ok = dst, false
				break
			}
			continue
		}
		for i := hi; i < ends[m]; i++ {
			s.gspans[i], s.gat[i] = s.gspans[hi-1], s.gat[hi-1]
		}
		a := g.args(c, tab, m, int(ends[m]-lo))
		a.base, a.dst = unsafe.Pointer(unsafe.SliceData(arena)), unsafe.Pointer(unsafe.SliceData(rows))
		a.spans, a.at = unsafe.Pointer(&s.gspans[lo]), unsafe.Pointer(&s.gat[lo])
		longTextAVX512((*byte)(unsafe.Pointer(&a)))
		if a.other != 0 {
			other |= 1 << m
		}
		most = m
	}
	g.put(most)
	ran(pathMixed)
	return rows, other, ok
}

// lay notes blocks and places and writes what stands between the texts; ok says that
// kernels can take all values.
func (s *mixed) lay(w *Writer, dst, arena []byte, spans, out []uint32) (rows []byte, ok bool) {
	n := len(spans) / 2
	a := &s.args
	// The longest rows there are, so that the sum of all need not be known before.
	gap := len(w.pre) + len(w.post)
	size := 0
	for _, p := range pairsOf(spans) {
		size += int(min(p[1], 16*maxBlocks))
	}
	size = 2*size + n*(32+gap)
	dst = room(dst, size+8)
	limit := uint32(min(uint64(len(arena)), uint64(cap(arena)-16), 1<<32-1))
	for i := range 16 {
		a.limit[i], a.gapLen[i], a.place[i] = limit, uint32(gap), uint32(len(dst)+len(w.pre))
	}
	a.gap = uint64(word(w.post)) | uint64(word(w.pre))<<(8*len(w.post))
	a.n = n &^ 15
	a.spans, a.out = unsafe.Pointer(&spans[0]), unsafe.Pointer(&out[0])
	a.at, a.blocks, a.dst = unsafe.Pointer(&s.at), unsafe.Pointer(&s.blocks), unsafe.Pointer(unsafe.SliceData(dst))
	copy(dst[len(dst):cap(dst)], w.pre)
	done := mixRowsAVX512((*byte)(unsafe.Pointer(a)))
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
	return dst[:int(place)-len(w.pre)], true
}

// starts returns where the values of each number of blocks go, and where the room of
// each ends.
func (s *mixed) starts(n int) (next, ends [maxBlocks + 1]uint32) {
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

// sortMixed copies spans and places in the order of their blocks. It is a function of
// its own so that all of it fits in registers.
//
//go:noinline
func sortMixed(s *mixed, spans [][2]uint32, next *[maxBlocks + 1]uint32) {
	blocks, at := s.blocks[:len(spans)], s.at[:len(spans)]
	for i, p := range spans {
		m := blocks[i]
		j := next[m]
		next[m] = j + 1
		j &= 2*MixedMost - 1
		s.gspans[j], s.gat[j] = p, at[i]
	}
}

//go:noescape
func mixRowsAVX512(a *byte) int

// word is up to 4 bytes as they stand in memory.
func word(s string) (v uint32) {
	for i := range len(s) {
		v |= uint32(s[i]) << (8 * i)
	}
	return v
}

//go:noescape
func layRowsAVX512(a *byte) int

// fitsWhole says whether m blocks may be read from the start of every value.
func fitsWhole(arena []byte, spans []uint32, m int) bool {
	last := uint32(0)
	for i := 0; i < len(spans); i += 2 {
		last = max(last, spans[i])
	}
	return int(last)+16*m <= cap(arena)
}

func (c *Cipher) cryptBlocks(m int, msgs []byte, decrypt bool) {
	if simd.Active() != simd.AVX512 || m < 2 {
		c.cryptBlocksOneByOne((*Cipher).cryptWith, m, msgs, decrypt)
		return
	}
	g := longGroups.Get().(*longGroup)
	defer g.put(m)
	for i := range 16 {
		g.spans[2*i], g.spans[2*i+1] = uint32(16*m*i), uint32(16*m)
	}
	for len(msgs) > 0 {
		part := msgs[:min(len(msgs), 16*16*m)]
		a := g.args(c, textTablesOf(Hex, 0), m, 16)
		a.base, a.spans, a.dst = unsafe.Pointer(unsafe.SliceData(part)), unsafe.Pointer(&g.spans), unsafe.Pointer(unsafe.SliceData(part))
		if len(part) < 16*16*m {
			copy(g.arena[:], part)
			g.staged = true
			ran(pathCryptTail)
			a.base, a.dst = unsafe.Pointer(&g.arena), unsafe.Pointer(&g.arena)
		}
		ran(pathCryptWhole)
		if decrypt {
			longOpenAVX512((*byte)(unsafe.Pointer(&a)))
		} else {
			longSealAVX512((*byte)(unsafe.Pointer(&a)))
		}
		if len(part) < 16*16*m {
			copy(part, g.arena[:])
		}
		msgs = msgs[len(part):]
	}
}

//go:noescape
func longTextAVX512(a *byte)

//go:noescape
func longSealAVX512(a *byte)

//go:noescape
func longOpenAVX512(a *byte)
