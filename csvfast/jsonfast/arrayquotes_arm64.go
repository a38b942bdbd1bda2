//go:build !purego

package jsonfast

import "github.com/velonym/velonym/internal/simd"

// arrayQuotesNEON is arrayQuotes. It reads 64·blocks bytes from p, writes up to
// 64·blocks+8 positions to out and a note for every block with escapes to
// notes. It needs NEON and PMULL.
//
//go:noescape
func arrayQuotesNEON(p *byte, blocks int, base uint32, out *uint32, notes *arrayNote, st *arrayState) (done int)

// arraySpansNEON converts 4·groups pairs in place; groups is at least 1. It needs NEON.
//
//go:noescape
func arraySpansNEON(out *uint32, groups int)

func arrayQuotesTier(p []byte, blocks int, base uint32, out []uint32, notes []arrayNote, st *arrayState) int {
	if simd.Active() == simd.ARM64 {
		return arrayQuotesNEON(&p[0], blocks, base, &out[0], &notes[0], st)
	}
	return arrayQuotesGeneric(p, blocks, base, out, notes, st)
}

// arraySpansTier converts whole vectors of pairs and returns the number of elements converted.
func arraySpansTier(pairs []uint32) int {
	n := len(pairs)
	if simd.Active() == simd.ARM64 && n >= 8 {
		arraySpansNEON(&pairs[0], n/8)
		return n &^ 7
	}
	return 0
}
