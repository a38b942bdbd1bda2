//go:build !purego

package jsonfast

import "github.com/velonym/velonym/internal/simd"

// arrayQuotesAVX512 is arrayQuotes. It reads 64·blocks bytes from p, writes up
// to 64·blocks+48 positions to out and a note for every block with escapes to
// notes. It needs AVX512F, AVX512BW, AVX512VBMI2, VPCLMULQDQ, CLMUL, BMI1 and POPCNT.
//
//go:noescape
func arrayQuotesAVX512(p *byte, blocks int, base uint32, out *uint32, notes *arrayNote, st *arrayState) (done int)

// arraySpansAVX512 converts 8·groups pairs in place; groups is at least 1. It needs AVX512F.
//
//go:noescape
func arraySpansAVX512(out *uint32, groups int)

// arrayQuotesAVX2 is arrayQuotesAVX512 with AVX2, CLMUL, BMI1 and POPCNT.
//
//go:noescape
func arrayQuotesAVX2(p *byte, blocks int, base uint32, out *uint32, notes *arrayNote, st *arrayState) (done int)

// arraySpansAVX2 converts 4·groups pairs in place; groups is at least 1. It needs AVX2.
//
//go:noescape
func arraySpansAVX2(out *uint32, groups int)

func arrayQuotesTier(p []byte, blocks int, base uint32, out []uint32, notes []arrayNote, st *arrayState) int {
	switch simd.Active() {
	case simd.AVX512:
		return arrayQuotesAVX512(&p[0], blocks, base, &out[0], &notes[0], st)
	case simd.AVX2:
		return arrayQuotesAVX2(&p[0], blocks, base, &out[0], &notes[0], st)
	}
	return arrayQuotesGeneric(p, blocks, base, out, notes, st)
}

// arraySpansTier converts whole vectors of pairs and returns the number of elements converted.
func arraySpansTier(pairs []uint32) int {
	switch n := len(pairs); {
	case simd.Active() == simd.AVX512 && n >= 16:
		arraySpansAVX512(&pairs[0], n/16)
		return n &^ 15
	case simd.Active() == simd.AVX2 && n >= 8:
		arraySpansAVX2(&pairs[0], n/8)
		return n &^ 7
	}
	return 0
}
