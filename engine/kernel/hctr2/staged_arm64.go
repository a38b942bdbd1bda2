//go:build !purego

package hctr2

import "github.com/velonym/velonym/engine/kernel/textform"

// gatherBlocks pads n values, a multiple of 4, into blocks: see gatherNEON.
func gatherBlocks(blocks, base *byte, spans *uint32, n int, limit uint64, t *gatherTables, greatest *[16]byte) int {
	return gatherNEON(blocks, base, spans, n, limit, t, greatest)
}

// sealFused has no kernels here.
func (c *Cipher) sealFused(*stagedScratch, *textform.Writer, []byte, []uint32, []byte, []uint32, []uint32) int {
	return 0
}

// gatherNEON pads n values, a multiple of 4, into blocks, 4 at a time, and returns how many. It
// stops before 4 of which one is not 1 to 15 bytes long, starts after the offset in the lower
// half of limit, or holds a byte that is over greatest after subtracting 0x20. It reads n spans
// and 16 bytes from the start of each value, and writes 16 bytes for each value including the 4
// before which it stops. The only branches on values are those that stop. It needs NEON and
// clobbers V0 to V4 and V16 to V18.
//
//go:noescape
func gatherNEON(blocks, base *byte, spans *uint32, n int, limit uint64, tables *gatherTables, greatest *[16]byte) int
