//go:build !purego

package kernel

import "unsafe"

// gatherBlocks pads n values, a multiple of 4, into blocks, 4 at a time. It stops
// before four with one that is not 1 to 15 bytes long, starts behind the offset in the
// lower half of limit, or holds a byte over text, and returns how many it did. It
// reads 16 bytes from the start of a value.
func gatherBlocks(blocks, base *byte, spans *uint32, n int, limit uint64, t *gatherTables, text *[16]byte) int {
	return gatherNEON(blocks, base, spans, n, limit, (*byte)(unsafe.Pointer(t)), &text[0])
}

// sealFused has no kernels here.
func (c *Cipher) sealFused(*laneScratch, *Writer, []byte, []uint32, []byte, []uint32, []uint32) int {
	return 0
}

// encodeRows writes n rows of stride bytes: pre, 32 characters, post. It may write 4
// bytes behind them.
func encodeRows(f Form, dst, blocks *byte, n int, t *laneText, stride, preLen int, pre, post uint32) {
	if f == Hex {
		encodeHexNEON(dst, blocks, n, (*byte)(unsafe.Pointer(t)), stride, preLen, pre, post)
	} else {
		encodePairsNEON(dst, blocks, n, (*byte)(unsafe.Pointer(t)), stride, preLen, pre, post)
	}
}

// decodeBlocks reads n values, a multiple of 4, of 32 characters into blocks, 4 at a
// time. It stops before four with one that is no such text or starts behind last, and
// returns how many it did.
func decodeBlocks(f Form, blocks, base *byte, spans *uint32, n int, last uint64, t *laneText) int {
	if f == Hex {
		return decodeHexNEON(blocks, base, spans, n, last, (*byte)(unsafe.Pointer(t)))
	}
	return decodePairsNEON(blocks, base, spans, n, last, (*byte)(unsafe.Pointer(t)))
}

//go:noescape
func gatherNEON(blocks, base *byte, spans *uint32, n int, limit uint64, tables, text *byte) int

//go:noescape
func encodePairsNEON(dst, blocks *byte, n int, text *byte, stride, preLen int, pre, post uint32)

//go:noescape
func encodeHexNEON(dst, blocks *byte, n int, text *byte, stride, preLen int, pre, post uint32)

//go:noescape
func decodePairsNEON(blocks, base *byte, spans *uint32, n int, limit uint64, text *byte) int

//go:noescape
func decodeHexNEON(blocks, base *byte, spans *uint32, n int, limit uint64, text *byte) int

// polyval absorbs n blocks, 1 to 16, into state.
func polyval(state, powers, blocks *byte, n int) { polyvalNEON(state, powers, blocks, n) }

//go:noescape
func polyvalNEON(state, powers, blocks *byte, n int)

// textBlocks has no kernel here.
func textBlocks(*byte, int) (bad uint64, ok bool) { return 0, false }

// wideDecode says whether the tier in use has a kernel that decodes long texts.
func wideDecode() bool { return false }

func decodeText([]byte, []byte, int, *decTables) bool { return false }
