//go:build !purego

package csvfast

import "github.com/velonym/velonym/internal/simd"

// blockMasks are the masks of a block.
type blockMasks struct {
	all, nl, q uint64 // as in masks
	in         uint64 // prefixXOR(q)
}

// masksNEON finds the masks of blocks*64 bytes at p, in any alignment, and writes
// as many blockMasks at out; it touches nothing else. NEON, PMULL.
//
//go:noescape
func masksNEON(p *byte, blocks int, comma, quote byte, out *blockMasks)

// blocksPerCall is the number of blocks whose masks are found before they are used.
const blocksPerCall = 16

func (st *indexState) plain(p []byte, base uint32, out []uint32, dense bool) int {
	if simd.Active() != simd.ARM64 {
		return st.plainGeneric(p, base, out)
	}
	var found [blocksPerCall]blockMasks
	n := 0
	for i := 0; i < len(p); i += blocksPerCall * 64 {
		blocks := min(blocksPerCall, (len(p)-i)/64)
		masksNEON(&p[i], blocks, byte(st.comma), byte(st.quote), &found[0])
		for j := range found[:blocks] {
			m := &found[j]
			if m.q != 0 {
				st.blocks = uint64(i/64 + j)
				return n
			}
			n = st.plainBlock(m.all, m.nl, base+uint32(i+j*64), out, n)
		}
	}
	st.blocks = uint64(len(p) / 64)
	return n
}

func (st *indexState) strict(p []byte, base uint32, out []uint32, dense bool) int {
	if simd.Active() != simd.ARM64 {
		return st.strictGeneric(p, base, out)
	}
	var found [blocksPerCall]blockMasks
	n := 0
	for i := 0; i < len(p); i += blocksPerCall * 64 {
		blocks := min(blocksPerCall, (len(p)-i)/64)
		masksNEON(&p[i], blocks, byte(st.comma), byte(st.quote), &found[0])
		for j := range found[:blocks] {
			m := &found[j]
			at := i + j*64
			n = st.strictBlock((*[64]byte)(p[at:]), m.all, m.nl, m.q, m.in, base+uint32(at), out, n)
		}
	}
	return n
}

func entrySpans(ents []uint32, base uint32, out []uint32) { entrySpansGeneric(ents, base, out) }
