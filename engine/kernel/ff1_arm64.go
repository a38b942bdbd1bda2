//go:build !purego

package kernel

// bucket transforms the first count values of s, all of n characters, which
// halves of one word take.
func (f *FF1) bucket(s *ff1Sort, one *ff1Scratch, dst, base []byte, count, n int, dec bool) {
	f.rounds(s, one, dst, base, s.from[:count], s.to[:count], s.who[:count], n, dec)
}

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
