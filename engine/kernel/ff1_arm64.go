//go:build !purego

package kernel

// words transforms the values of b, whose halves are words.
func (f *FF1) words(b *ff1Bucket) (wrong FF1Code) { return f.rounds(b, 0) }

// aesBlocks encrypts n blocks in place. It may work on blocks behind them, up
// to a multiple of eight.
func aesBlocks(keys *byte, lastKey int, blocks *byte, n int) {
	aesBlocksNEON(keys, lastKey, blocks, (n+7)/8)
}

// aesBlocksNEON encrypts 8·eights blocks in place with lastKey + 1 round keys.
// No branch or address depends on keys or blocks. It needs AES, and eights ≥ 1.
//
//go:noescape
func aesBlocksNEON(keys *byte, lastKey int, blocks *byte, eights int)
