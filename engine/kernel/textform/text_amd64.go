//go:build !purego

package textform

import "github.com/velonym/velonym/internal/simd"

// TextBlocks returns a bit for every block of 16 bytes that is not text by itself, and whether the
// tier in use has a kernel for it. There must be 4 to 64 blocks, a multiple of 4, each of which ends
// in a byte below 0x80.
func TextBlocks(blocks []byte) (bad uint64, ok bool) {
	if simd.Active() != simd.AVX512 || len(blocks) == 0 {
		return 0, false
	}
	if len(blocks)%64 != 0 || len(blocks) > 1024 {
		panic("textform: blocks come in fours, 64 at most")
	}
	return textBlocksAVX512(&blocks[0], len(blocks)/16), true
}

// hasDecodeText reports whether the tier in use has a kernel that decodes long texts.
func hasDecodeText() bool { return simd.Active() == simd.AVX512 }

// decodeText decodes n times 32 characters, n at least 1, and reports whether all are valid.
func decodeText(dst, src []byte, n int, t *DecodeTables) bool {
	_, _ = dst[16*n-1], src[32*n-1]
	return decodeTextAVX512(&dst[0], &src[0], n, t) == 0
}

// textBlocksAVX512 returns a bit for every one of n blocks of 16 bytes that is not text by
// itself. n is a multiple of 4, 4 to 64; each block ends in a byte below 0x80. It reads 16·n
// bytes at blocks and writes nothing. No branch or address depends on the blocks. It needs
// AVX-512 F, BW, DQ and BMI2, and clobbers ZMM and mask registers.
//
//go:noescape
func textBlocksAVX512(blocks *byte, n int) uint64

// decodeTextAVX512 decodes 32·n characters of pairs at src, the first with the generation mark of
// the tables, to 16·n bytes at dst, which must not overlap src. The result is not 0 if a character
// is invalid; the content of dst is then undefined. n is at least 1. No branch or address depends on
// the characters. It needs AVX-512 F, BW and VBMI, and clobbers ZMM and mask registers.
//
//go:noescape
func decodeTextAVX512(dst, src *byte, n int, tables *DecodeTables) int
