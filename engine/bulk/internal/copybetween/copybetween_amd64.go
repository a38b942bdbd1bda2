//go:build !purego

package copybetween

import "github.com/velonym/velonym/internal/simd"

// textKernel is Text for the longest prefix of the values that the kernel of the tier in
// use can copy; done is 0 if there is none.
func textKernel(dst, src []byte, spans, at []uint32, outLen *OutLen, from, to int) (done, nextFrom, nextTo int) {
	if len(at) == 0 || len(dst) == 0 || cap(src) == 0 {
		return 0, from, to
	}
	spans = spans[:2*len(at)]
	switch simd.Active() {
	case simd.AVX512:
		return textAVX512(&dst[0], len(dst), &src[:1][0], cap(src), &spans[0], &at[0], len(at), outLen, from, to)
	case simd.AVX2:
		return textAVX2(&dst[0], len(dst), &src[:1][0], cap(src), &spans[0], &at[0], len(at), outLen, from, to)
	}
	return 0, from, to
}

// textAVX512 copies in blocks of 64 bytes. It stops before a value of LongValue bytes or
// more, before a gap of which a block would end after srcCap bytes of src or dstLen
// bytes of dst, and before a value that starts before from.
//
// It reads n pairs of spans and src[from:srcCap], and writes at[:done] and dst[to:dstLen],
// up to 63 bytes past the end of each gap. dst must not overlap anything else. The
// offsets it writes and reads are 32 bits wide. It needs AVX512F and clobbers only what
// ABI0 allows; it ends with VZEROUPPER.
//
//go:noescape
func textAVX512(dst *byte, dstLen int, src *byte, srcCap int, spans, at *uint32, n int, outLen *OutLen, from, to int) (done, nextFrom, nextTo int)

// textAVX2 is textAVX512 in blocks of 32 bytes; it writes up to 31 bytes after a gap and
// needs AVX.
//
//go:noescape
func textAVX2(dst *byte, dstLen int, src *byte, srcCap int, spans, at *uint32, n int, outLen *OutLen, from, to int) (done, nextFrom, nextTo int)
