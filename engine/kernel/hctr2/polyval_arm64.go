//go:build !purego

package hctr2

// polyval absorbs n blocks, 1 to powers, into state.
func polyval(state *[16]byte, h *[powers][16]byte, blocks *byte, n int) {
	polyvalNEON(state, h, blocks, n)
}

// polyvalNEON absorbs n blocks, 1 to powers, into state: the first, with the state added,
// times h^n, and so on to the last, times h, with one reduction. It reads 16·n bytes at
// blocks and the first n powers, and writes state. No branch or address depends on them.
// It needs NEON and PMULL, and clobbers V0 to V9.
//
//go:noescape
func polyvalNEON(state *[16]byte, powers *[powers][16]byte, blocks *byte, n int)
