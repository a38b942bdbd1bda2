//go:build !purego

package kernel

import (
	"encoding/binary"
	"unsafe"

	"github.com/velonym/velonym/internal/simd"
)

// gatherBlocks pads n values, a multiple of 4, into blocks, 4 at a time. It stops
// before four with one that is not 1 to 15 bytes long, starts behind the offset in the
// lower half of limit, or holds a byte over text, and returns how many it did. It
// reads 16 bytes from the start of a value.
func gatherBlocks(blocks, base *byte, spans *uint32, n int, limit uint64, t *gatherTables, text *[16]byte) int {
	return gatherAVX2(blocks, base, spans, n, limit, (*byte)(unsafe.Pointer(t)), &text[0])
}

// laneArgs is what the kernels that go the whole way forward read; assembly knows the
// offsets.
type laneArgs struct {
	sched  unsafe.Pointer // 0
	tables unsafe.Pointer // 8
	text   unsafe.Pointer // 16
	base   unsafe.Pointer // 24
	spans  unsafe.Pointer // 32
	n      int            // 40: values; counted down
	dst    unsafe.Pointer // 48
	out    unsafe.Pointer // 56
	at     unsafe.Pointer // 64
	buf    unsafe.Pointer // 72: 16 blocks
	stride int            // 80
	place  uint64         // 88: off, len of the first result
	step   uint64         // 96: added for the next
	sep    uint64         // 104: what stands between two texts
	limit  uint64         // 112: greatest offset, greatest length - 1
	done   int            // 120
	flight int            // 128
}

// fusedValues is how many values the kernels that go the whole way take at least:
// fewer than some groups are done sooner in passes.
const fusedValues = 16

// sealFused is sealRows, or with places sealAt, of leading values, and returns how
// many it did: none when there are few, no room behind them, or another form. It leaves
// the length of dst to the caller.
func (c *Cipher) sealFused(t *laneScratch, w *Writer, dst []byte, at []uint32, arena []byte, spans, out []uint32) int {
	n := len(spans) / 2
	if at == nil {
		n = min(n, (cap(dst)-len(dst)-rowSlack)/w.stride)
	}
	if n &^= 7; n < fusedValues || cap(arena) < 16 || w.form != Pair62 && w.form != Hex {
		return 0
	}
	a := laneArgs{
		sched: unsafe.Pointer(&c.s.one), tables: unsafe.Pointer(&gatherTable), text: unsafe.Pointer(laneTextOf(w.form, w.gen)),
		base: unsafe.Pointer(unsafe.SliceData(arena)), spans: unsafe.Pointer(&spans[0]), n: n,
		buf: unsafe.Pointer(&t.blocks), limit: 14<<32 | min(uint64(cap(arena)-16), 1<<32-1),
	}
	if at != nil {
		a.dst, a.at = unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(&at[0])
		if w.form == Hex {
			return sealAtHexAVX2((*byte)(unsafe.Pointer(&a)))
		}
		return sealAtPairsAVX2((*byte)(unsafe.Pointer(&a)))
	}
	rows := append(dst, w.pre...)
	a.dst, a.out = unsafe.Pointer(unsafe.SliceData(rows[len(rows):cap(rows)])), unsafe.Pointer(&out[0])
	a.stride, a.step = w.stride, uint64(w.stride)
	a.place = uint64(len(rows)) | uint64(w.chars)<<32
	var sep [8]byte
	copy(sep[copy(sep[:], w.post):], w.pre)
	a.sep = binary.LittleEndian.Uint64(sep[:])
	if w.form == Hex {
		return sealRowsHexAVX2((*byte)(unsafe.Pointer(&a)))
	}
	return sealRowsPairsAVX2((*byte)(unsafe.Pointer(&a)))
}

// encodeRows writes n rows of stride bytes: pre, 32 characters, post. It may write 4
// bytes behind them.
func encodeRows(f Form, dst, blocks *byte, n int, t *laneText, stride, preLen int, pre, post uint32) {
	if f == Hex {
		encodeHexAVX2(dst, blocks, n, (*byte)(unsafe.Pointer(t)), stride, preLen, pre, post)
	} else {
		encodePairsAVX2(dst, blocks, n, (*byte)(unsafe.Pointer(t)), stride, preLen, pre, post)
	}
}

// decodeBlocks reads n values, a multiple of 4, of 32 characters into blocks, 4 at a
// time. It stops before four with one that is no such text or starts behind last, and
// returns how many it did.
func decodeBlocks(_ Form, blocks, base *byte, spans *uint32, n int, last uint64, t *laneText) int {
	return decodeAVX2(blocks, base, spans, n, last, (*byte)(unsafe.Pointer(t)))
}

//go:noescape
func gatherAVX2(blocks, base *byte, spans *uint32, n int, limit uint64, tables, text *byte) int

//go:noescape
func sealRowsPairsAVX2(a *byte) int

//go:noescape
func sealRowsHexAVX2(a *byte) int

//go:noescape
func sealAtPairsAVX2(a *byte) int

//go:noescape
func sealAtHexAVX2(a *byte) int

//go:noescape
func encodePairsAVX2(dst, blocks *byte, n int, text *byte, stride, preLen int, pre, post uint32)

//go:noescape
func encodeHexAVX2(dst, blocks *byte, n int, text *byte, stride, preLen int, pre, post uint32)

//go:noescape
func decodeAVX2(blocks, base *byte, spans *uint32, n int, limit uint64, text *byte) int

// polyval absorbs n blocks, 1 to 16, into state.
func polyval(state, powers, blocks *byte, n int) { polyvalAVX2(state, powers, blocks, n) }

//go:noescape
func polyvalAVX2(state, powers, blocks *byte, n int)

// textBlocks returns a bit for every one of n blocks, a multiple of 4 and at most 64,
// that is not text, and whether the tier in use has a kernel for it.
func textBlocks(blocks *byte, n int) (bad uint64, ok bool) {
	if simd.Active() != simd.AVX512 || n == 0 {
		return 0, false
	}
	return textBlocksAVX512(blocks, n), true
}

//go:noescape
func textBlocksAVX512(blocks *byte, n int) uint64

// wideDecode says whether the tier in use has a kernel that decodes long texts.
func wideDecode() bool { return simd.Active() == simd.AVX512 }

// decodeText reads n times 32 characters and says whether all were good.
func decodeText(dst, src []byte, n int, t *decTables) bool {
	_, _ = dst[16*n-1], src[32*n-1]
	return decodeTextAVX512(&dst[0], &src[0], n, (*byte)(unsafe.Pointer(t))) == 0
}

//go:noescape
func decodeTextAVX512(dst, src *byte, n int, tab *byte) int
