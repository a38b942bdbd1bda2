//go:build !purego && (amd64 || arm64)

package hctr2

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"unsafe"

	"github.com/velonym/velonym/engine/kernel/textform"
)

// One-block values on tiers whose registers hold one value are processed in three passes over some
// values at a time: gather, AES, encode, or decode, AES, check. Only the first and the last pass
// differ between tiers; the portable code converts forms for which a tier has no kernel.

// stagedValues is the number of values of a pass, whose blocks fit in the first-level cache.
const stagedValues = 64

// stagedScratch is the memory of the passes.
type stagedScratch struct {
	blocks [16 * stagedValues]byte
	rows   [stagedValues*(36+textform.MaxFraming) + textform.RowPadding]byte
	copied
}

var stagedScratches = sync.Pool{New: func() any { return new(stagedScratch) }}

func (t *stagedScratch) put() {
	clear(t.blocks[:])
	clear(t.arena[:])
	stagedScratches.Put(t)
}

// gatherTables turn 16 bytes that start with a value into its padded block: and, or (spaces after
// the value, which are text), exclusive or. Generators read the offsets of its fields from this
// declaration.
type gatherTables struct {
	and   [16][16]byte // by length, as the following two
	space [16][16]byte
	pad   [16][16]byte
	c20   [16]byte // 0x20
	ascii [16]byte // greatest byte of text less 0x20
	any   [16]byte
}

var gatherTable = func() (t gatherTables) {
	for l := range 16 {
		for i := range 16 {
			if i < l {
				t.and[l][i] = 0xff
			} else {
				t.space[l][i] = ' '
				t.pad[l][i] = ' ' ^ byte(16-l)
			}
		}
		t.c20[l], t.ascii[l], t.any[l] = 0x20, 0x5e, 0xff
	}
	return t
}()

// copied holds copies of up to 16 values, so that a kernel may read past their ends and gets a
// whole group.
type copied struct {
	arena [16*16 + 16]byte
	spans [32]uint32
	n     int
}

// copyTexts copies the longest prefix of values that are 1 to 15 bytes of text, at most 16.
func (g *copied) copyTexts(arena []byte, spans []uint32) {
	n := 0
	for n < min(len(spans)/2, 16) && spans[2*n+1]-1 <= 14 {
		n++
	}
	g.fill(arena, spans[:2*n])
	g.n = g.texts(n)
	for i := g.n; i < 16; i++ {
		g.spans[2*i], g.spans[2*i+1] = 0, 1
	}
}

// fill copies values of up to 15 bytes, with spaces after them.
func (g *copied) fill(arena []byte, spans []uint32) {
	const ones = 0x0101010101010101
	for i, p := range pairsOf(spans) {
		off, n := p[0], p[1]
		b := (*[16]byte)(g.arena[16*i:])
		v := arena[off:cap(arena)]
		if len(v) < 16 {
			*b = [16]byte{}
			copy(b[:], v[:n])
			v = b[:]
		}
		mlo, mhi := ^uint64(0)<<(8*min(n, 8)), ^uint64(0)<<(8*(max(n, 8)-8))
		lo, hi := binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[8:])
		binary.LittleEndian.PutUint64(b[:], lo&^mlo|mlo&(0x20*ones))
		binary.LittleEndian.PutUint64(b[8:], hi&^mhi|mhi&(0x20*ones))
		g.spans[2*i], g.spans[2*i+1] = uint32(16*i), n
	}
}

// texts returns the length of the longest prefix of the n values that is text.
func (g *copied) texts(n int) int {
	if bad, ok := textform.TextBlocks(g.arena[:16*((n+3)&^3)]); ok {
		return min(n, bits.TrailingZeros64(bad))
	}
	for i := range n {
		if !textform.IsText(g.arena[16*i:][:g.spans[2*i+1]]) {
			return i
		}
	}
	return n
}

// gather pads the longest prefix of values that are 1 to 15 bytes of text, at most stagedValues,
// into t.blocks, and returns its length.
func (t *stagedScratch) gather(arena []byte, spans []uint32) int {
	n := min(len(spans)/2, stagedValues)
	if k := n &^ 3; k > 0 && cap(arena) >= 16 {
		last := min(uint64(cap(arena)-16), 1<<32-1)
		if k = gatherBlocks(&t.blocks[0], unsafe.SliceData(arena), &spans[0], k, 14<<32|last, &gatherTable, &gatherTable.ascii); k > 0 {
			paths.gather.Take()
			return k
		}
	}
	// The last values, values near the end of the arena, or values that are not ASCII.
	t.copyTexts(arena, spans)
	if t.n > 0 {
		paths.gatherCopied.Take()
		gatherBlocks(&t.blocks[0], &t.arena[0], &t.spans[0], 16, 14<<32|16*15, &gatherTable, &gatherTable.any)
	}
	return t.n
}

// write appends the rows of n of t.blocks to dst, whose capacity must fit them.
func (t *stagedScratch) write(w *textform.Writer, dst []byte, n int) []byte {
	if !w.Form().Pairs() {
		return w.AppendRows(dst, t.blocks[:16*n])
	}
	if cap(dst)-len(dst) < n*w.Stride()+textform.RowPadding {
		paths.writeTail.Take()
		return append(dst, t.write(w, t.rows[:0], n)...)
	}
	if n == 0 {
		return dst
	}
	paths.writeRows.Take()
	w.WriteRows(dst[len(dst):cap(dst)], t.blocks[:16*n])
	return dst[:len(dst)+n*w.Stride()]
}

func (c *Cipher) sealRowsStaged(w *textform.Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	t := stagedScratches.Get().(*stagedScratch)
	defer t.put()
	n, done := len(spans)/2, 0
	for done < n {
		if k := c.sealFused(t, w, dst, nil, arena, spans[2*done:], out[2*done:]); k > 0 {
			paths.fused.Take()
			dst = dst[:len(dst)+k*w.Stride()]
			done += k
			continue
		}
		k := t.gather(arena, spans[2*done:])
		if k == 0 {
			break
		}
		c.runAES(&c.s.folded, t.blocks[:16*k], false)
		place := uint32(len(dst) + len(w.Pre()))
		dst = t.write(w, dst, k)
		for i := done; i < done+k; i++ {
			out[2*i], out[2*i+1] = place, uint32(w.Chars())
			place += uint32(w.Stride())
		}
		done += k
	}
	return dst, done
}

func (c *Cipher) sealAtStaged(w *textform.Writer, dst []byte, at []uint32, arena []byte, spans []uint32) int {
	t := stagedScratches.Get().(*stagedScratch)
	defer t.put()
	n, done := len(spans)/2, 0
	for done < n {
		if k := c.sealFused(t, w, dst, at[done:], arena, spans[2*done:], nil); k > 0 {
			paths.fused.Take()
			done += k
			continue
		}
		k := t.gather(arena, spans[2*done:])
		if k == 0 {
			break
		}
		c.runAES(&c.s.folded, t.blocks[:16*k], false)
		rows := t.write(w, t.rows[:0], k)
		for i := range k {
			if w.Chars() == 32 {
				*(*[32]byte)(dst[at[done+i]:]) = *(*[32]byte)(rows[i*w.Stride()+len(w.Pre()):])
			} else {
				copy(dst[at[done+i]:], rows[i*w.Stride()+len(w.Pre()):][:w.Chars()])
			}
		}
		done += k
	}
	return done
}

// read decodes and deciphers a prefix of the values, at most stagedValues, into t.blocks and returns
// its length.
func (t *stagedScratch) read(c *Cipher, r *textform.Reader, arena []byte, spans []uint32) int {
	n := min(len(spans)/2, stagedValues)
	k := 0
	if r.Form().Pairs() && n >= 4 && cap(arena) >= 32 {
		k = r.ReadBlocks(t.blocks[:], arena, spans[:2*n])
		paths.readBlocks.Take()
	}
	if k == 0 {
		paths.readEach.Take()
		for k < min(n, 16) && r.Decode((*[16]byte)(t.blocks[16*k:]), arena[spans[2*k]:][:spans[2*k+1]]) {
			k++
		}
	}
	c.runAES(&c.s.foldedInv, t.blocks[:16*k], true)
	return k
}

// opened returns the length of the value in block i, and whether the block is padded text.
func (t *stagedScratch) opened(i int) (n int, ok bool) {
	return openBlock((*[16]byte)(t.blocks[16*i:]))
}

func (c *Cipher) openRowsStaged(r *textform.Reader, pre, post string, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	t := stagedScratches.Get().(*stagedScratch)
	defer t.put()
	n, done := len(spans)/2, 0
	for done < n {
		k := t.read(c, r, arena, spans[2*done:])
		for i := range k {
			l, ok := t.opened(i)
			if !ok {
				return dst, done
			}
			dst = append(dst, pre...)
			out[2*done], out[2*done+1] = uint32(len(dst)), uint32(l)
			dst = append(append(dst, t.blocks[16*i:][:l]...), post...)
			done++
		}
		if k == 0 {
			break
		}
	}
	return dst, done
}

func (c *Cipher) translateRowsStaged(r *textform.Reader, to *Cipher, w *textform.Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	t := stagedScratches.Get().(*stagedScratch)
	defer t.put()
	n, done := len(spans)/2, 0
	for done < n {
		k := t.read(c, r, arena, spans[2*done:])
		good := 0
		for good < k {
			if l, ok := t.opened(good); !ok || l == 0 {
				break
			}
			good++
		}
		to.runAES(&to.s.folded, t.blocks[:16*good], false)
		place := uint32(len(dst) + len(w.Pre()))
		dst = t.write(w, dst, good)
		for i := done; i < done+good; i++ {
			out[2*i], out[2*i+1] = place, uint32(w.Chars())
			place += uint32(w.Stride())
		}
		done += good
		if good < k || k == 0 {
			break
		}
	}
	return dst, done
}
