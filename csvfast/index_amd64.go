//go:build !purego

package csvfast

import "github.com/velonym/velonym/internal/simd"

// The contract of the index kernels. Each of them
//
//   - reads blocks*64 bytes at p and no more, in any alignment; blocks is at most 255,
//     since a kernel counts in bytes
//   - writes entries at out, whose offsets count from base, a multiple of 64 below 1<<29,
//     and up to entryPadding undefined entries after the last one
//   - reads and writes *st; p, out and st must not overlap
//   - returns the number of entries
//   - clobbers only what ABI0 lets it clobber, and ends with VZEROUPPER
//
// A plain kernel stops before the first block that holds a quote and sets st.blocks. It
// must not start inside quotes or after a closing quote. A dense kernel computes the same
// and is faster if blocks hold more than 16 entries.

// indexPlainAVX512 needs AVX512F, BW, DQ, VL, VBMI and VBMI2, PCLMULQDQ, BMI1, BMI2 and
// POPCNT, as the other three of its tier do.
//
//go:noescape
func indexPlainAVX512(p *byte, blocks int, base uint32, out *uint32, st *indexState) int

//go:noescape
func indexPlainDenseAVX512(p *byte, blocks int, base uint32, out *uint32, st *indexState) int

//go:noescape
func indexStrictAVX512(p *byte, blocks int, base uint32, out *uint32, st *indexState) int

//go:noescape
func indexStrictDenseAVX512(p *byte, blocks int, base uint32, out *uint32, st *indexState) int

// entrySpansAVX512 is entrySpansGeneric for the n > 0 entries after the one at ents. It
// works on 16 at a time: it reads up to 15 entries after the last one, and
// writes up to 30 elements after the last span. AVX-512 F, VL.
//
//go:noescape
func entrySpansAVX512(ents *uint32, n int, base uint32, out *uint32)

// indexPlainAVX2 and indexStrictAVX2 have no dense form: they write 8 entries for every 8
// bytes, whatever those hold, and so at most 7 after the last one. They need AVX2,
// PCLMULQDQ, BMI1 and POPCNT.
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
