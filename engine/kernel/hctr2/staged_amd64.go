//go:build !purego

package hctr2

// gatherBlocks pads n values, a multiple of 4, into blocks: see gatherAVX2.
func gatherBlocks(blocks, base *byte, spans *uint32, n int, limit uint64, t *gatherTables, greatest *[16]byte) int {
	return gatherAVX2(blocks, base, spans, n, limit, t, greatest)
}

// gatherAVX2 pads n values, a multiple of 4, into blocks, 4 at a time, and returns how many
// it did. It stops before 4 with one that is not 1 to 15 bytes long, that starts behind the
// offset in the lower half of limit, or that holds a byte over greatest when 0x20 is taken
// off. It reads n spans and 16 bytes from the start of each value, and writes 16 bytes for
// each that it did and for the 4 that it stopped at. The only branches on values are those
// that stop. It needs AVX2 and clobbers YMM registers, whose upper halves it leaves zero.
//
//go:noescape
func gatherAVX2(blocks, base *byte, spans *uint32, n int, limit uint64, tables *gatherTables, greatest *[16]byte) int
