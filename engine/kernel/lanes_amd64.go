//go:build !purego

package kernel

import "unsafe"

// gatherBlocks pads n values, a multiple of 4, into blocks, 4 at a time. It stops
// before four with one that is not 1 to 15 bytes long, starts behind the offset in the
// lower half of limit, or holds a byte over text, and returns how many it did. It
// reads 16 bytes from the start of a value.
func gatherBlocks(blocks, base *byte, spans *uint32, n int, limit uint64, t *gatherTables, text *[16]byte) int {
	return gatherAVX2(blocks, base, spans, n, limit, (*byte)(unsafe.Pointer(t)), &text[0])
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
	if active != tierAVX512 || n == 0 {
		return 0, false
	}
	return textBlocksAVX512(blocks, n), true
}

//go:noescape
func textBlocksAVX512(blocks *byte, n int) uint64

// wideDecode says whether the tier in use has a kernel that decodes long texts.
func wideDecode() bool { return active == tierAVX512 }

// decodeText reads n times 32 characters and says whether all were good.
func decodeText(dst, src []byte, n int, t *decTables) bool {
	_, _ = dst[16*n-1], src[32*n-1]
	return decodeTextAVX512(&dst[0], &src[0], n, (*byte)(unsafe.Pointer(t))) == 0
}

//go:noescape
func decodeTextAVX512(dst, src *byte, n int, tab *byte) int
