//go:build !purego

package textform

// writeRows writes n rows of stride bytes: pre, 32 characters, post. pre and post are 4
// bytes of which the next write leaves what belongs there.
func writeRows(w *Writer, dst, blocks *byte, n, stride, preLen int, pre, post uint32) {
	if t := w.PairTables(); w.form == Hex {
		encodeHexNEON(dst, blocks, n, t, stride, preLen, pre, post)
	} else {
		encodePairsNEON(dst, blocks, n, t, stride, preLen, pre, post)
	}
}

func readBlocks(f Form, blocks, base *byte, spans *uint32, n int, last uint64, t *PairTables) int {
	if f == Hex {
		return decodeHexNEON(blocks, base, spans, n, last, t)
	}
	return decodePairsNEON(blocks, base, spans, n, last, t)
}

// The following write n rows of stride bytes to dst: the first preLen bytes of pre, the 32
// characters of a block, 4 bytes of post. They read 16·n bytes at blocks, which dst does
// not overlap, and write 4 bytes after each text and at most 4 after the last row. No
// branch or address depends on the blocks. They need NEON and clobber V0 to V16.

//go:noescape
func encodePairsNEON(dst, blocks *byte, n int, tables *PairTables, stride, preLen int, pre, post uint32)

//go:noescape
func encodeHexNEON(dst, blocks *byte, n int, tables *PairTables, stride, preLen int, pre, post uint32)

// The following decode texts of 32 characters into blocks, four at a time, and return how
// many they did. They stop before four with one whose span is not 32 long, that starts
// after base + limit, or that has a bad character. n is a multiple of 4; they read n
// spans, the texts, and write 16 bytes for each that they did and for the four that they
// stopped at. The only branch on characters is that after the check for bad ones. They need
// NEON and clobber V0 to V20.

//go:noescape
func decodePairsNEON(blocks, base *byte, spans *uint32, n int, limit uint64, tables *PairTables) int

//go:noescape
func decodeHexNEON(blocks, base *byte, spans *uint32, n int, limit uint64, tables *PairTables) int
