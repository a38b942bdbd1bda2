//go:build !purego

package kernel

import (
	"sync"
	"unsafe"
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

// longTables is what kernels that write no text read.
var longTables = NewWriter(Hex, 0, "", "")

func (g *longGroup) args(c *Cipher, w *Writer, m, n int) longArgs {
	p := unsafe.Pointer(&g.blocks[0])
	return longArgs{
		sched: unsafe.Pointer(c.s), enc: unsafe.Pointer(w.tab), n: n, m: m, last: 16 * (m - 1),
		scratch: unsafe.Add(p, -int(uintptr(p))&63),
	}
}

// sealBlocksAt is told whether whole blocks of every value may be read.
func (c *Cipher) sealBlocksAt(w *Writer, m int, dst []byte, at []uint32, arena []byte, spans []uint32, whole bool) (plain bool) {
	n := len(spans) / 2
	if active != tierAVX512 || m < 2 {
		c.sealBlocksOneByOne((*Cipher).cryptWith, w, m, dst, at, arena, spans)
		return false
	}
	g := longGroups.Get().(*longGroup)
	defer g.put(m)
	pairs := w.form == Pair62 || w.form == Hex
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
		a := g.args(c, w, m, direct)
		a.base, a.dst = unsafe.Pointer(unsafe.SliceData(arena)), unsafe.Pointer(unsafe.SliceData(dst))
		if direct > 0 {
			a.spans, a.at = unsafe.Pointer(unsafe.SliceData(spans)), unsafe.Pointer(unsafe.SliceData(at))
			longTextAVX512((*byte)(unsafe.Pointer(&a)))
			other |= a.other
		}
		if whole && direct < n {
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
		for i := range 16 {
			j := from + min(i, k-1) // the last one fills the lanes that are left
			off, l := spans[2*j], spans[2*j+1]
			copy(g.arena[16*m*i:], arena[off:][:l])
			g.spans[2*i], g.spans[2*i+1] = uint32(16*m*i), l
		}
		a := g.args(c, w, m, 16)
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
	stride, preLen                    int
	pre, post                         uint64
	len                               int // 648: characters of a text
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
	if active != tierAVX512 || n == 0 || w.form != Pair62 && w.form != Hex || len(w.pre) > 4 || len(w.post) > 4 || cap(arena) < 16 {
		return 0, false
	}
	a := layTable
	chars := w.form.EncodedLen(16 * m)
	a.stride, a.preLen, a.len, a.n = len(w.pre)+chars+len(w.post), len(w.pre), chars, n
	limit := uint32(min(uint64(len(arena)), uint64(cap(arena)-16), 1<<32-1))
	for i := range uint32(16) {
		a.place[i] = uint32(len(dst)+len(w.pre)) + i*uint32(a.stride)
		a.step[i], a.chars[i], a.blocks[i], a.limit[i] = uint32(16*a.stride), uint32(chars), uint32(m-1), limit
	}
	a.pre, a.post = uint64(word(w.pre)), uint64(word(w.post))
	a.spans, a.at, a.out = unsafe.Pointer(&spans[0]), unsafe.Pointer(&at[0]), unsafe.Pointer(&out[0])
	a.text = unsafe.Pointer(&dst[:cap(dst)][len(dst)+len(w.pre)])
	if n = layRowsAVX512((*byte)(unsafe.Pointer(&a))); n == 0 {
		return 0, false
	}
	g := longGroups.Get().(*longGroup)
	defer g.put(m)
	b := g.args(c, w, m, n)
	b.base, b.spans = unsafe.Pointer(unsafe.SliceData(arena)), unsafe.Pointer(&spans[0])
	b.dst, b.at = unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(&at[0])
	longTextAVX512((*byte)(unsafe.Pointer(&b)))
	return n, b.other == 0
}

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
	if active != tierAVX512 || m < 2 {
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
		a := g.args(c, longTables, m, 16)
		a.base, a.spans, a.dst = unsafe.Pointer(unsafe.SliceData(part)), unsafe.Pointer(&g.spans), unsafe.Pointer(unsafe.SliceData(part))
		if len(part) < 16*16*m {
			copy(g.arena[:], part)
			g.staged = true
			a.base, a.dst = unsafe.Pointer(&g.arena), unsafe.Pointer(&g.arena)
		}
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
