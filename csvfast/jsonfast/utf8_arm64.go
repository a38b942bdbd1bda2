//go:build !purego

package jsonfast

// utf8BlocksNEON checks 64·blocks bytes from p, blocks at least 1, and reads
// three bytes before p. It returns 0 if every fault it could see, of a byte
// with those before it, is absent; a character that the end cuts is none.
// Needs ASIMD.
//
//go:noescape
func utf8BlocksNEON(p *byte, blocks int) (bad uint64)

// utf8Blocks checks blocks from p[k:], k at least 3. It is not for simd.Generic.
func utf8Blocks(p []byte, k, blocks int) uint64 { return utf8BlocksNEON(&p[k], blocks) }
