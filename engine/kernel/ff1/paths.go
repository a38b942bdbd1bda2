package ff1

import "github.com/velonym/velonym/internal/simd"

// paths counts, for tests, the paths that values take through this package.
var paths struct {
	alike    simd.Path // a chunk of values of one length
	sorted   simd.Path // a chunk of values sorted by length
	whole    simd.Path // the kernel from text to text
	mixed    simd.Path // a group of it with repeated values
	rounds   simd.Path // halves of one word, AES of several blocks
	pairs    simd.Path // halves of two words
	closedUp simd.Path // rows moved over those of refused values
}
