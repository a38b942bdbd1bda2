//go:build !purego && (amd64 || arm64)

package kernel

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"unsafe"

	"github.com/velonym/velonym/internal/simd"
)

// One-block values where registers hold one value: in three passes over some values at
// a time, that is gather, AES, encode, or decode, AES, check. Only the passes at the
// ends differ between tiers, and those forms that they do not know go through the
// portable codec.

// laneValues is how many values pass together: their blocks stay in the first-level
// cache.
const laneValues = 64

// laneScratch is the blocks of values on their way, and what the passes read.
type laneScratch struct {
	blocks [16 * laneValues]byte
	rows   [laneValues*(36+maxFraming) + rowSlack]byte
	staged
}

var laneScratches = sync.Pool{New: func() any { return new(laneScratch) }}

func (t *laneScratch) put() {
	clear(t.blocks[:])
	clear(t.arena[:])
	laneScratches.Put(t)
}

// gatherTables turn 16 bytes of which some are a value into its padded block: and, or
// (spaces where the value ends, so that they pass for text), exclusive or.
type gatherTables struct {
	and   [16][16]byte // 0: by length
	space [16][16]byte // 256
	pad   [16][16]byte // 512
	c20   [16]byte     // 768
	ascii [16]byte     // 784: greatest byte of text less 0x20
	any   [16]byte     // 800
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

// laneText is what encoding and decoding passes read.
type laneText struct {
	mark   [32]byte    // 0: added to the digits of a block
	digit  [32]byte    // 32: hex digits
	c1058  [32]byte    // 64: words of 1058: the high half of a product is the quotient by 62
	c62    [32]byte    // 96: words of 1 - 62·256
	c25    [32]byte    // 128
	c51    [32]byte    // 160
	ca     [32]byte    // 192: 'a'
	m58    [32]byte    // 224: -58
	m43    [32]byte    // 256: -43
	low    [32]byte    // 288: 0x0F
	class  [32]byte    // 320: classes of characters by high half of a byte
	member [32]byte    // 352: classes that a low half belongs to
	offset [32]byte    // 384: from character to digit, by high half
	weight [32]byte    // 416: of the two digits of a byte
	nib    [32]byte    // 448: words of 0x0F00
	edges  [5][16]byte // 480: 62, 124, 186, 248, 'a': arm64
	letter [64]byte    // 560: the alphabet: arm64
	digits [128]byte   // 624: digit by character, 0xFF: none: arm64
	shift  [32]byte    // 752: from digit to character, by where the digit is
	one    uint64      // 784: off 0, len 1
}

var laneTexts [Hex + 1][maxGen]laneText

func init() {
	for _, f := range []Form{Pair62, Hex} {
		for g := range laneTexts[f] {
			t := &laneTexts[f][g]
			for i := range 32 {
				t.digit[i] = alphabet16[i%16]
				t.c25[i], t.c51[i], t.ca[i] = 25, 51, 'a'
				t.m58[i], t.m43[i] = 256-58, 256-43
				t.low[i] = 15
				t.shift[i] = [16]byte{'a', 'A' - 26, 2: 256 + '0' - 52}[min(i%16, 2)]
				t.nib[i] = byte(i % 2 * 15)
				hi := i % 16
				if f == Pair62 {
					t.class[i] = [16]byte{3: 1, 4: 2, 5: 4, 6: 2, 7: 4}[hi]
					t.offset[i] = [16]byte{3: 52 - '0', 4: 256 - 'A' + 26, 5: 256 - 'A' + 26, 6: 256 - 'a', 7: 256 - 'a'}[hi]
					t.weight[i] = [2]byte{62, 1}[i%2]
					switch lo := i % 16; {
					case lo == 0:
						t.member[i] = 1 | 4
					case lo < 10:
						t.member[i] = 1 | 2 | 4
					case lo == 10:
						t.member[i] = 2 | 4
					default:
						t.member[i] = 2
					}
				} else {
					t.class[i] = [16]byte{3: 1, 4: 2, 6: 2}[hi]
					t.offset[i] = [16]byte{3: 256 - '0', 4: 256 - 'A' + 10, 6: 256 - 'a' + 10}[hi]
					t.weight[i] = [2]byte{16, 1}[i%2]
					lo := i % 16
					if lo < 10 {
						t.member[i] |= 1
					}
					if lo >= 1 && lo <= 6 {
						t.member[i] |= 2
					}
				}
			}
			t.one = 1 << 32
			for i := range 16 {
				binary.LittleEndian.PutUint16(t.c1058[2*i:], 1058)
				binary.LittleEndian.PutUint16(t.c62[2*i:], 65536-62*256+1)
				t.edges[0][i], t.edges[1][i], t.edges[2][i], t.edges[3][i], t.edges[4][i] = 62, 124, 186, 248, 'a'
			}
			if f == Pair62 {
				t.mark[0] = byte(5 * g)
			}
			copy(t.letter[:], alphabet62)
			d := &hexs
			if f == Pair62 {
				d = &digits62
			}
			copy(t.digits[:], d[:128])
		}
	}
}

func laneTextOf(f Form, gen int) *laneText {
	if f == Hex {
		gen = 0
	}
	return &laneTexts[f][gen]
}

// staged is up to 16 values copied to a place of their own, so that a kernel may read
// past their ends and has a whole group.
type staged struct {
	arena [16*16 + 16]byte
	spans [32]uint32
	n     int
}

// stage copies the leading values, 16 at most, that are 1 to 15 bytes of text.
func (g *staged) stage(arena []byte, spans []uint32) {
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

// fill copies values of up to 15 bytes, spaces behind them.
func (g *staged) fill(arena []byte, spans []uint32) {
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

// texts returns how many of the n values in front are text.
func (g *staged) texts(n int) int {
	if bad, ok := textBlocks(&g.arena[0], (n+3)&^3); ok {
		return min(n, bits.TrailingZeros64(bad))
	}
	for i := range n {
		if !IsText(g.arena[16*i:][:g.spans[2*i+1]]) {
			return i
		}
	}
	return n
}

// gather fills t.blocks with the leading values, laneValues at most, that are 1 to 15
// bytes of text, and returns how many.
func (t *laneScratch) gather(arena []byte, spans []uint32) int {
	n := min(len(spans)/2, laneValues)
	if k := n &^ 3; k > 0 && cap(arena) >= 16 {
		last := min(uint64(cap(arena)-16), 1<<32-1)
		p := unsafe.Pointer(unsafe.SliceData(arena))
		if k = gatherBlocks(&t.blocks[0], (*byte)(p), &spans[0], k, 14<<32|last, &gatherTable, &gatherTable.ascii); k > 0 {
			ran(pathGather)
			return k
		}
	}
	// The rest, a value near the end of the arena, or one that is not ASCII.
	t.stage(arena, spans)
	if t.n > 0 {
		ran(pathGatherStaged)
		gatherBlocks(&t.blocks[0], &t.arena[0], &t.spans[0], 16, 14<<32|16*15, &gatherTable, &gatherTable.any)
	}
	return t.n
}

// write encodes n of t.blocks as rows behind dst, which has room for them.
func (t *laneScratch) write(w *Writer, dst []byte, n int) []byte {
	if w.form != Pair62 && w.form != Hex {
		for i := range n {
			dst = w.append(dst, (*[16]byte)(t.blocks[16*i:]))
		}
		return dst
	}
	if cap(dst)-len(dst) < n*w.stride+rowSlack {
		ran(pathWriteTail)
		return append(dst, t.write(w, t.rows[:0], n)...)
	}
	ran(pathWriteRows)
	var pre, post [4]byte
	copy(pre[:], w.pre)
	copy(post[:], w.post)
	out := dst[len(dst):cap(dst)]
	encodeRows(w.form, &out[0], &t.blocks[0], n, laneTextOf(w.form, w.gen), w.stride, len(w.pre),
		binary.LittleEndian.Uint32(pre[:]), binary.LittleEndian.Uint32(post[:]))
	return dst[:len(dst)+n*w.stride]
}

func (c *Cipher) sealRowsLanes(w *Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	t := laneScratches.Get().(*laneScratch)
	defer t.put()
	n, done := len(spans)/2, 0
	for done < n {
		if k := c.sealFused(t, w, dst, nil, arena, spans[2*done:], out[2*done:]); k > 0 {
			ran(pathRowsFused)
			dst = dst[:len(dst)+k*w.stride]
			done += k
			continue
		}
		k := t.gather(arena, spans[2*done:])
		if k == 0 {
			break
		}
		c.crypt16(&c.s.one, t.blocks[:16*k], false)
		place := uint32(len(dst) + len(w.pre))
		dst = t.write(w, dst, k)
		for i := done; i < done+k; i++ {
			out[2*i], out[2*i+1] = place, uint32(w.chars)
			place += uint32(w.stride)
		}
		done += k
	}
	return dst, done
}

func (c *Cipher) sealAtLanes(w *Writer, dst []byte, at []uint32, arena []byte, spans []uint32) int {
	t := laneScratches.Get().(*laneScratch)
	defer t.put()
	n, done := len(spans)/2, 0
	for done < n {
		if k := c.sealFused(t, w, dst, at[done:], arena, spans[2*done:], nil); k > 0 {
			ran(pathRowsFused)
			done += k
			continue
		}
		k := t.gather(arena, spans[2*done:])
		if k == 0 {
			break
		}
		c.crypt16(&c.s.one, t.blocks[:16*k], false)
		rows := t.write(w, t.rows[:0], k)
		for i := range k {
			if w.chars == 32 {
				*(*[32]byte)(dst[at[done+i]:]) = *(*[32]byte)(rows[i*w.stride+len(w.pre):])
			} else {
				copy(dst[at[done+i]:], rows[i*w.stride+len(w.pre):][:w.chars])
			}
		}
		done += k
	}
	return done
}

// read decodes and deciphers leading values, laneValues at most, into t.blocks and
// returns how many.
func (t *laneScratch) read(c *Cipher, r *Reader, arena []byte, spans []uint32) int {
	n := min(len(spans)/2, laneValues)
	k := 0
	if (r.form == Pair62 || r.form == Hex) && n >= 4 && cap(arena) >= 32 {
		last := min(uint64(cap(arena)-32), 1<<32-1)
		p := unsafe.Pointer(unsafe.SliceData(arena))
		k = decodeBlocks(r.form, &t.blocks[0], (*byte)(p), &spans[0], n&^3, last, laneTextOf(r.form, r.gen))
		ran(pathReadBlocks)
	}
	if k == 0 {
		ran(pathReadOne)
		for k < min(n, 16) && int(spans[2*k+1]) == r.chars {
			g, ok := r.form.Decode(t.blocks[16*k:][:16], arena[spans[2*k]:][:spans[2*k+1]])
			if !ok || r.form.Marked() && g != r.gen {
				break
			}
			k++
		}
	}
	c.crypt16(&c.s.oneInv, t.blocks[:16*k], true)
	return k
}

// opened returns the length of the value in block i, and whether it is padded text.
func (t *laneScratch) opened(i int) (n int, ok bool) {
	return openBlock((*[16]byte)(t.blocks[16*i:]))
}

func (c *Cipher) openRowsLanes(r *Reader, pre, post string, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	t := laneScratches.Get().(*laneScratch)
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

func (c *Cipher) translateRowsLanes(r *Reader, to *Cipher, w *Writer, dst, arena []byte, spans, out []uint32) ([]byte, int) {
	t := laneScratches.Get().(*laneScratch)
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
		to.crypt16(&to.s.one, t.blocks[:16*good], false)
		place := uint32(len(dst) + len(w.pre))
		dst = t.write(w, dst, good)
		for i := done; i < done+good; i++ {
			out[2*i], out[2*i+1] = place, uint32(w.chars)
			place += uint32(w.stride)
		}
		done += good
		if good < k || k == 0 {
			break
		}
	}
	return dst, done
}

func (w *Writer) encodeAt(dst []byte, at []uint32, blocks []byte) {
	if simd.Active() == simd.Generic || w.form != Pair62 && w.form != Hex {
		w.encodeAtGeneric(dst, at, blocks)
		return
	}
	t := laneScratches.Get().(*laneScratch)
	defer t.put()
	for len(at) > 0 {
		n := min(len(at), laneValues)
		ran(pathEncodeAt)
		encodeRows(w.form, &t.rows[0], &blocks[0], n, laneTextOf(w.form, w.gen), 32, 0, 0, 0)
		for i, o := range at[:n] {
			*(*[32]byte)(dst[o:]) = *(*[32]byte)(t.rows[32*i:])
		}
		at, blocks = at[n:], blocks[16*n:]
	}
}
