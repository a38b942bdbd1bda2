//go:build !purego

package hctr2

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/textform"
	"github.com/velonym/velonym/internal/simd"
)

// multiBlockArgs are the arguments of the kernels over many messages. Generators read the offsets
// of its fields from this declaration.
type multiBlockArgs struct {
	schedule *schedule
	tables   *textTables
	base     *byte   // arena
	spans    *uint32 // off, len of each value; advanced
	n        int     // values, a multiple of 16; counted down
	dst      *byte
	at       *uint32 // offsets of the texts; advanced
	m        int     // blocks of a message, at least 2
	scratch  *byte   // multiBlockScratch for m blocks, aligned to 64
	other    uint64  // result: not 0 if a byte is not printable ASCII
	last     int     // 16 (m - 1)
	//lint:ignore U1000 only the assembly uses it
	heads uintptr // the kernel's own: offsets of the last round, whose first blocks are not written yet; 0: none
	//lint:ignore U1000 only the assembly uses it
	left int // the kernel's own
}

// multiBlockScratch returns the size of a kernel's state of a round: S, UU and m blocks of 64
// values.
func multiBlockScratch(m int) int { return (2 + m) * 16 * 64 }

// multiBlockGroup is memory for the kernels: their state, and an incomplete group of values with
// its results.
type multiBlockGroup struct {
	blocks [(2+maxBlocks)*16*64 + 64]byte
	arena  [16 * 16 * maxBlocks]byte
	out    [16 * 16 * maxBlocks]byte
	spans  [32]uint32
	at     [16]uint32
	text   [16 * 32 * maxBlocks]byte
	staged bool // arena and out were used
}

var multiBlockGroups = sync.Pool{New: func() any { return new(multiBlockGroup) }}

// put wipes the blocks that values of m blocks left in g and returns g to the pool.
func (g *multiBlockGroup) put(m int) {
	clear(g.blocks[:multiBlockScratch(m)+64])
	if g.staged {
		clear(g.arena[:16*16*m])
		clear(g.out[:16*16*m])
		g.staged = false
	}
	multiBlockGroups.Put(g)
}

// textTables are the tables with which kernels over many messages write pairs of characters. For
// Pair62 characters are looked up by the quotient q = ⌊b/62⌋, as 62q, whose last six bits are
// distinct, and by b - 62q; for Hex by the first half, and by the last six bits of b. Generators
// read the offsets of its fields from this declaration.
type textTables struct {
	quot   [128]byte // by byte / 2: the index of the first character, which is subtracted for the second
	first  [64]byte  // first character by that index
	second [64]byte  // second character by the difference
	mark   [64]byte  // like first, with the generation mark
	pair   [128]byte // for two values of 32 characters: index into first and second characters
	length [64]byte  // index of the length of a lane's span among four spans
	lane   [64]byte  // index in the lane
	c16    [64]byte  // 16
	c20    [64]byte  // 0x20
	c5e    [64]byte  // greatest byte of text less 0x20
	one    [16]byte  // the number 1, little endian
	markK  uint64    // first byte of every lane
	takeK  uint64    // bytes from which something is subtracted
}

var textTabs [textform.Hex + 1][textform.Generations]atomic.Pointer[textTables]

// textTablesOf returns the tables of newTextTables, which it caches.
func textTablesOf(f textform.Form, gen int) *textTables {
	p := &textTabs[f][gen]
	t := p.Load()
	if t == nil {
		t = newTextTables(f, gen)
		p.Store(t)
	}
	return t
}

// newTextTables returns the tables of Pair62 or Hex.
func newTextTables(f textform.Form, gen int) *textTables {
	t := &textTables{markK: 0x0001000100010001}
	t.one[0] = 1
	if f == textform.Pair62 {
		t.takeK = ^uint64(0)
	}
	for b := range 256 {
		q, rest := b/62*62, b%62
		if f == textform.Hex {
			q, rest = b>>4, b
		}
		var pair, marked [2]byte
		f.Encode(pair[:], []byte{byte(b)}, 0)
		f.Encode(marked[:], []byte{byte(b)}, gen)
		t.quot[b/2] = byte(q)
		t.first[q%64], t.second[rest%64], t.mark[q%64] = pair[0], pair[1], marked[0]
	}
	for i := range 64 {
		t.length[i], t.lane[i] = byte(8*(i/16)+4), byte(i%16)
		t.c16[i], t.c20[i], t.c5e[i] = 16, 0x20, 0x5e
		// First characters are bytes 0 to 63 of the two, second ones 64 to 127.
		t.pair[i], t.pair[64+i] = byte(i/2+i%2*64), byte(32+i/2+i%2*64)
	}
	return t
}

// args returns the arguments of a kernel for n messages of m blocks. The caller sets base, spans,
// dst and at.
func (g *multiBlockGroup) args(c *Cipher, t *textTables, m, n int) multiBlockArgs {
	p := unsafe.Pointer(&g.blocks[0])
	return multiBlockArgs{
		schedule: c.s, tables: t, n: n, m: m, last: 16 * (m - 1),
		scratch: (*byte)(unsafe.Add(p, -int(uintptr(p))&63)),
	}
}

// sealBlocksAt is SealBlocksAt. whole states whether whole blocks of every value may be read.
func (c *Cipher) sealBlocksAt(w *textform.Writer, m int, dst []byte, at []uint32, arena []byte, spans []uint32, whole bool) (plain bool) {
	n := len(spans) / 2
	if simd.Active() != simd.AVX512 || m < 2 {
		c.sealBlocksOneByOne((*Cipher).cryptWith, w, m, dst, at, arena, spans)
		return false
	}
	g := multiBlockGroups.Get().(*multiBlockGroup)
	defer g.put(m)
	pairs := w.Form().Pairs()
	tab := textTablesOf(textform.Hex, 0)
	if pairs {
		tab = textTablesOf(w.Form(), w.Gen())
	}
	var other uint64
	// The number of values in groups that the kernel reads from the arena in whole blocks.
	direct := 0
	if pairs {
		// All groups at once if the caller left padding, otherwise group by group.
		if direct = n &^ 15; !whole {
			for direct = 0; direct+16 <= n && fitsWhole(arena, spans[2*direct:2*direct+32], m); {
				direct += 16
			}
		}
		a := g.args(c, tab, m, direct)
		a.base, a.dst = unsafe.SliceData(arena), unsafe.SliceData(dst)
		if direct > 0 {
			paths.multiBlock.Take()
			a.spans, a.at = unsafe.SliceData(spans), unsafe.SliceData(at)
			multiBlockTextAVX512(&a)
			other |= a.other
		}
		if whole && direct < n {
			paths.multiBlockFilled.Take()
			// The last one fills the lanes that are left, and writes its text again.
			for i := range 16 {
				j := direct + min(i, n-direct-1)
				g.spans[2*i], g.spans[2*i+1], g.at[i] = spans[2*j], spans[2*j+1], at[j]
			}
			a.n, a.spans, a.at = 16, &g.spans[0], &g.at[0]
			multiBlockTextAVX512(&a)
			other |= a.other
			direct = n
		}
	}
	chars := w.Form().EncodedLen(16 * m)
	for from := direct; from < n; from += 16 {
		k := min(16, n-from)
		g.staged = true
		paths.multiBlockCopied.Take()
		for i := range 16 {
			j := from + min(i, k-1) // the last one fills the lanes that are left
			off, l := spans[2*j], spans[2*j+1]
			copy(g.arena[16*m*i:], arena[off:][:l])
			g.spans[2*i], g.spans[2*i+1] = uint32(16*m*i), l
		}
		a := g.args(c, tab, m, 16)
		a.base, a.spans, a.dst = &g.arena[0], &g.spans[0], &g.out[0]
		if pairs {
			for i := range g.at {
				g.at[i] = uint32(chars * i)
			}
			a.dst, a.at = &g.text[0], &g.at[0]
			multiBlockTextAVX512(&a)
			other |= a.other
			for i := range k {
				copy(dst[at[from+i]:], g.text[chars*i:][:chars])
			}
			continue
		}
		multiBlockSealAVX512(&a)
		for i := range k {
			w.Form().Encode(dst[at[from+i]:][:chars], g.out[16*m*i:][:16*m], w.Gen())
		}
	}
	return pairs && other == 0
}

// fitsWhole reports whether m blocks may be read from the start of every value.
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
	g := multiBlockGroups.Get().(*multiBlockGroup)
	defer g.put(m)
	for i := range 16 {
		g.spans[2*i], g.spans[2*i+1] = uint32(16*m*i), uint32(16*m)
	}
	for len(msgs) > 0 {
		part := msgs[:min(len(msgs), 16*16*m)]
		a := g.args(c, textTablesOf(textform.Hex, 0), m, 16)
		a.base, a.spans, a.dst = unsafe.SliceData(part), &g.spans[0], unsafe.SliceData(part)
		if len(part) < 16*16*m {
			copy(g.arena[:], part)
			g.staged = true
			paths.cryptTail.Take()
			a.base, a.dst = &g.arena[0], &g.arena[0]
		}
		paths.cryptWhole.Take()
		if decrypt {
			multiBlockOpenAVX512(&a)
		} else {
			multiBlockSealAVX512(&a)
		}
		if len(part) < 16*16*m {
			copy(part, g.arena[:])
		}
		msgs = msgs[len(part):]
	}
}

// The following kernels process n values of m blocks each, up to 64 at a time; n is a multiple of
// 16. They read n spans and m whole blocks from the start of each value, and pad after its
// length of 16(m-1) to 16m-1 (open, and seal of messages: 16m, without padding). They write
// scratch, and spans, n, dst and at of their arguments. Values and results must not overlap,
// except that seal and open may have dst at base. No branch or address depends on keys or values.
// They need AVX-512 F, BW, DQ, VBMI, VAES and VPCLMULQDQ, and clobber ZMM and mask registers; the
// upper halves are zero at the end.

// multiBlockTextAVX512 writes the text of each value, in a form of pairs, to its offset and
// nothing else to dst, and sets other if a byte is not printable ASCII.
//
//go:noescape
func multiBlockTextAVX512(a *multiBlockArgs)

// multiBlockSealAVX512 writes the concatenated ciphertexts to dst. It ignores at.
//
//go:noescape
func multiBlockSealAVX512(a *multiBlockArgs)

// multiBlockOpenAVX512 is the inverse of multiBlockSealAVX512.
//
//go:noescape
func multiBlockOpenAVX512(a *multiBlockArgs)
