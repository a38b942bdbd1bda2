//go:build !purego

package csvfast

import "github.com/velonym/velonym/internal/simd"

// The index kernels. All of them
//
//   - read blocks*64 bytes at p, no more, in any alignment
//   - write entries at out, and up to entryPadding entries behind the last one
//   - take at most 255 blocks: they count in bytes
//   - take offsets from base on, which is a multiple of 64 and under 1<<29
//   - read and write *st, which overlaps nothing, and return the number of entries
//
// Plain kernels stop before the first block that holds a quote and set
// st.blocks; they must not start inside quotes or behind a closing quote. Dense
// ones do the same, faster when blocks hold more than 16 entries.

// AVX-512 F, BW, DQ, VL, VBMI, VBMI2; PCLMULQDQ, BMI1, BMI2, POPCNT.
//
//go:noescape
func indexPlainAVX512(p *byte, blocks int, base uint32, out *uint32, st *indexState) int

//go:noescape
func indexPlainDenseAVX512(p *byte, blocks int, base uint32, out *uint32, st *indexState) int

//go:noescape
func indexStrictAVX512(p *byte, blocks int, base uint32, out *uint32, st *indexState) int

//go:noescape
func indexStrictDenseAVX512(p *byte, blocks int, base uint32, out *uint32, st *indexState) int

// entrySpansAVX512 is entrySpansGeneric for the n > 0 entries behind the one at ents. It
// works on 16 at a time: it reads up to 15 entries behind the last one, and
// writes up to 30 elements behind the last span. AVX-512 F, VL.
//
//go:noescape
func entrySpansAVX512(ents *uint32, n int, base uint32, out *uint32)

// The AVX2 kernels have no form for dense input: they write 8 entries for every 8
// bytes, whatever is in them, and never more than 7 behind the last one. AVX2,
// PCLMULQDQ, BMI1, POPCNT.
//
//go:noescape
func indexPlainAVX2(p *byte, blocks int, base uint32, out *uint32, st *indexState) int

//go:noescape
func indexStrictAVX2(p *byte, blocks int, base uint32, out *uint32, st *indexState) int

func (st *indexState) plain(p []byte, base uint32, out []uint32, dense bool) int {
	switch simd.Active() {
	case simd.AVX512:
		if dense {
			return indexPlainDenseAVX512(&p[0], len(p)/64, base, &out[0], st)
		}
		return indexPlainAVX512(&p[0], len(p)/64, base, &out[0], st)
	case simd.AVX2:
		return indexPlainAVX2(&p[0], len(p)/64, base, &out[0], st)
	}
	return st.plainGeneric(p, base, out)
}

func (st *indexState) strict(p []byte, base uint32, out []uint32, dense bool) int {
	switch simd.Active() {
	case simd.AVX512:
		if dense {
			return indexStrictDenseAVX512(&p[0], len(p)/64, base, &out[0], st)
		}
		return indexStrictAVX512(&p[0], len(p)/64, base, &out[0], st)
	case simd.AVX2:
		return indexStrictAVX2(&p[0], len(p)/64, base, &out[0], st)
	}
	return st.strictGeneric(p, base, out)
}

func entrySpans(ents []uint32, base uint32, out []uint32) {
	if simd.Active() == simd.AVX512 && len(ents) > 1 {
		entrySpansAVX512(&ents[0], len(ents)-1, base, &out[0])
		return
	}
	entrySpansGeneric(ents, base, out)
}
