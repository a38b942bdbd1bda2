//go:build !purego

package textform

// writeRows writes n rows of stride bytes: pre, 32 characters, post. pre and post are 4
// bytes of which the next write leaves what belongs there.
func writeRows(w *Writer, dst, blocks *byte, n, stride, preLen int, pre, post uint32) {
	if t := w.PairTables(); w.form == Hex {
		encodeHexAVX2(dst, blocks, n, t, stride, preLen, pre, post)
	} else {
		encodePairsAVX2(dst, blocks, n, t, stride, preLen, pre, post)
	}
}

func readBlocks(_ Form, blocks, base *byte, spans *uint32, n int, last uint64, t *PairTables) int {
	return decodeAVX2(blocks, base, spans, n, last, t)
}

// The following write n rows of stride bytes to dst: the first preLen bytes of pre, the 32
// characters of a block, 4 bytes of post. They read 16·n bytes at blocks, which dst does
// not overlap, and write 4 bytes after each text and at most 4 after the last row. No
// branch or address depends on the blocks. They need AVX2 and clobber YMM registers, whose
// upper halves they leave zero.

//go:noescape
func encodePairsAVX2(dst, blocks *byte, n int, tables *PairTables, stride, preLen int, pre, post uint32)

//go:noescape
func encodeHexAVX2(dst, blocks *byte, n int, tables *PairTables, stride, preLen int, pre, post uint32)

// decodeAVX2 decodes texts of 32 characters into blocks, four at a time, and returns how
// many it did. It stops before four with one whose span is not 32 long, that starts after
// base + limit, or that has a bad character. n is a multiple of 4; it reads n spans, the
// texts, and writes 16 bytes for each that it did and for the four that it stopped at. The
// only branch on characters is that after the check for bad ones. It needs AVX2 and clobbers
// YMM registers, whose upper halves it leaves zero.
//
//go:noescape
func decodeAVX2(blocks, base *byte, spans *uint32, n int, limit uint64, tables *PairTables) int
